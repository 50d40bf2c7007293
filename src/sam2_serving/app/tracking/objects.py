"""From figures on frames to objects that the engine can follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from supervisely.sly_logger import logger

from sam2_serving.app.platform.video import VideoFigure, VideoFigures
from sam2_serving.app.reporting import UnsupportedGeometry
from sam2_serving.app.tracking.figures import TRACKED_SHAPES, Finish, mask_of, prompts_of
from sam2_serving.app.tracking.starts import Starts
from sam2_serving.engine import Keyframe, ObjectToTrack
from sam2_serving.engine.tracking import REBUILT_FROM
from sam2_serving.model import Prompts

Size = tuple[int, int]
ObjectId = Any


class Past:
    """What a video's figures say of objects on other frames than the start."""

    def __init__(
        self,
        figures: VideoFigures,
        stored: Iterable[VideoFigure],
        size: Size,
        start: int,
        frames: range,
        insist: Callable[[Callable[[], list[VideoFigure]]], list[VideoFigure]],
    ) -> None:
        """Sort them.

        Args:
            figures: of the video, to fetch geometries from.
            stored: what is stored of the objects, without geometries.
            size: (width, height) of the frames.
            start: the frame where tracking starts.
            frames: the frames to predict, in their order.
            insist: calls the platform until it answers.
        """
        self._figures = figures
        self._size = size
        self._start = start
        self._frames = frames
        self._insist = insist
        self._frames_of: dict[ObjectId, dict[int, list[VideoFigure]]] = defaultdict(dict)
        for one in stored:
            if one.kind in TRACKED_SHAPES and one.frame != start:
                self._frames_of[one.object_id].setdefault(one.frame, []).append(one)

    def object(
        self, object_id: ObjectId, starts: Starts, use_keyframes: bool, finish: Finish
    ) -> ObjectToTrack:
        """Return an object with all that is known of it; `finish`: how its masks are told."""
        keyframes = self._keyframes(object_id) if use_keyframes else {}
        return replace(
            starts.alone(object_id),
            by_person=any(one.by_person for one in starts.figures[object_id]),
            keyframes=keyframes,
            before=self._before(object_id),
            last=self._last(object_id, keyframes),
            comes_back_as=partial(finish.read_back, kind=starts.kinds[object_id]),
        )

    def _keyframes(self, object_id: ObjectId) -> dict[int, Keyframe]:
        """Frames on which a person showed the object; read only when they are needed."""
        return {
            frame: Keyframe(
                " ".join(sorted(one.version for one in ones)), partial(self._prompts, ones)
            )
            for frame, ones in self._frames_of[object_id].items()
            if any(one.by_person for one in ones)
        }

    def _before(self, object_id: ObjectId) -> dict[int, Callable[[], npt.NDArray[np.bool_]]]:
        step = self._frames.step
        near = [self._start - step * away for away in range(1, REBUILT_FROM + 1)]
        known = self._frames_of[object_id]
        return {frame: partial(self._mask, known[frame]) for frame in near if frame in known}

    def _last(self, object_id: ObjectId, keyframes: Mapping[int, Keyframe]) -> int | None:
        """Where a correction ends: on the next human keyframe, if tracking went on from there."""
        step = self._frames.step
        ahead = sorted(
            (frame for frame in keyframes if frame in self._frames), key=lambda f: f * step
        )
        if ahead and ahead[0] + step in self._frames_of[object_id]:
            return ahead[0]
        return None

    def _mask(self, ones: Sequence[VideoFigure]) -> npt.NDArray[np.bool_]:
        return self._drawn(self._with_geometry(ones))

    def _prompts(self, ones: Sequence[VideoFigure]) -> Prompts:
        """Read a keyframe; no prompts if its figures were removed, or none can be read."""
        found = self._with_geometry(ones)
        mask = self._drawn(found)
        return prompts_of(found[0].kind, mask) if mask.any() else Prompts()

    def _drawn(self, ones: Sequence[VideoFigure]) -> npt.NDArray[np.bool_]:
        width, height = self._size
        mask = np.zeros((height, width), bool)
        for one in ones:
            try:
                mask |= mask_of(one.kind, one.geometry or {}, self._size, _name(one))
            except UnsupportedGeometry as problem:
                logger.warning("A figure tells the tracker nothing", extra={"error": str(problem)})
        return mask

    def _with_geometry(self, ones: Sequence[VideoFigure]) -> list[VideoFigure]:
        ids = [one.id for one in ones]
        return self._insist(lambda: self._figures.named(ids, geometries=True))


def _name(figure: VideoFigure) -> str:
    return f"Figure {figure.id} on frame {figure.frame}"
