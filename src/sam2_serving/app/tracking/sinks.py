"""Where tracked figures go: to the platform, to a client that fetches them, or into the answer."""

from __future__ import annotations

import contextlib
import contextvars
import json
import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sam2_serving.app.platform.video import NewFigure
from sam2_serving.app.reporting import AppError, MediaTooLarge
from sam2_serving.app.tracking.claims import Claim
from sam2_serving.app.tracking.reports import Progress, Reporter
from sam2_serving.app.tracking.results import TrackResults
from sam2_serving.app.tracking.uploads import Uploads
from sam2_serving.engine import Cancelled, CancelToken

BATCH = 100
"""Figures a call, as the platform's own client sends them."""
FRAMES_WAITING = 8


@dataclass(frozen=True)
class FoundObject:
    """One object on a tracked frame, in the platform's words.

    Attributes:
        object_id: the client's.
        kind: of its geometries.
        geometries: none if it is lost.
    """

    object_id: Any
    kind: str
    geometries: list[dict[str, Any]]


class Sink(Protocol):
    """Takes the frames of a job in their order."""

    def put(self, frame: int, objects: Sequence[FoundObject]) -> None:
        """Take a frame; may wait for room. Raises what made an earlier frame fail."""

    def finish(self) -> None:
        """All frames were put: return when they are where they belong, and that is reported."""

    def abandon(self, keep: bool) -> None:
        """The job ends early: put what waits where it belongs, or drop it.

        Raises what made an earlier frame fail.
        """

    @property
    def safe(self) -> int | None:
        """The last frame, in the order of tracking, that is where it belongs."""


class AnswerSink:
    """Collects everything for one answer."""

    def __init__(self, max_bytes: int) -> None:
        self.frames: list[Sequence[FoundObject]] = []
        self.safe: int | None = None
        self._room = max_bytes

    def put(self, frame: int, objects: Sequence[FoundObject]) -> None:
        """Keep a frame; raises MediaTooLarge if no more fits an answer."""
        self._room -= sum(len(json.dumps(one.geometries)) for one in objects)
        if self._room < 0:
            raise MediaTooLarge("The answer gets too large: ask for fewer frames at once.")
        self.frames.append(objects)
        self.safe = frame

    def finish(self) -> None:
        """Nothing is left to do."""

    def abandon(self, keep: bool) -> None:
        """Drop everything whatever is wished: half an answer is none."""
        del keep
        self.frames.clear()


class ResultsSink:
    """Keeps figures until the client fetches them."""

    def __init__(
        self,
        results: TrackResults,
        figure_ids: dict[Hashable, Any],
        claim: Claim,
        reporter: Reporter,
        landed: Callable[[int], None],
    ) -> None:
        """Take where figures go.

        Args:
            results: of this job.
            figure_ids: of the figures that were sent, by object.
            claim: what this job may still write.
            reporter: is told after each frame.
            landed: is told the frame that is safe now.
        """
        self._landed = landed
        self._results = results
        self._figure_ids = figure_ids
        self._claim = claim
        self._reporter = reporter
        self.safe: int | None = None

    def put(self, frame: int, objects: Sequence[FoundObject]) -> None:
        """Offer a frame's figures; waits while too many are not fetched."""
        figures = [
            {
                "id": self._figure_ids.get(one.object_id),
                "objectId": one.object_id,
                "geometryType": one.kind,
                "geometry": geometry,
                "meta": {"frame": frame},
            }
            for one in objects
            if self._claim.allows(one.object_id, frame)
            for geometry in one.geometries
        ]
        self._results.put(frame, figures)
        self._results.current += 1
        self.safe = frame
        self._landed(frame)
        if self._results.current < self._results.total and not self._claim.superseded:
            self._reporter.progress(self._progress(frame))

    def finish(self) -> None:
        """Report the end."""
        self._results.current = self._results.total
        if not self._claim.superseded:
            last = self._claim.frames[-1] if self.safe is None else self.safe
            self._reporter.finish(self._progress(last), self._claim.hush)

    def abandon(self, keep: bool) -> None:
        """Leave what was offered to be fetched, whatever is wished."""
        del keep

    def _progress(self, frame: int) -> Progress:
        return Progress(self._results.current, self._results.total, frame, frame)


