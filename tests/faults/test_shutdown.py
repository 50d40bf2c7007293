"""SIGTERM: what was begun comes to an end, what comes later is told so, and the process goes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hard_day import FRAMES, SIZE, Day, error_of, is_last, safe_frame
from live import RunningApp

ENDS_WITHIN_S = 20.0


def terminate(app: RunningApp) -> None:
    assert app.process is not None
    app.process.send_signal(signal.SIGTERM)


def wait_for_exit(app: RunningApp, seconds: float = ENDS_WITHIN_S) -> int:
    assert app.process is not None
    return app.process.wait(seconds)


def click_body(day: Day, frame: int) -> dict[str, Any]:
    video = {"video_id": day.video, "frame_index": frame}
    click = {"x": SIZE[0] // 2, "y": SIZE[1] // 2}
    return day.envelope({"positive": [click], "negative": [], "video": video})


@dataclass
class Clicks:
    """Clicks that one client sends without a pause."""

    day: Day
    answers: list[httpx.Response] = field(default_factory=list)
    stop: bool = False

    def send(self, first: int) -> None:
        for frame in range(first, 10_000):
            if self.stop:
                return
            try:
                self.answers.append(
                    self.day.app.post("smart_segmentation", click_body(self.day, frame % FRAMES))
                )
            except httpx.TransportError:
                return  # nobody listens any more: nothing was lost, it was not taken

    def statuses(self) -> set[int]:
        return {one.status_code for one in self.answers}


def test_terminated_under_load(
    make_app: Callable[..., RunningApp], make_day: Callable[[RunningApp], Day]
) -> None:
    app = make_app()
    day = make_day(app)
    track_id = day.track(0, FRAMES - 1, day.draw(0, (0,)))
    job = day.track_async(0, FRAMES - 1, (1, 2))
    day.wait_for_progress(track_id, 2)
    day.wait(lambda: day.pop(job).json()["progress"]["current"] > 0)
    clicks = Clicks(day)
    with ThreadPoolExecutor(4) as pool:
        for client in range(3):
            pool.submit(clicks.send, 30 * client)
        app.until(lambda: len(clicks.answers) > 5)
        terminate(app)
        popped = pool.submit(last_of, day, job)
        app.until(lambda: 503 in clicks.statuses() or app.process.poll() is not None)  # type: ignore[union-attr]
        wait_for_exit(app)
        clicks.stop = True
        fetched = popped.result()
    # every click has an answer: a mask, or a word that the app is being stopped
    assert clicks.statuses() <= {200, 503}, clicks.statuses()
    for late in (one for one in clicks.answers if one.status_code == 503):
        assert int(late.headers["Retry-After"]) > 0
        assert "being stopped" in late.json()["error"]
    told = day.told(track_id)
    assert is_last(told[-1])
    sentence = error_of(told)
    assert "being stopped" in sentence
    safe = safe_frame(sentence)
    assert safe > 0
    stored = day.cells()
    assert {(frame, day.object_ids[0]) for frame in range(safe + 1)} <= stored
    assert "being stopped" in str(fetched)
    # what was found and not fetched is gone with the process: that is told at the next start
    app.start()
    assert day.pop(job).status_code == 404
    assert "The app was restarted while this job tracked" in day.pop(job).json()["message"]
    assert "Traceback" not in app.log()


def last_of(day: Day, job: str) -> str | None:
    """Fetch as a client does until the job has ended; returns why it did."""
    while True:
        answer = day.pop(job).json()
        if not answer["is_inferring"]:
            return str(answer["exception"])
        time.sleep(0.2)


@pytest.mark.long  # the app waits for as long as it may
def test_terminated_while_the_platform_hangs(
    make_app: Callable[..., RunningApp], make_day: Callable[[RunningApp], Day]
) -> None:
    """Neither calls that do not come back nor a job that cannot say its end keep the process."""
    app = make_app(PLATFORM_TIMEOUT_S=60, TRACKING_PATIENCE_S=600)
    day = make_day(app)
    track_id = day.track(0, FRAMES - 1, day.draw(0, (0,)))
    day.wait_for_progress(track_id, 2)
    day.fails(ways=["hang"], hang_s=120)
    with ThreadPoolExecutor(1) as pool:
        clicked = pool.submit(app.post, "smart_segmentation", click_body(day, 90))
        app.until(lambda: "sam2_serving_requests_in_progress 2" in metrics(app))
        asked = time.monotonic()
        terminate(app)
        app.until(lambda: app.post("is_online").json() == {"is_online": False})
        with pytest.raises(httpx.HTTPStatusError, match="503"):
            app.client.get("/is_ready").raise_for_status()
        assert app.client.get("/is_alive").status_code == 200
        refused = app.post("smart_segmentation", click_body(day, 91))
        wait_for_exit(app)
        took = time.monotonic() - asked
        answer = clicked.result()
    assert took < ENDS_WITHIN_S
    assert (refused.status_code, answer.status_code) == (503, 503)
    assert int(answer.headers["Retry-After"]) > 0
    day.fine()
    app.start()
    cut = [line for line in app.log().splitlines() if "A tracking job was cut" in line]
    assert len(cut) == 1, "the client could not be told, so the next start does it"
    assert track_id in cut[0]


def metrics(app: RunningApp) -> str:
    return app.client.get("/metrics").text.replace(".0\n", "\n")


@pytest.mark.long
def test_terminated_when_idle_it_ends_at_once(make_app: Callable[..., RunningApp]) -> None:
    app = make_app()
    terminate(app)
    assert wait_for_exit(app, 5) == -signal.SIGTERM


@pytest.mark.long
def test_a_second_signal_is_in_a_hurry(
    make_app: Callable[..., RunningApp], make_day: Callable[[RunningApp], Day]
) -> None:
    app = make_app(PLATFORM_TIMEOUT_S=60, TRACKING_PATIENCE_S=600)
    day = make_day(app)
    day.wait_for_progress(day.track(0, FRAMES - 1, day.draw(0, (0,))), 2)
    day.fails(ways=["hang"], hang_s=120)
    asked = time.monotonic()
    terminate(app)
    app.until(lambda: not app.is_online())
    terminate(app)
    wait_for_exit(app)
    assert time.monotonic() - asked < 8
