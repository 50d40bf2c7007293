"""The held-out objects that are measured."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam2_serving.scenes import Clip, Style, draw_clip, draw_scene

Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]

# Kept with the tests, so that nothing under src/ and no recipe can draw with it by accident.
HELD_OUT: Style = importlib.import_module("heldout.style").HELD_OUT

_LEAST_PIXELS = 50
_FIRST_SEED = 1000


@dataclass(frozen=True)
class Object:
    """An object to be found: a part alone, a whole with its parts."""

    image: Image
    mask: Mask

    @property
    def size(self) -> str:
        """Small (under 1 % of the image), medium (under 5 %) or large."""
        share = self.mask.mean()
        return "small" if share < 0.01 else "medium" if share < 0.05 else "large"


def scenes(difficulty: str, objects: int, size: int = 256) -> Iterator[list[Object]]:
    """Scenes, as their objects, until at least this many objects have come."""
    seed, seen = _FIRST_SEED, 0
    while seen < objects:
        scene = draw_scene(seed, size, difficulty, HELD_OUT)
        seed += 1
        masks = [
            scene.masks[i] if scene.parents[i] >= 0 else scene.whole(i)
            for i in range(len(scene.masks))
        ]
        found = [Object(scene.image, m) for m in masks if np.count_nonzero(m) >= _LEAST_PIXELS]
        seen += len(found)
        if found:
            yield found


def clips(difficulty: str, count: int, frames: int) -> Iterator[tuple[Clip, Mask]]:
    """Clips and the masks T x N x H x W of up to 3 whole objects that show on the first frame."""
    for seed in range(_FIRST_SEED, _FIRST_SEED + count):
        clip = draw_clip(seed, frames, 256, difficulty, HELD_OUT)
        members = [
            (clip.parents == i) | (np.arange(len(clip.parents)) == i)
            for i in np.flatnonzero(clip.parents < 0)
        ]
        masks = [np.asarray(clip.masks[:, member].any(axis=1)) for member in members]
        shown = [m for m in masks if np.count_nonzero(m[0]) >= _LEAST_PIXELS]
        if shown:
            yield clip, np.stack(shown[:3], axis=1)


def iou(found: Mask, mask: Mask) -> float:
    """Intersection over union; 1 where both are empty."""
    either = np.count_nonzero(found | mask)
    return np.count_nonzero(found & mask) / either if either else 1.0
