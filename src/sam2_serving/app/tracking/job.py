"""One tracking job: `frames -> tracker -> sink`, with a reporter beside it.

The four ways to ask for tracking differ in where figures come from, where they go and who is told.
All of that is made in `tracking.py`; here is the line that they share.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from supervisely.sly_logger import logger

from sam2_serving.app import telemetry
from sam2_serving.app.reporting import AppError, BadRequest, as_app_error
from sam2_serving.app.tracking.claims import Claim
from sam2_serving.app.tracking.figures import Finish
from sam2_serving.app.tracking.reports import Reporter
from sam2_serving.app.tracking.results import Span
from sam2_serving.app.tracking.sinks import FoundObject, Sink
from sam2_serving.engine import Cancelled, ObjectOnFrame, TrackedFrame, Tracking

MOST_SPANS = 1000
"""An object that flickers through a long video is told of so often, not for ever."""
GONE_AFTER = 3
"""Frames without an object after which it counts as off the screen, if that ends its track."""
LOST = "the object is not on the frame"


def frame_range(start: int, frames: int, backward: bool, count: int | None) -> range:
    """Return the frames to predict, in their order, cut to the video.

    Args:
        start: the frame with the figures.
        frames: how many are wanted after it.
        backward: time runs backward.
        count: frames of the video, or None if the platform does not count them.

    Raises:
        BadRequest: the start lies outside the video, or no frame follows it.
    """
    if count is not None and start >= count:
        raise BadRequest(
            f"The request starts on frame {start}; the video's frames are 0 to {count - 1}."
        )
    if backward:
        wanted = range(start - 1, max(start - frames, 0) - 1, -1)
    else:
        last = start + frames if count is None else min(start + frames, count - 1)
        wanted = range(start + 1, last + 1)
    if not wanted:
        end = "first" if backward else "last"
        raise BadRequest(f"Frame {start} is the video's {end} one: no frame follows to track on.")
    return wanted


@dataclass
class Reviews:
    """Collects frames that a person should look at, as spans; tells of each loss once.

    Attributes:
        spans: the first `MOST_SPANS`.
        open: places of those spans that the next frame may prolong, by object.
    """

    reporter: Reporter
    spans: list[Span]
    open: dict[Hashable, int] = field(default_factory=dict)

    def see(self, object_id: Any, frame: int, reason: str | None) -> None:
        """Take what an object is like on the next frame; None: nothing is wrong."""
        place = self.open.pop(object_id, None)
        if place is not None and self.spans[place].reason == reason:
            self.spans[place] = replace(self.spans[place], last=frame)
            self.open[object_id] = place
        elif reason is not None and len(self.spans) < MOST_SPANS:
            self.open[object_id] = len(self.spans)
            self.spans.append(Span(object_id, frame, frame, reason))
            if reason == LOST:
                self.reporter.warn(f"Object {object_id} is lost from frame {frame} on.")


@dataclass
class TrackJob:
    """What is needed to carry a job out. Runs on a thread of its own.

    Attributes:
        tracking: the engine's side.
        kinds: geometry type of each object: what goes in is what comes out.
        order: of the objects in what the sink gets.
        finish: how masks are told.
        stop_off_screen: an object that stays away ends its track.
        interruption: asked after each frame for a reason to end there.
    """

    tracking: Tracking
    kinds: Mapping[Hashable, str]
    order: Sequence[Hashable]
    sink: Sink
    reporter: Reporter
    finish: Finish
    stop_off_screen: bool = False
    claim: Claim | None = None
    spans: list[Span] = field(default_factory=list)
    interruption: Callable[[], AppError | None] = lambda: None

    def __post_init__(self) -> None:
        self._reviews = Reviews(self.reporter, self.spans)
        self._absent: dict[Hashable, int] = dict.fromkeys(self.order, 0)

    def run(self) -> None:
        """Track to the end.

        Raises:
            Cancelled: somebody stopped it.
            Exception: whatever went wrong; what was stored before stays stored.
        """
        with telemetry.job("tracking") as ends:
            try:
                for frame in self.tracking:
                    telemetry.tracked_frames.inc()
                    self.sink.put(frame.index, self._found(frame))
                    if (reason := self.interruption()) is not None:
                        raise reason
            except Cancelled:
                ends.append("stopped")
                self.sink.abandon(keep=False)
                raise
            except BaseException:
                # What was tracked before it went wrong is not lost.
                self.sink.abandon(keep=True)
                raise
            self.sink.finish()
            ends.append("finished")

    def _found(self, frame: TrackedFrame) -> list[FoundObject]:
        found = []
        for object_id in self.order:
            one = frame.objects.get(object_id)
            if one is None:
                continue  # a person showed it here, or its track has ended
            self._look(object_id, frame.index, one)
            kind = self.kinds[object_id]
            geometries = [] if one.lost else self.finish.geometries(one.mask, kind)
            found.append(FoundObject(object_id, kind, geometries))
        return found

    def _look(self, object_id: Hashable, frame: int, one: ObjectOnFrame) -> None:
        reason = LOST if one.lost else None if one.doubt is None else one.doubt.value
        self._reviews.see(object_id, frame, reason)
        self._absent[object_id] = self._absent[object_id] + 1 if one.lost else 0
        gone = self.stop_off_screen and self._absent[object_id] >= GONE_AFTER
        if gone or (self.claim is not None and self.claim.over(object_id, frame)):
            self.tracking.drop(object_id)


def what_went_wrong(error: Exception, safe: int | None) -> AppError | None:
    """Say why a job ended early and what is safe; None if somebody stopped it.

    Args:
        error: what its `run` raised.
        safe: the last frame that is where it belongs.
    """
    if isinstance(error, Cancelled):
        return None
    reason = as_app_error(error)
    telemetry.errors.labels(type(reason).__name__).inc()
    up_to = f"What was tracked up to frame {safe} is kept."
    problem = AppError(str(reason) if safe is None else f"{reason} {up_to}")
    problem.status, problem.retry_after_s = reason.status, reason.retry_after_s
    logger.warning("Tracking ended early", extra={"error": str(problem)})
    return problem
