"""What fails for good ends a job with a clear error; what was stored stays, and nothing follows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hard_day import FRAMES, PATIENCE_S, TIMEOUT_S, Day, error_of, is_final, is_last, safe_frame
from live import RunningApp
from test_deploying import deploy

QUICK_PATIENCE_S = 1.0


@pytest.fixture(scope="module")
def quick_app(make_app: Callable[..., RunningApp]) -> RunningApp:
    """An app of little patience, on a device that the SDK lets freeze."""
    return make_app(TRACKING_PATIENCE_S=QUICK_PATIENCE_S, DEVICE="cpu:0", MAX_VIDEO_MB=2048)


@pytest.fixture
def quick(make_day: Callable[[RunningApp], Day], quick_app: RunningApp) -> Day:
    return make_day(quick_app)


def begin(day: Day, frames: int = FRAMES - 1, done: int = 2) -> str:
    """Start a job and let it store some frames."""
    track_id = day.track(0, frames, day.draw(0, (0,)))
    day.wait_for_progress(track_id, done)
    return track_id


def ended_early(day: Day, track_id: str) -> str:
    """Check what a job left that ended early; returns its error's sentence."""
    told = day.wait_for_end(track_id)
    assert not any(map(is_final, told))
    sentence = error_of(told)
    day.fine()
    safe = safe_frame(sentence)
    assert safe > 0, sentence
    stored = day.cells()
    assert {(frame, day.object_ids[0]) for frame in range(safe + 1)} <= stored
    time.sleep(0.3)
    assert day.cells() == stored, "something is stored after the end"
    assert day.told(track_id) == told, "something is told after the end"
    return sentence


@pytest.mark.parametrize("route", ["figures.bulk.add", "figures.list"])
def test_storing_fails_for_good(quick: Day, route: str) -> None:
    track_id = begin(quick)
    quick.fails(routes=[route], ways=["error"])
    asked = time.monotonic()
    quick.wait_for_end(track_id)
    # the wait between two attempts may double the patience; each has its own time-out
    assert time.monotonic() - asked < 2 * QUICK_PATIENCE_S + 4 * TIMEOUT_S + 2
    assert "fails with status 500" in ended_early(quick, track_id)
    # tracked again from the start, everything is there once
    start = [one["id"] for one in quick.figures() if one["meta"]["frame"] == 0]
    assert is_final(quick.wait_for_end(quick.track(0, 8, start))[-1])
    assert {frame for frame, _ in quick.cells()} >= set(range(9))


@pytest.mark.long
def test_a_superseded_job_that_fails_is_silent(quick: Day) -> None:
    """Its error would end the bar of the job that took its place.

    On a machine that stalls, the older job may fail before the newer one is asked for: then both
    say so, and rightly.
    """
    ids = quick.draw(0, (0,))
    old = quick.track(0, 12, ids)
    quick.wait_for_progress(old, 2)
    quick.fails(routes=["figures.bulk.add"], ways=["error"])
    new = quick.track(0, 5, ids, trackId=old)
    told = quick.wait_for_end(new)
    assert sum(map(is_last, told)) == 1, [one["data"] for one in told if is_last(one)]


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        pytest.param("error", "fails with status 500", marks=pytest.mark.long),
        ("broken", "is no picture"),
    ],
)
def test_frames_cannot_be_fetched(day: Day, way: str, sentence: str) -> None:
    track_id = begin(day)
    day.fails(routes=["videos.download-frame"], ways=[way])
    assert sentence in ended_early(day, track_id)


@pytest.mark.long
def test_the_platform_is_gone_for_the_length_of_the_patience(day: Day) -> None:
    """All routes fail: the error is told when the platform is back."""
    track_id = begin(day)
    day.fails(ways=["reset"])
    time.sleep(PATIENCE_S + 2)
    assert len(day.told(track_id)) < FRAMES
    day.fine()
    ended_early(day, track_id)


def freeze(app: RunningApp) -> Any:
    answer = app.post("freeze_model").json()
    assert answer["message"] == "Model is frozen.", answer


def redeploy(app: RunningApp) -> None:
    assert deploy(app, device="cpu:0").status_code == 200


def stop_and_serve(app: RunningApp) -> None:
    assert app.post("stop_model").status_code == 200, "the model is not stopped"
    redeploy(app)


MODEL_GOES = {"redeployed": redeploy, "stopped": stop_and_serve, "frozen": freeze}


