"""Automatic masks with default settings (Meta's: 32 points a side, predicted IoU 0.8, stability
0.95).

The things to be found are the objects of a scene: each whole with its parts, and each part alone.

- A mask finds a thing if their IoU is at least 0.5. Masks and things are paired one to one, the
  pair of the highest IoU first.
- **Recall** is the share of things that are found.
- **Precision** is the share of masks that are paired when the body of each whole that has parts
  (the whole without them) is a thing too: finding a body is right, though nobody must. Masks of the
  background and second masks of a thing are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from evaluate_nano.clicks import flood_everything
from evaluate_nano.heldout import LEAST_PIXELS, Mask, Object, scenes
from sam2_serving.model import SegmentationModel, find_all

Overlaps = npt.NDArray[np.float64]

_ENOUGH = 0.5
_GRID = 32


@dataclass
class Finds:
    """What was found in scenes.

    Attributes:
        scenes: number of scenes.
        found: for each thing, its size and whether it was found.
        right: for each mask, whether it is right.
        again: for each wrong mask, whether it is a second one of something.
    """

    scenes: int = 0
    found: list[tuple[str, bool]] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    again: list[bool] = field(default_factory=list)


def measure(
    model: SegmentationModel, difficulty: str, objects: int, tolerance: int
) -> tuple[Finds, Finds]:
    """Find everything in the held-out scenes.

    Args:
        model: the network.
        difficulty: of the scenes.
        objects: in all scenes, at least.
        tolerance: of the flood fill.

    Returns:
        What the model finds, and what the flood fill finds.
    """
    ours, trivial = Finds(), Finds()
    for things in scenes(difficulty, objects):
        image = things[0].image
        judge(ours, [one.mask() for one in find_all(model, image)], things)
        judge(trivial, flood_everything(image, tolerance, _GRID, LEAST_PIXELS), things)
    return ours, trivial


def judge(finds: Finds, masks: list[Mask], things: list[Object]) -> None:
    """Add what was found in one scene."""
    finds.scenes += 1
    wanted = [thing.mask for thing in things]
    bodies = [thing.body for thing in things if thing.body is not None]
    overlaps = ious(masks, wanted + bodies)
    pairs = paired(overlaps[:, : len(wanted)])
    finds.found += [(thing.size, place in pairs.values()) for place, thing in enumerate(things)]
    right = paired(overlaps)
    finds.right += [number in right for number in range(len(masks))]
    finds.again += [
        bool((overlaps[number] >= _ENOUGH).any())
        for number in range(len(masks))
        if number not in right
    ]


def ious(masks: list[Mask], things: list[Mask]) -> Overlaps:
    """IoU of each mask with each thing, M x N."""
    if not masks or not things:
        return np.zeros((len(masks), len(things)))
    rows = np.stack(masks).reshape(len(masks), -1).astype(np.float32)
    columns = np.stack(things).reshape(len(things), -1).astype(np.float32)
    both = (rows @ columns.T).astype(np.float64)
    either = rows.sum(1)[:, None] + columns.sum(1)[None] - both
    return np.asarray(both / np.maximum(either, 1.0))


def paired(overlaps: Overlaps) -> dict[int, int]:
    """Pair rows with columns one to one: the highest value first, none below 0.5."""
    left, pairs = overlaps.copy(), {}
    while left.size and left.max() >= _ENOUGH:
        row, column = (int(i) for i in np.unravel_index(int(left.argmax()), left.shape))
        pairs[row] = column
        left[row], left[:, column] = -1.0, -1.0
    return pairs
