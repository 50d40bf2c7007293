"""Requests that were started and are asked about later (contract, section 2.2)."""

from __future__ import annotations

import contextvars
import json
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from supervisely.sly_logger import logger

from sam2_serving.app import telemetry
from sam2_serving.app.reporting import AppError, MediaNotFound, Overloaded, as_app_error
from sam2_serving.engine import Cancelled, CancelToken

Json = dict[str, Any]

KEPT_S = 3600.0
"""How long predictions wait for a client that does not come."""
AWAITED_S = 30.0
"""After which a client that did not come is not waited for when the process ends."""
CLEARED_KEPT_S = 600.0
"""The SDK's clients stop a request once more after they cleared it."""
MAX_WAITING = 500
"""Predictions that may wait to be fetched; then the job waits."""
MAX_KEPT = 1000
_LOOK_S = 0.2

PREPARING = "Preparing model for inference..."
RUNNING = "Running inference..."
FINISHED = "Finished"
CANCELLED = "Cancelled"
ERROR = "Error"


@dataclass(frozen=True)
class Failure:
    """Why a job has no prediction for something, or ended early."""

    kind: str
    sentence: str

    def json(self) -> Json:
        """Shape it for the client."""
        return {"type": self.kind, "message": self.sentence, "traceback": None}


@dataclass
class InferenceJob:
    """One request: how far it is, and what nobody has fetched yet. Thread-safe."""

    max_bytes: int
    cancel: CancelToken = field(default_factory=CancelToken)
    uuid: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._stage = PREPARING
        self._current, self._total = 0, 1
        self._failure: Failure | None = None
        self._finished = False
        self._paused = False
        self._cleared = False
        self._interruption: AppError | None = None
        self._end_told = False
        self._created = self._updated = time.time()
        self.touched = time.monotonic()

    def begin(self, total: int) -> None:
        """Say how many predictions there will be."""
        with self._changed:
            self._stage, self._total = RUNNING, total
            self._touch()

    def put(self, prediction: bytes) -> None:
        """Add a prediction, as JSON; waits for room.

        Raises:
            Cancelled: the job was stopped meanwhile, or nobody came for too long.
        """
        with self._changed:
            self._touch()
            while self._waiting and (
                len(self._waiting) >= MAX_WAITING or self._bytes + len(prediction) > self.max_bytes
            ):
                self._paused = True
                if self.cancel.cancelled:
                    raise Cancelled("The request was stopped.")
                self._changed.wait(_LOOK_S)
            self._paused = False
            if self._cleared:
                raise Cancelled("The request was cleared.")
            self._waiting.append(prediction)
            self._bytes += len(prediction)
            self._current += 1
            self._touch()

    def pass_over(self) -> None:
        """Count something that has no prediction."""
        with self._changed:
            self._current += 1
            self._touch()

    def end(self, failure: Failure | None) -> None:
        """Say that nothing more comes, and why, if that is an error."""
        with self._changed:
            self._failure, self._finished = failure, True
            if failure is not None:
                self._stage = ERROR
            else:
                self._stage = CANCELLED if self.cancel.cancelled else FINISHED
            self._touch()

    def pop(self) -> bytes:
        """Take out all predictions that wait; the answer of `/pop_inference_results`, as JSON."""
        with self._changed:
            taken, self._waiting, self._bytes = self._waiting, [], 0
            # In one step: who sees the end has got everything. An error is told the next time.
            state = self._state(untold=bool(taken))
            self._touch()
            self._changed.notify_all()
        head = json.dumps({**state, "pending_results": []}, separators=(",", ":")).encode()
        return head.replace(b'"pending_results":[]', b'"pending_results":[%b]' % b",".join(taken))

    def state(self) -> Json:
        """Return the answer of `/get_inference_progress`."""
        with self._changed:
            self.touched = time.monotonic()
            return self._state(untold=bool(self._waiting))

    def interrupt(self, reason: AppError) -> None:
        """Stop, and tell the client why; what was found can still be fetched."""
        if not self._finished:
            self._interruption = reason
            self.cancel.cancel()

    @property
    def interruption(self) -> AppError | None:
        """Why the job was stopped, if it was not by its client; says how far it came."""
        reason = self._interruption
        if reason is None:
            return None
        return type(reason)(f"{reason} {self._current} of {self._total} predictions were made.")

    def clear(self) -> None:
        """Stop, and forget what nobody fetched."""
        self.cancel.cancel()
        with self._changed:
            self._waiting, self._bytes, self._cleared = [], 0, True
            self._changed.notify_all()

    @property
    def nbytes(self) -> int:
        """Bytes of what waits, as JSON."""
        return self._bytes

    @property
    def finished(self) -> bool:
        """Tell whether nothing more comes."""
        return self._finished

    @property
    def unfetched(self) -> bool:
        """Tell whether the end is not known to a client that was here a moment ago."""
        return not (self._end_told or self._cleared or time.monotonic() - self.touched > AWAITED_S)

    @property
    def expired(self) -> bool:
        """Tell whether it may be forgotten."""
        return time.monotonic() - self.touched > (CLEARED_KEPT_S if self._cleared else KEPT_S)

    def _touch(self) -> None:
        self._updated = time.time()
        self.touched = time.monotonic()

    def _state(self, untold: bool) -> Json:
        # Clients give up at the first word of an error: it is said when they have what was found.
        failure = None if untold else self._failure
        self._end_told = self._end_told or (self._finished and not untold)
        stopped = self.cancel.cancelled and self._failure is None
        stage = RUNNING if self._failure and untold else self._stage
        progress = {
            "message": stage,
            "status": stage,
            "current": self._current,
            "total": self._total,
            "is_size": False,
        }
        return {
            "uuid": self.uuid,
            "stage": stage,
            "progress": progress,
            "preparing_progress": progress,
            "pending_results": len(self._waiting),
            "final_result": False,
            "exception": None if failure is None else failure.json(),
            "is_inferring": not self._finished,
            "stopped": stopped,
            "paused": self._paused,
            "finished": self._finished,
            "created_at": self._created,
            "updated_at": self._updated,
            "cancel_inference": stopped,
            "has_result": False,
            "result": False,
        }