@pytest.mark.parametrize("how", MODEL_GOES)
def test_the_model_goes_in_the_middle(quick: Day, how: str) -> None:
    track_id = begin(quick)
    asked = time.monotonic()
    MODEL_GOES[how](quick.app)
    assert time.monotonic() - asked < 10, "it waited for the job"
    assert "stopped or replaced" in ended_early(quick, track_id)
    start = [one["id"] for one in quick.figures() if one["meta"]["frame"] == 0]
    again = quick.track(0, 5, start)
    assert is_final(quick.wait_for_end(again)[-1])


def test_a_redeploy_does_not_wait_for_a_frame_that_does_not_come(day: Day) -> None:
    track_id = begin(day)
    day.fails(routes=["videos.download-frame"], ways=["hang"], hang_s=5)
    asked = time.monotonic()
    redeploy(day.app)
    assert time.monotonic() - asked < 10
    ended_early(day, track_id)


# Nothing is left behind


def left_behind(app: RunningApp) -> tuple[int, int]:
    """Threads and open files of the process."""
    assert app.process is not None
    return app.threads(), len(list(Path(f"/proc/{app.process.pid}/fd").iterdir()))


ENDS = ["finished", "stopped", "failed", "refused", "cleared", "left"]


def end_in_a_way(day: Day, way: str) -> None:
    match way:
        case "finished":
            day.wait_for_end(day.track(0, 2, day.draw(0, (0,))))
        case "stopped":
            track_id = begin(day, done=1)
            httpx.post(f"{day.address}/workspace/api/tracks/{track_id}/stop").raise_for_status()
        case "failed":
            track_id = begin(day, done=1)
            day.fails(routes=["figures.bulk.add"], ways=["error"])
            day.wait_for_end(track_id)
            day.fine()
        case "refused":
            day.wait_for_end(day.track(5, 2, day.draw(0, (0,))))
        case "cleared":
            job = day.track_async(0, 50)
            body = day.envelope({"inference_request_uuid": job})
            assert day.app.post("clear_tracking_results", body).status_code == 200
        case "left":
            body = day.envelope(day.inline(0, 50))
            with day.app.client.stream("POST", "/track_stream", json=body) as answer:
                next(answer.iter_lines())
    day.wait(lambda: not day.running())


@pytest.mark.long
def test_nothing_is_left_behind(quick: Day) -> None:
    for way in ENDS:
        end_in_a_way(quick, way)
    time.sleep(1)
    before = left_behind(quick.app)
    for way in [*ENDS] * 3:
        end_in_a_way(quick, way)
    # connections and idle threads of pools come and go; what leaks grows with each of 18 jobs
    quick.wait(lambda: all(n <= b + 3 for n, b in zip(left_behind(quick.app), before, strict=True)))
    assert quick.running() == []


# The process ends


def test_a_killed_process_is_reported_at_the_next_start(
    quick_app: RunningApp, make_day: Callable[[RunningApp], Day]
) -> None:
    day = make_day(quick_app)
    track_id = begin(day)
    job = day.track_async(0, FRAMES - 1, (1, 2))
    day.wait(lambda: day.pop(job).json()["progress"]["current"] > 0)
    assert len(day.running()) == 2
    folder = Path(quick_app.environment["SAM2_SERVING_DATA_DIR"]) / "tracking"
    day.wait(lambda: list((folder / "videos").iterdir()))
    (folder / "jobs" / "half.new").write_text('{"uu')
    assert quick_app.process is not None
    quick_app.process.kill()
    quick_app.process.wait()
    stored = max(frame for frame, _ in day.cells())
    quick_app.start()
    assert day.running() == []
    assert list((folder / "videos").iterdir()) == []
    gone = day.pop(job)
    assert gone.status_code == 404
    assert f"tracked video {day.video} from frame 0" in gone.json()["message"]
    cut = [line for line in quick_app.log().splitlines() if "A tracking job was cut" in line]
    assert len(cut) == 2, cut
    assert any(job in line for line in cut)
    [line] = [line for line in cut if track_id in line]
    named = int(line.split(" was the last")[0].split()[-1])
    assert 1 <= named <= stored


@pytest.mark.long
def test_an_app_that_is_stopped_ends_although_the_platform_hangs(
    quick_app: RunningApp, make_day: Callable[[RunningApp], Day]
) -> None:
    day = make_day(quick_app)
    day.fails(routes=["videos.download"], ways=["hang"], hang_s=60)
    begin(day)
    day.fails(ways=["hang"], hang_s=60)
    asked = time.monotonic()
    quick_app.stop()
    assert time.monotonic() - asked < 8