class UploadSink:
    """Stores figures on the platform, on a thread of its own, and reports what is stored."""

    def __init__(
        self,
        uploads: Uploads,
        claim: Claim,
        reporter: Reporter,
        total: int,
        cancel: CancelToken,
        landed: Callable[[int], None],
    ) -> None:
        """Start the thread.

        Args:
            uploads: stores batches, each figure once.
            claim: what this job may still write.
            reporter: is told after each batch; it may say stop.
            total: frames of the job.
            cancel: is cancelled when the user presses stop, or storing fails for good.
            landed: is told the frame that is safe now.
        """
        self._landed = landed
        self._uploads = uploads
        self._claim = claim
        self._reporter = reporter
        self._total = total
        self._cancel = cancel
        self._done = 0
        self._untold: int | None = None
        """The first stored frame that the client does not know of."""
        self._error: BaseException | None = None
        self.safe: int | None = None
        self._waiting: queue.Queue[tuple[int, Sequence[FoundObject]] | None] = queue.Queue(
            FRAMES_WAITING
        )
        # with the request's context: its token is kept out of the log of this thread too
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), name="figure-upload", daemon=True
        )
        self._thread.start()

    def put(self, frame: int, objects: Sequence[FoundObject]) -> None:
        """Queue a frame; waits while `FRAMES_WAITING` are not stored."""
        self._waiting.put((frame, objects))
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Wait until everything is stored; report the end.

        Raises:
            Cancelled: the job was stopped; what still waited is not stored.
        """
        self._waiting.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._uploads.settle(self._claim)
        if self._cancel.cancelled and self._done < self._total:
            raise Cancelled("Tracking was stopped.")
        if not self._claim.superseded:
            last = self._claim.frames[-1] if self.safe is None else self.safe
            self._reporter.finish(self._progress(self._total, last), self._claim.hush)

    def abandon(self, keep: bool) -> None:
        """Store what waits, or drop it."""
        if not keep:
            self._cancel.cancel()
        self._waiting.put(None)
        self._thread.join()
        with contextlib.suppress(AppError, Cancelled):
            self._uploads.settle(self._claim)
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._next_batch()
            if not batch or self._error is not None or self._cancel.cancelled:
                continue  # whoever puts must not wait for ever
            try:
                self._store(batch)
            except BaseException as error:  # told to whoever puts next
                self._error = error
                self._cancel.cancel()

    def _next_batch(self) -> tuple[list[tuple[int, Sequence[FoundObject]]], bool]:
        """Wait for a frame; take what else is there, up to a call's worth of figures."""
        first = self._waiting.get()
        if first is None:
            return [], True
        batch, count = [first], _figures_on(first)
        while count < BATCH:
            try:
                more = self._waiting.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return batch, True
            batch.append(more)
            count += _figures_on(more)
        return batch, False

    def _store(self, batch: list[tuple[int, Sequence[FoundObject]]]) -> None:
        figures = [
            NewFigure(one.object_id, frame, one.kind, geometry)
            for frame, objects in batch
            for one in objects
            for geometry in one.geometries
        ]
        lost = [
            (one.object_id, frame)
            for frame, objects in batch
            for one in objects
            if not one.geometries
        ]
        self._uploads.store(figures, lost, self._claim)
        self.safe = last = batch[-1][0]
        self._landed(last)
        self._done += len(batch)
        if self._untold is None:
            self._untold = batch[0][0]
        if self._done < self._total and not self._claim.superseded:
            stop = self._reporter.progress(self._progress(self._done, last))
            if stop is not None:
                self._untold = None
            if stop:
                self._cancel.cancel()

    def _progress(self, done: int, last: int) -> Progress:
        """Name all frames that the client does not know of: it fetches what is named only."""
        first = last if self._untold is None else self._untold
        return Progress(done, self._total, min(first, last), max(first, last))


def _figures_on(entry: tuple[int, Sequence[FoundObject]]) -> int:
    return sum(len(one.geometries) for one in entry[1])
