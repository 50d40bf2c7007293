"""Single drawn images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam2_serving.scenes.casting import background, cast
from sam2_serving.scenes.painting import (
    Alpha,
    Masks,
    Pose,
    Thing,
    coverages,
    paint,
    photograph,
    visible_masks,
)
from sam2_serving.scenes.style import DEFAULT_STYLE, Rules, Style, rules_for

Size = int | tuple[int, int]

_LEAST_PIXELS = 24
_LEAST_SHARE = 0.25  # of a thing that must show for it to count as an object


@dataclass(frozen=True)
class Scene:
    """An image and what is in it.

    Attributes:
        image: RGB uint8 H x W x 3.
        masks: bool N x H x W: the pixels that show each object. Disjoint, none empty; later
            objects lie on top.
        parents: int N: index of the object that an object is a part of, or -1.
        shapes: N names of shapes.
    """

    image: npt.NDArray[np.uint8]
    masks: Masks
    parents: npt.NDArray[np.int64]
    shapes: tuple[str, ...]

    def whole(self, index: int) -> npt.NDArray[np.bool_]:
        """Mask of an object together with its parts, bool H x W."""
        members = self.parents == index
        members[index] = True
        return np.asarray(self.masks[members].any(axis=0))


def size_of(size: Size) -> tuple[int, int]:
    """Width and height that a size means (one number is a square).

    Raises:
        ValueError: a side is shorter than 32 pixels.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height) < 32:
        raise ValueError(f"size is {width}x{height}; both sides must be at least 32 pixels")
    return width, height


def absolute(things: list[Thing], poses: list[Pose]) -> list[Pose]:
    """Poses in pixels: those of parts are given in units of their parents."""
    return [
        pose.inside(poses[thing.parent]) if thing.parent >= 0 else pose
        for thing, pose in zip(things, poses, strict=True)
    ]


def shown(alphas: list[Alpha], masks: Masks) -> list[int]:
    """Indices of the things of which enough shows to be called objects."""
    keep = []
    for index, (alpha, mask) in enumerate(zip(alphas, masks, strict=True)):
        visible = int(np.count_nonzero(mask))
        whole = int(np.count_nonzero(alpha >= 128))
        if visible >= _LEAST_PIXELS and visible >= _LEAST_SHARE * whole:
            keep.append(index)
    return keep


def without_hidden(
    things: list[Thing], poses: list[Pose], width: int, height: int
) -> tuple[list[Thing], list[Pose]]:
    """Leave out things that hardly show (and the parts of such things).

    What is left is drawn without them, so every pixel of an object's colour is in its mask.
    """
    while things:
        alphas = coverages(things, absolute(things, poses), width, height)
        keep = shown(alphas, visible_masks(alphas, width, height))
        kept = [i for i in keep if things[i].parent < 0 or things[i].parent in keep]
        if len(kept) == len(things):
            break
        new = {old: i for i, old in enumerate(kept)} | {-1: -1}
        poses = [poses[i] for i in kept]
        things = [
            Thing(t.outline, t.surface, new[t.parent], t.shape) for t in (things[i] for i in kept)
        ]
    return things, poses


def draw_scene(
    seed: int,
    size: Size = 256,
    difficulty: str | Rules = "easy",
    style: Style = DEFAULT_STYLE,
) -> Scene:
    """Draw an image with exact masks; the same arguments give the same bytes.

    Args:
        seed: any integer >= 0.
        size: side of a square image, or (width, height), in pixels.
        difficulty: "easy" (2 to 5 separate objects, mild textures), "hard" (touching, overlapping
            objects with parts and strong textures), or rules of your own.
        style: shapes and textures to choose from.

    Raises:
        ValueError: the size is too small or the difficulty unknown.
    """
    width, height = size_of(size)
    rules = rules_for(difficulty)
    rng = np.random.default_rng([seed, 1])
    things: list[Thing] = []
    while not things:
        canvas, ground = background(rng, max(width, height), rules, style)
        things, poses = cast(rng, ground, rules, style, width, height)
        things, poses = without_hidden(things, poses, width, height)
    places = absolute(things, poses)
    alphas = coverages(things, places, width, height)
    shadow = rng.uniform(0.2, 0.5) if rng.random() < rules.shadow_share else 0.0
    picture = paint(canvas[:height, :width], things, places, alphas, shadow)
    return Scene(
        image=photograph(picture, rng, rng.uniform(0.0, rules.noise)),
        masks=visible_masks(alphas, width, height),
        parents=np.array([t.parent for t in things], dtype=np.int64),
        shapes=tuple(t.shape for t in things),
    )
