"""Settings, windows, jobs and answers of `/inference_*`, without a server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from sam2_serving.app.inference import jobs as inference_jobs
from sam2_serving.app.inference.jobs import Failure, InferenceJob, InferenceJobs
from sam2_serving.app.inference.pictures import WebPictures
from sam2_serving.app.inference.predictions import Look, Piece, labels_of
from sam2_serving.app.inference.requests import VideoState
from sam2_serving.app.inference.settings import (
    InferenceSettings,
    default_settings,
    read_settings,
)
from sam2_serving.app.inference.tool import SETTINGS_FILE
from sam2_serving.app.inference.video import VideoFacts, wanted_frames
from sam2_serving.app.inference.windows import windows_of
from sam2_serving.app.reporting import (
    AppError,
    BadRequest,
    MediaNotFound,
    MediaTooLarge,
    Overloaded,
    PermissionDenied,
    PlatformTimeout,
)
from sam2_serving.engine import Cancelled
from sam2_serving.masks import Box

# Settings


def settings(**given: Any) -> InferenceSettings:
    return read_settings(default_settings(SETTINGS_FILE), given)


def test_null_keeps_the_default() -> None:
    assert settings(mode=None, points_per_side=None, replace_masks=None) == settings()
    assert settings().mode == "raw"
    assert settings().automatic.points_per_side == 32
    assert settings(points_per_side=8).automatic.points_per_side == 8


def test_boxes_have_exclusive_sides_inside_the_program() -> None:
    one = settings(mode="bbox", bbox_coordinates=[20, 10, 219, 299])
    assert one.boxes == [Box(10, 20, 300, 220)]
    turned = settings(mode="bbox", bbox_coordinates=[[219, 299, 20, 10], [0, 0, 0, 0]])
    assert turned.boxes == [Box(10, 20, 300, 220), Box(0, 0, 1, 1)]


def test_the_rectangle_beside_the_settings_wins_and_is_the_box_if_there_is_none() -> None:
    inside = {"points": {"exterior": [[1, 2], [3, 4]], "interior": []}}
    beside = {"points": {"exterior": [[5, 6], [7, 8]], "interior": []}}
    defaults = default_settings(SETTINGS_FILE)
    read = read_settings(defaults, {"mode": "bbox", "rectangle": inside}, beside)
    assert read.boxes == [Box(5, 6, 8, 9)]


def test_points_of_a_mode_without_points_are_none() -> None:
    """Else `keep_clicked` would drop parts for a click that nobody made."""
    stale = {"point_coordinates": [[5, 6]], "bbox_coordinates": [1, 2, 30, 40]}
    assert settings(**stale, mode="bbox").points == []
    assert settings(**stale, mode="raw").points == []
    assert settings(**stale, mode="combined").points == [(5, 6, True)]


def test_points_without_labels_are_on_the_object() -> None:
    read = settings(mode="points", point_coordinates=[[1, 2], [3, 4]])
    assert read.points == [(1, 2, True), (3, 4, True)]


def test_the_sentence_names_the_setting_once() -> None:
    with pytest.raises(BadRequest) as refused:
        settings(points_per_side="32")
    assert str(refused.value).startswith("settings: points_per_side must be a whole number")


# Windows


def test_windows() -> None:
    region = Box(0, 0, 100, 60)
    assert windows_of(settings(), region) == [region]

    def sliding(**params: Any) -> list[Box]:
        asked = settings(inference_mode="sliding_window", sliding_window_params=params)
        return windows_of(asked, region)

    assert sliding() == [region]
    assert sliding(windowHeight=500, windowWidth=500) == [region]
    shifted = sliding(windowWidth=40)
    assert shifted == [Box(0, 0, 40, 60), Box(40, 0, 80, 60), Box(60, 0, 100, 60)]
    shorter = sliding(windowWidth=40, borderStrategy="change_size")
    assert shorter[2] == Box(80, 0, 100, 60)
    for params in ({"windowWidth": 30, "overlapX": 7}, {"windowHeight": 11, "overlapY": 10}):
        covered = np.zeros((60, 100), int)
        for box in sliding(**params):
            covered[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] += 1
        assert covered.min() == 1
    with pytest.raises(ValueError, match="overlap"):
        sliding(windowWidth=10, overlapX=10)


def test_absurdly_many_windows_are_refused() -> None:
    asked = settings(
        inference_mode="sliding_window",
        sliding_window_params={"windowWidth": 2, "windowHeight": 2, "overlapX": 1},
    )
    with pytest.raises(ValueError, match="at most 10000"):
        windows_of(asked, Box(0, 0, 100_000, 100_000))


# How it is told


def test_geometries_are_moved_to_where_the_piece_is() -> None:
    mask = np.zeros((8, 9), bool)
    mask[1:7, 1:8] = True
    mask[3:5, 3:5] = False
    piece = Piece(mask, 100, 50, {"predicted_iou": 0.5})
    (bitmap,), about = labels_of([piece], Look("a", "bitmap", 0))
    assert bitmap["bitmap"]["origin"] == [101, 51]
    assert (bitmap["geometryType"], about) == ("bitmap", [{"predicted_iou": 0.5}])
    (polygon,), _ = labels_of([piece], Look("a", "polygon", 0))
    outline, hole = polygon["points"]["exterior"], polygon["points"]["interior"][0]
    assert np.min(outline, 0).tolist() == [101, 51]
    assert np.max(outline, 0).tolist() == [107, 56]
    assert np.min(hole, 0).tolist() == [103, 53]
    (box,), _ = labels_of([piece], Look("a", "rectangle", 0))
    assert box["points"]["exterior"] == [[101, 51], [107, 56]]
    assert labels_of([Piece(np.zeros((3, 3), bool))], Look("a", "bitmap", 0)) == ([], [])


# Frames


def frames(known: int | None = 10, **state: Any) -> list[int]:
    facts = VideoFacts(1, "v.mp4", 1, 1, known, 2.0 if known else None)
    return list(wanted_frames(VideoState.model_validate({"video_id": 1, **state}), facts))


def test_frames() -> None:
    assert frames() == list(range(10))
    assert frames(startFrameIndex=8, framesCount=100) == [8, 9]
    assert frames(start_frame=2, end_frame=5) == [2, 3, 4]
    assert frames(start_frame=7, end_frame=5, direction="backward") == [7, 6]
    assert frames(start_frame=7, num_frames=50, stride=3, framesDirection="backward") == [7, 4, 1]
    assert frames(duration=1) == [0, 1, 2, 3, 4]
    assert frames(None, start_frame=3, num_frames=2) == [3, 4]
    for wrong in ({"start_frame": 10}, {"start_frame": 5, "end_frame": 5}):
        with pytest.raises(BadRequest):
            frames(**wrong)
    with pytest.raises(BadRequest, match="framesCount"):
        frames(None)


# Jobs


def popped(job: InferenceJob) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(job.pop())
    return answer


def until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_job_waits_for_a_client_that_does_not_fetch() -> None:
    jobs = InferenceJobs(most=1, results_bytes=1000)
    put: list[int] = []

    def work(job: InferenceJob) -> None:
        job.begin(40)
        for number in range(40):
            job.put(b'"%b"' % (b"x" * 98))
            put.append(number)

    job = jobs.start(work)
    until(lambda: job.state()["paused"])
    assert len(put) == 10
    assert job.nbytes == 1000
    got = 0
    while True:
        answer = popped(job)
        got += len(answer["pending_results"])
        if answer["finished"]:
            break
        time.sleep(0.01)
    assert got == 40
    assert popped(job)["progress"] | {"message": "", "status": ""} == {
        "message": "", "status": "", "current": 40, "total": 40, "is_size": False,
    }  # fmt: skip


def test_a_stopped_job_does_not_wait() -> None:
    jobs = InferenceJobs(most=1, results_bytes=10)
    job = jobs.start(lambda job: [job.put(b"1234567890") for _ in range(9)] and None)
    until(lambda: job.state()["paused"])
    job.cancel.cancel()
    until(lambda: job.finished)
    assert job.state()["stage"] == inference_jobs.CANCELLED
    assert job.state()["exception"] is None


def test_an_error_is_told_after_what_was_found() -> None:
    jobs = InferenceJobs(most=1, results_bytes=1000)

    def work(job: InferenceJob) -> Failure:
        job.begin(2)
        job.put(b"{}")
        job.pass_over()
        return Failure("MediaNotFound", 'There is no "pending_results":[] here.')

    job = jobs.start(work)
    until(lambda: job.finished)
    assert job.state()["exception"] is None
    first = popped(job)
    assert (first["pending_results"], first["exception"], first["finished"]) == ([{}], None, True)
    assert first["stage"] != inference_jobs.ERROR
    second = popped(job)
    assert second["pending_results"] == []
    assert second["exception"]["message"].startswith("There is no")
    assert second["stage"] == inference_jobs.ERROR


def test_a_defect_in_the_work_ends_the_job_in_words() -> None:
    jobs = InferenceJobs(most=1, results_bytes=1000)

    def work(job: InferenceJob) -> None:
        raise RuntimeError("secret")

    job = jobs.start(work)
    until(lambda: job.finished)
    assert "secret" not in json.dumps(job.state())
    assert job.state()["exception"]["type"] == "Unexpected"


def test_no_more_jobs_than_allowed_and_none_that_is_unknown() -> None:
    jobs = InferenceJobs(most=2, results_bytes=1000)
    goes_on = threading.Event()

    def work(job: InferenceJob) -> None:
        goes_on.wait(10)

    first, second = jobs.start(work), jobs.start(work)
    assert len({first.uuid, second.uuid}) == 2
    with pytest.raises(Overloaded):
        jobs.start(work)
    goes_on.set()
    until(lambda: first.finished and second.finished)
    jobs.start(work)
    with pytest.raises(MediaNotFound):
        jobs.find("00000000000000000000000000000000")


def test_a_job_that_gets_no_thread_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = InferenceJobs(1, 1000)

    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            jobs.start(lambda job: None)
    jobs.start(lambda job: None)


def test_what_nobody_fetches_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = InferenceJobs(most=1, results_bytes=1000)
    job = jobs.start(lambda job: job.put(b"{}"))
    until(lambda: job.finished)
    assert jobs.find(job.uuid) is job
    monkeypatch.setattr(inference_jobs, "KEPT_S", -1.0)
    with pytest.raises(MediaNotFound):
        jobs.find(job.uuid)


def test_a_job_that_waits_for_nobody_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = InferenceJobs(most=1, results_bytes=10)
    stuck = jobs.start(lambda job: [job.put(b"1234567890") for _ in range(9)] and None)
    until(lambda: stuck.state()["paused"])
    monkeypatch.setattr(inference_jobs, "KEPT_S", -1.0)
    with pytest.raises(MediaNotFound):
        jobs.find(stuck.uuid)
    until(lambda: stuck.finished)
    jobs.start(lambda job: None)


def test_a_cleared_job_may_be_cleared_again() -> None:
    jobs = InferenceJobs(most=1, results_bytes=1000)
    job = jobs.start(lambda job: job.put(b"{}"))
    until(lambda: job.finished)
    job.clear()
    assert job.nbytes == 0
    jobs.find(job.uuid).cancel.cancel()
    jobs.find(job.uuid).clear()
    assert popped(jobs.find(job.uuid))["pending_results"] == []


def test_nothing_is_kept_for_a_cleared_job() -> None:
    jobs = InferenceJobs(most=1, results_bytes=1000)
    goes_on = threading.Event()

    def work(job: InferenceJob) -> None:
        goes_on.wait(10)
        job.put(b"{}")  # was being made when the client cleared the request

    job = jobs.start(work)
    job.clear()
    goes_on.set()
    until(lambda: job.finished)
    assert job.nbytes == 0
    assert job.state()["exception"] is None


def test_what_is_kept_of_finished_jobs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_jobs, "MAX_KEPT", 5)
    for each_bytes, kept in ((10, 5), (400, 2)):
        jobs = InferenceJobs(most=1, results_bytes=1000)
        done = []
        for _ in range(20):
            job = jobs.start(lambda job, size=each_bytes: job.put(b"1" * size))  # type: ignore[misc]
            until(lambda job=job: job.finished)  # type: ignore[misc]
            done.append(job)
        assert jobs.find(done[-1].uuid) is done[-1]
        assert [job for job in done if job.nbytes] == done[-kept:]
        with pytest.raises(MediaNotFound):
            jobs.find(done[-kept - 1].uuid)


def test_cancelled_work_is_no_failure() -> None:
    jobs = InferenceJobs(most=1, results_bytes=1000)

    def work(job: InferenceJob) -> None:
        raise Cancelled("x")

    job = jobs.start(work)
    until(lambda: job.finished)
    assert job.state()["exception"] is None


# Pictures of the web


@pytest.fixture
def web() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            for _ in range(100 if self.path in ("/large", "/drips") else 1):
                self.wfile.write(b"x" * (1000 if self.path == "/large" else 1))
                time.sleep(0.05 if self.path == "/drips" else 0)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def pictures(servers: list[str], hosts: list[str]) -> WebPictures:
    return WebPictures(servers, hosts, timeout_s=1.0, max_bytes=50_000)


def test_only_allowed_hosts_are_asked(web: str) -> None:
    assert pictures([], [web]).fetch(f"http://{web}/a.png") == b"x"
    assert pictures([f"http://{web}"], []).fetch(f"http://{web}/a.png") == b"x"
    for hosts in ([], ["127.0.0.1"], ["127.0.0.1:9"], [web.replace("127.0.0.1", "localhost")]):
        with pytest.raises(PermissionDenied):
            pictures([], hosts).fetch(f"http://{web}/a.png")


@pytest.mark.parametrize(
    "address",
    [
        "http://allowed.example@{web}/",
        "http://allowed.example:80@{web}/",
        "http://{web}#@allowed.example/",
        "http://{web}\\@allowed.example/",
        "http://{web}?allowed.example",
        "ftp://allowed.example/",
        "allowed.example/a.png",
        "http:///a.png",
        "",
    ],
)
def test_an_address_cannot_pretend_to_be_another(web: str, address: str) -> None:
    with pytest.raises(AppError):
        pictures([], ["allowed.example"]).fetch(address.format(web=web))


def test_bad_answers_of_the_web(web: str) -> None:
    allowed = pictures([], [web])
    with pytest.raises(MediaNotFound):
        allowed.fetch(f"http://{web}/moved")
    with pytest.raises(MediaTooLarge):
        allowed.fetch(f"http://{web}/large")
    with pytest.raises(PlatformTimeout):
        allowed.fetch(f"http://{web}/drips")