class InferenceJobs:
    """The jobs of this process. Thread-safe."""

    def __init__(self, most: int, results_bytes: int) -> None:
        """Make the list.

        Args:
            most: jobs that may run at once.
            results_bytes: of all predictions that wait to be fetched.
        """
        self._most = most
        self._results_bytes = results_bytes
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, InferenceJob] = OrderedDict()

    def start(self, work: Callable[[InferenceJob], Failure | None]) -> InferenceJob:
        """Run `work` on a thread of its own.

        Raises:
            Overloaded: too many jobs run.
        """
        job = InferenceJob(self._results_bytes // self._most)
        self._forget()
        with self._lock:
            if sum(not one.finished for one in self._jobs.values()) >= self._most:
                refusal = Overloaded("As many requests run as may at once: try again later.")
                refusal.retry_after_s = 5.0
                raise refusal
            self._jobs[job.uuid] = job

        def run() -> None:
            with telemetry.job("inference") as ends:
                failure = carried_out(ends)
            job.end(failure)

        def carried_out(ends: list[telemetry.JobEnd]) -> Failure | None:
            try:
                failure = work(job)
            except Cancelled:
                ends.append("stopped")
                why = job.interruption
                # by the client: that is no failure
                return None if why is None else Failure(type(why).__name__, str(why))
            except Exception as error:
                problem = job.interruption or as_app_error(error)
                telemetry.errors.labels(type(problem).__name__).inc()
                logger.warning("An inference request ended early", extra={"error": str(problem)})
                return Failure(type(problem).__name__, str(problem))
            ends.append("finished")
            return failure

        context = contextvars.copy_context()  # the request's token stays out of the log
        name = f"inference-{job.uuid[:8]}"
        thread = threading.Thread(target=context.run, args=(run,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # no more threads: the job will never end by itself
            with self._lock:
                del self._jobs[job.uuid]
            raise
        return job

    def find(self, uuid: str) -> InferenceJob:
        """Find a job.

        Raises:
            MediaNotFound: there is no such job, or not any more.
        """
        self._forget()
        with self._lock:
            job = self._jobs.get(uuid)
        if job is None:
            raise MediaNotFound(
                "There is no such inference request: it was cleared, its results were not fetched "
                "for too long, or the app was restarted."
            )
        return job

    def interrupt(self, reason: AppError) -> None:
        """Let all jobs end soon, and tell their clients why."""
        for job in self._all():
            job.interrupt(reason)

    def give_up(self) -> None:
        """Do nothing: to interrupt a job is to cancel it."""

    @property
    def running(self) -> bool:
        """Tell whether a job has not ended."""
        return any(not job.finished for job in self._all())

    @property
    def unfetched(self) -> bool:
        """Tell whether the end of a job is not known to its client, who may still come for it."""
        return any(job.unfetched for job in self._all())

    def _all(self) -> list[InferenceJob]:
        with self._lock:
            return list(self._jobs.values())

    def _forget(self) -> None:
        """Drop what nobody fetched, the oldest first when it is too much."""
        with self._lock:
            newest_first = list(reversed(self._jobs.values()))
        room = self._results_bytes
        for number, job in enumerate(newest_first):
            room -= job.nbytes
            too_much = job.finished and (room < 0 or number >= MAX_KEPT)
            if job.expired or too_much:
                job.clear()
                with self._lock:
                    self._jobs.pop(job.uuid, None)
