"""What waits for somebody is bounded: jobs, results that nobody fetches."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hard_day import FRAMES, MOST_JOBS, Day

from sam2_serving.app.reporting import MediaNotFound
from sam2_serving.app.tracking import jobs as track_jobs
from sam2_serving.app.tracking.jobs import RunningJob, TrackJobs
from sam2_serving.app.tracking.journal import Journal
from sam2_serving.app.tracking.results import TrackResults
from sam2_serving.engine import Cancelled, CancelToken


def test_more_jobs_than_may_run_are_refused(day: Day) -> None:
    jobs = [day.track_async(0, FRAMES - 1) for _ in range(MOST_JOBS)]
    ids = day.draw(0, (0,))
    refused = [
        day.ask(0, 2, ids),
        day.app.post("track_async", day.envelope(day.inline(0, 2))),
        day.app.post("track_stream", day.envelope(day.inline(0, 2))),
    ]
    for answer in refused:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert "try again" in answer.json()["message"]
    for job in jobs:
        day.app.post("clear_tracking_results", day.envelope({"inference_request_uuid": job}))
    day.wait(lambda: not day.running())
    assert day.track(0, 2, ids)
    day.wait(lambda: not day.running())


def figure(frame: int) -> dict[str, Any]:
    return {"meta": {"frame": frame}, "geometry": "x" * 900}


class Producer(threading.Thread):
    """Puts a figure for each frame, as a job does."""

    def __init__(self, results: TrackResults, frames: int) -> None:
        super().__init__(daemon=True)
        self.results, self.frames = results, frames
        self.put = 0
        self.cancelled = False
        self.most_bytes = 0

    def run(self) -> None:
        try:
            for frame in range(self.frames):
                self.results.put(frame, [figure(frame)])
                self.put += 1
                self.most_bytes = max(self.most_bytes, self.results.nbytes)
        except Cancelled:
            self.cancelled = True


def produce(frames: int = 100) -> Producer:
    """Start a producer and wait until it waits."""
    producer = Producer(TrackResults(10_000, CancelToken()), frames)
    producer.start()
    deadline = time.monotonic() + 20
    while producer.put <= 5:
        assert time.monotonic() < deadline, "it is not heard of"
        time.sleep(0.01)
    time.sleep(0.1)
    assert producer.is_alive(), "it never waited"
    return producer


def test_a_client_that_comes_late_gets_everything() -> None:
    producer = produce()
    assert 5 < producer.put < 15
    popped: list[dict[str, Any]] = []
    while producer.is_alive() or producer.results.nbytes:
        popped += producer.results.pop(None, None)
        time.sleep(0.002)
    assert [one["meta"]["frame"] for one in popped] == list(range(100))
    assert producer.most_bytes <= 10_000


def test_a_frame_larger_than_the_bound_passes_alone() -> None:
    results = TrackResults(100, CancelToken())
    results.put(0, [figure(0)])
    assert len(results.pop(None, None)) == 1


@pytest.fixture
def jobs(tmp_path: Path) -> TrackJobs:
    return TrackJobs(2, 20_000, Journal(tmp_path))


def keep(jobs: TrackJobs, results: TrackResults) -> RunningJob:
    """Let the list know a job that ends at once."""
    job = RunningJob("track", "owner", results.cancel, results)
    jobs.start(job, lambda: None)
    return job


def test_clearing_frees_a_producer_that_waits(jobs: TrackJobs) -> None:
    producer = produce()
    jobs.clear(keep(jobs, producer.results).uuid)
    producer.join(20)
    assert not producer.is_alive()


def test_stopping_frees_a_producer_that_waits_and_keeps_what_is_there(jobs: TrackJobs) -> None:
    producer = produce()
    jobs.stop(keep(jobs, producer.results).uuid, None, "owner")
    producer.join(20)
    assert producer.cancelled
    assert len(producer.results.pop(None, None)) == producer.put


def test_results_that_nobody_fetches_go(jobs: TrackJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_jobs, "RESULTS_KEPT_S", 1.5)
    forgotten = keep(jobs, TrackResults(10_000, CancelToken()))
    running = TrackResults(10_000, CancelToken())
    kept = keep(jobs, running)
    for frame in range(4):
        time.sleep(0.4)
        running.put(frame, [figure(frame)])  # a job that works is not forgotten
    assert len(jobs.with_results(kept.uuid).pop(None, None)) == 4
    with pytest.raises(MediaNotFound):
        jobs.with_results(forgotten.uuid)
    assert forgotten.cancel.cancelled
    assert not kept.cancel.cancelled


def test_of_ended_jobs_the_oldest_results_go_first(jobs: TrackJobs) -> None:
    ended = []
    for _ in range(3):
        results = TrackResults(10_000, CancelToken(), running=False)
        for frame in range(9):
            results.put(frame, [figure(frame)])
        ended.append(keep(jobs, results))
        time.sleep(0.05)
    with pytest.raises(MediaNotFound):
        jobs.with_results(ended[0].uuid)
    assert [len(jobs.with_results(one.uuid).pop(None, None)) for one in ended[1:]] == [9, 9]
