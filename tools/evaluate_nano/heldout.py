"""The held-out objects that are measured."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam2_serving.scenes import Clip, Scene, Style, draw_clip, draw_scene

Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]

# Kept with the tests, so that nothing under src/ and no recipe can draw with it by accident.
HELD_OUT: Style = importlib.import_module("heldout.style").HELD_OUT

SIZES = ("small", "medium", "large")
SIDE = 256
LEAST_PIXELS = 50
_FIRST_SEED = 1000
_FIRST_RETURN_SEED = 3000
_MOST_FOLLOWED = 3


@dataclass(frozen=True)
class Object:
    """An object to be found: a part alone, a whole with its parts.

    Attributes:
        image: that it is in.
        mask: its pixels.
        body: a whole without its parts, None where that is the same.
    """

    image: Image
    mask: Mask
    body: Mask | None = None

    @property
    def size(self) -> str:
        """Small (under 1 % of the image), medium (under 5 %) or large."""
        return size_of(self.mask)


@dataclass(frozen=True)
class Followed:
    """A clip and objects that show on its first frame.

    Attributes:
        frames: uint8 T x H x W x 3.
        masks: T x N x H x W, all false where an object does not show.
    """

    frames: Image
    masks: Mask


def size_of(mask: Mask) -> str:
    """Small (under 1 % of the image), medium (under 5 %) or large."""
    share = mask.mean()
    return SIZES[0] if share < 0.01 else SIZES[1] if share < 0.05 else SIZES[2]


def iou(found: Mask, mask: Mask) -> float:
    """Intersection over union; 1 where both are empty."""
    either = np.count_nonzero(found | mask)
    return np.count_nonzero(found & mask) / either if either else 1.0


def objects_of(scene: Scene) -> list[Object]:
    """The objects of a scene of which at least 50 pixels show."""
    found = []
    for index, mask in enumerate(scene.masks):
        if scene.parents[index] >= 0:
            found.append(Object(scene.image, mask))
        else:
            whole = scene.whole(index)
            body = mask if (scene.parents == index).any() else None
            found.append(Object(scene.image, whole, body))
    return [one for one in found if np.count_nonzero(one.mask) >= LEAST_PIXELS]


def scenes(difficulty: str, objects: int) -> Iterator[list[Object]]:
    """Scenes, as their objects, until at least this many objects have come."""
    seed, seen = _FIRST_SEED, 0
    while seen < objects:
        found = objects_of(draw_scene(seed, SIDE, difficulty, HELD_OUT))
        seed += 1
        seen += len(found)
        if found:
            yield found


def clips(difficulty: str, count: int, frames: int) -> Iterator[Followed]:
    """Clips, and up to 3 whole objects that show on the first frame."""
    for seed in range(_FIRST_SEED, _FIRST_SEED + count):
        clip = draw_clip(seed, frames, SIDE, difficulty, HELD_OUT)
        masks = _wholes(clip)[:, :_MOST_FOLLOWED]
        if masks.shape[1]:
            yield Followed(clip.frames, masks)


def return_clips(difficulty: str, count: int, frames: int) -> Iterator[Followed]:
    """Clips in which an object is gone for some frames and back on the last, and such objects."""
    seed, given = _FIRST_RETURN_SEED, 0
    while given < count:
        # Two frames are cheap, and tell who will leave and come back.
        if "return" in draw_clip(seed, 2, SIDE, difficulty, HELD_OUT, span=1.0).journeys:
            clip = draw_clip(seed, frames, SIDE, difficulty, HELD_OUT, span=1.0)
            masks = _wholes(clip)
            present = np.asarray(masks.any(axis=(2, 3)))
            back = np.flatnonzero(~present.all(axis=0) & present[-1])
            if len(back):
                given += 1
                yield Followed(clip.frames, masks[:, back[:_MOST_FOLLOWED]])
        seed += 1


def _wholes(clip: Clip) -> Mask:
    """Masks T x N x H x W of whole things that show on the first frame."""
    masks = []
    for whole in np.flatnonzero(clip.parents < 0):
        members = clip.parents == whole
        members[whole] = True
        mask = np.asarray(clip.masks[:, members].any(axis=1))
        if np.count_nonzero(mask[0]) >= LEAST_PIXELS:
            masks.append(mask)
    return np.stack(masks, axis=1) if masks else clip.masks[:, :0]
