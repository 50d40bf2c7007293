"""What a tracking job is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sam2_serving.engine.doubts import Doubt, DoubtRules
from sam2_serving.model import Prompts

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Frames(Protocol):
    """The frames of one video, uint8 HxWx3, RGB. Both methods block and may be called at once."""

    def frame(self, index: int) -> Frame:
        """Fetch one frame."""

    def run(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Fetch frames in this order, reading ahead."""


@dataclass(frozen=True)
class Keyframe:
    """A frame on which a person said where the object is.

    Attributes:
        version: changes when the prompts do.
        prompts: makes the prompts. Empty ones tell the tracker nothing; the frame is left alone all
            the same. Those of a start are not empty.
    """

    version: str
    prompts: Callable[[], Prompts]


def _as_it_is(mask: Mask) -> Mask:
    return mask


@dataclass(frozen=True)
class ObjectToTrack:
    """An object and what is known of it.

    Attributes:
        id: the caller's name for it.
        start: where it is on the first frame.
        by_person: a person made or changed the start; else it was tracked before.
        keyframes: other frames of the video on which a person showed it.
        before: masks that were tracked on frames before the start (in the direction of time), by
            frame: they rebuild a state that is not held.
        last: the last frame to find it on; None: that of the job.
        comes_back_as: what a tracked mask is when a client sends it back as a start; clients may
            keep outlines or boxes of masks.
    """

    id: Hashable
    start: Keyframe
    by_person: bool = True
    keyframes: Mapping[int, Keyframe] = field(default_factory=dict)
    before: Mapping[int, Callable[[], Mask]] = field(default_factory=dict)
    last: int | None = None
    comes_back_as: Callable[[Mask], Mask] = _as_it_is


@dataclass(frozen=True)
class TrackingRequest:
    """What to follow, and where.

    Attributes:
        video: names the video and its version, so that a later job can go on where this one ended;
            None: none will.
        start: the frame of the objects' starts.
        last: the last frame; before the start if the job runs backward.
        num_frames: of the whole video; None: unknown.
        max_cond_frames: conditioning frames that are read at once, see `VideoTracker`.
    """

    video: Hashable | None
    start: int
    last: int
    objects: Sequence[ObjectToTrack]
    num_frames: int | None = None
    max_cond_frames: int | None = None
    doubt: DoubtRules = field(default_factory=DoubtRules)

    @property
    def reverse(self) -> bool:
        """Whether time runs backward."""
        return self.last < self.start

    @property
    def indices(self) -> range:
        """The frames after the start, in the order in which they are tracked."""
        step = -1 if self.reverse else 1
        return range(self.start + step, self.last + step, step)


@dataclass(frozen=True)
class ObjectOnFrame:
    """What was found of an object on a frame.

    Attributes:
        mask: bool HxW of the frame's size; empty if the object is lost.
        object_score: logit; below zero the object is not there.
        predicted_iou: the network's estimate of the mask's quality, 0 to 1.
        doubt: why a person should look at it, or None.
    """

    mask: Mask
    object_score: float
    predicted_iou: float
    doubt: Doubt | None = None

    @property
    def lost(self) -> bool:
        """Whether it is not on the frame."""
        return self.object_score < 0 or not self.mask.any()


@dataclass(frozen=True)
class TrackedFrame:
    """The objects on a frame; those that a person showed there are left out."""

    index: int
    objects: dict[Hashable, ObjectOnFrame]
