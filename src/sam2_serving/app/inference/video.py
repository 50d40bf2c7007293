"""Which frames of a video a request means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sam2_serving.app.inference.predictions import Origin
from sam2_serving.app.inference.requests import FramesState
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.reporting import BadRequest


@dataclass(frozen=True)
class VideoFacts:
    """What the platform says about a video that the caller may see.

    Attributes:
        frames: how many it has, or None if the platform does not count them.
        duration: seconds, or None.
    """

    id: int
    name: str | None
    dataset_id: int | None
    project_id: int | None
    frames: int | None
    duration: float | None

    @classmethod
    def ask(cls, client: PlatformClient, caller: Caller, video_id: int) -> VideoFacts:
        """Ask the platform with the caller's token; raises as `PlatformClient.video_info`."""
        info = client.video_info(caller, video_id)
        meta = info.get("fileMeta")
        meta = meta if isinstance(meta, dict) else {}
        name, duration = info.get("name"), meta.get("duration")
        return cls(
            video_id,
            name if isinstance(name, str) else None,
            _whole(info.get("datasetId")),
            _whole(info.get("projectId")),
            _whole(meta.get("framesCount")),
            float(duration) if isinstance(duration, int | float) and duration > 0 else None,
        )

    def origin(self, frame: int) -> Origin:
        """Say where a frame comes from."""
        return Origin(
            name=self.name,
            dataset_id=self.dataset_id,
            project_id=self.project_id,
            video_id=self.id,
            frame_index=frame,
        )


def wanted_frames(state: FramesState, facts: VideoFacts) -> range:
    """Return the frames in the order in which they are wanted; cut to the video.

    Raises:
        BadRequest: the video has no such start, or nobody knows where it ends; or its objects are
            to be tracked.
    """
    if state.tracker is not None:
        raise BadRequest("This model does not track what it detects: follow objects with /track.")
    if facts.frames is not None and state.start >= facts.frames:
        raise BadRequest(
            f"The request starts at frame {state.start}; the video's frames are "
            f"0 to {facts.frames - 1}."
        )
    backward = state.direction == "backward"
    count = _count(state, facts)
    if backward:
        return range(state.start, max(state.start - count, -1), -state.stride)
    end = state.start + count
    return range(state.start, end if facts.frames is None else min(end, facts.frames), state.stride)


def _count(state: FramesState, facts: VideoFacts) -> int:
    if state.count is not None:
        return state.count
    if state.end is not None:
        count = state.end - state.start if state.direction == "forward" else state.start - state.end
        if count < 1:
            raise BadRequest(
                f"There is no frame from {state.start} {state.direction} to {state.end}, which is "
                "itself not included."
            )
        return count
    if facts.frames is None:
        raise BadRequest("The platform does not count this video's frames: give framesCount.")
    if state.duration is not None:
        if facts.duration is None:
            raise BadRequest("The platform does not say how long this video is: give framesCount.")
        return max(1, int(state.duration * facts.frames / facts.duration))
    return facts.frames


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
