"""The tracking jobs of this process: started, found again, stopped, forgotten."""

from __future__ import annotations

import contextvars
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sam2_serving.app.reporting import AppError, MediaNotFound, Overloaded
from sam2_serving.app.tracking.journal import Journal
from sam2_serving.app.tracking.results import TrackResults
from sam2_serving.engine import CancelToken

RESULTS_KEPT_S = 3600.0
"""How long results wait for a client that does not come."""


AWAITED_S = 30.0
"""After which a client that did not come is not waited for when the process ends."""


@dataclass
class RunningJob:
    """A job that was started.

    Attributes:
        results: what its client fetches; None if figures go to the platform, or into the answer.
        interruption: why it is to end at the next frame, if the process ends.
    """

    track_id: int | str
    token_hash: str
    cancel: CancelToken
    results: TrackResults | None = None
    uuid: str = field(default_factory=lambda: uuid.uuid4().hex)
    interruption: AppError | None = None


class TrackJobs:
    """Starts jobs on threads of their own. Thread-safe."""

    def __init__(self, most: int, results_bytes: int, journal: Journal) -> None:
        """Make the list of jobs.

        Args:
            most: jobs that may run at once.
            results_bytes: of all results that wait to be fetched.
            journal: knows the jobs that an earlier process did not end.
        """
        self.journal = journal
        self.results_bytes = results_bytes // most
        """Of one job's results."""
        self._results_bytes = results_bytes
        self._most = most
        self._lock = threading.Lock()
        self._running: dict[str, RunningJob] = {}
        self._kept: dict[str, RunningJob] = {}

    def start(self, job: RunningJob, work: Callable[[], None]) -> None:
        """Run `work` on a new thread.

        Raises:
            Overloaded: too many jobs run.
        """
        self._enter(job)
        context = contextvars.copy_context()  # the request's token stays out of the log

        def run() -> None:
            try:
                work()
            finally:
                self._leave(job)

        threading.Thread(
            target=context.run, args=(run,), name=f"track-{job.uuid[:8]}", daemon=True
        ).start()

    @contextmanager
    def turn(self, job: RunningJob) -> Iterator[None]:
        """Count a job that runs on the caller's thread.

        Raises:
            Overloaded: too many jobs run.
        """
        self._enter(job)
        try:
            yield
        finally:
            self._leave(job)

    def _enter(self, job: RunningJob) -> None:
        self._forget_old()
        with self._lock:
            if len(self._running) >= self._most:
                raise _too_many()
            self._running[job.uuid] = job
            if job.results is not None:
                self._kept[job.uuid] = job

    def _leave(self, job: RunningJob) -> None:
        with self._lock:
            self._running.pop(job.uuid, None)

    def with_results(self, uuid: str) -> TrackResults:
        """Find the results of a job.

        Raises:
            MediaNotFound: there is no such job, or not any more.
        """
        self._forget_old()
        with self._lock:
            job = self._kept.get(uuid)
        if job is None or job.results is None:
            raise self._unknown(uuid)
        return job.results

    def stop(self, uuid: str | None, track_id: int | str | None, token_hash: str) -> None:
        """Stop a job, or all jobs that this caller started under a track id.

        Raises:
            MediaNotFound: there is no such job, or not any more.
        """
        with self._lock:
            known = [*self._running.values(), *self._kept.values()]
        if uuid is not None:
            meant = [job for job in known if job.uuid == uuid]
        else:
            meant = [
                job for job in known if job.track_id == track_id and job.token_hash == token_hash
            ]
        if not meant:
            raise self._unknown(uuid or "")
        for job in meant:
            job.cancel.cancel()

    def interrupt(self, reason: AppError) -> None:
        """Let all jobs end after the frame at which they are, and tell their clients why."""
        for job in self._all_running():
            job.interruption = reason

    def give_up(self) -> None:
        """Let the jobs that have not ended do so at once; what waits to be stored is not."""
        for job in self._all_running():
            job.cancel.cancel()

    @property
    def running(self) -> bool:
        """Tell whether a job has not ended."""
        return bool(self._all_running())

    @property
    def unfetched(self) -> bool:
        """Tell whether the end of a job is not known to its client, who may still come for it."""
        now = time.monotonic()
        with self._lock:
            kept = [job.results for job in self._kept.values() if job.results is not None]
        return any(not one.end_told and now - one.touched < AWAITED_S for one in kept)

    def _all_running(self) -> list[RunningJob]:
        with self._lock:
            return list(self._running.values())

    def clear(self, uuid: str) -> None:
        """Stop a job and forget its results; nothing happens if it is forgotten already."""
        with self._lock:
            job = self._kept.pop(uuid, None)
        if job is not None and job.results is not None:
            job.cancel.cancel()
            job.results.drop()

    def _unknown(self, uuid: str) -> MediaNotFound:
        cut = self.journal.cut.get(uuid)
        return MediaNotFound(
            "There is no such tracking job: it was cleared, or its results were not fetched for "
            "too long."
            if cut is None
            else cut.sentence()
        )

    def _forget_old(self) -> None:
        """Drop results that nobody fetched, and what was kept of jobs long ended."""
        now = time.monotonic()
        with self._lock:
            kept = [(job.uuid, job.results) for job in self._kept.values() if job.results]
        room = self._results_bytes
        for id, results in reversed(kept):  # the newest are kept longest
            room -= results.nbytes
            too_much = room < 0 and not results.running
            if too_much or now - results.touched > RESULTS_KEPT_S:
                self.clear(id)


def _too_many() -> Overloaded:
    problem = Overloaded("As many videos are being tracked as may be at once: try again later.")
    problem.retry_after_s = 5.0
    return problem
