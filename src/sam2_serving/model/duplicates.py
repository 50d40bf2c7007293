"""Which of many masks are the same thing: those whose boxes overlap too much.

Overlap is intersection over union between first and last pixels, as upstream measures it: a box
one pixel wide has no area there. Not by torchvision, which takes three seconds to import.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sam2_serving.masks import Box

Corners = npt.NDArray[np.float32]

PAIRS_AT_ONCE = 2**20
"""Of boxes that are compared: some tens of MB, however many there are."""
BOXES_AT_ONCE = 256
"""That are settled among each other, one by one, before all others are held against them."""


def best_of_duplicates(
    boxes: Sequence[Box], scores: Sequence[float], max_overlap: float
) -> list[int]:
    """Of boxes that overlap too much, keep the one with the highest score.

    Args:
        boxes: of the masks.
        scores: one a box; of equal ones, the earlier is better.
        max_overlap: two boxes that overlap more cannot both stay.

    Returns:
        which ones stay, the best first.

    Example:
        >>> best_of_duplicates([Box(0, 0, 9, 9), Box(0, 0, 9, 8)], [1, 2], 0.7)
        [1]
    """
    corners = _corners(boxes)
    waiting = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    kept: list[int] = []
    while waiting.size:
        # the best of those that wait among each other, then all others against those that stay
        count = min(BOXES_AT_ONCE, max(1, PAIRS_AT_ONCE // waiting.size))
        best, waiting = waiting[:count], waiting[count:]
        too_much = _overlap(corners[:, best, None], corners[:, best]) > max_overlap
        stays = np.ones(best.size, bool)
        for at in range(best.size):
            if stays[at]:
                stays[at + 1 :] &= ~too_much[at, at + 1 :]
        best = best[stays]
        too_much = _overlap(corners[:, best, None], corners[:, waiting]) > max_overlap
        waiting = waiting[~too_much.any(axis=0)]
        kept += best.tolist()
    return kept


def found_before(boxes: Sequence[Box], found: Sequence[Box], max_overlap: float) -> list[bool]:
    """Tell for each box whether it overlaps too much with one of those that were found before."""
    if not boxes or not found:
        return [False] * len(boxes)
    corners, known = _corners(boxes), _corners(found)
    step = max(1, PAIRS_AT_ONCE // len(found))
    parts = (corners[:, first : first + step, None] for first in range(0, len(boxes), step))
    before = [(_overlap(some, known) > max_overlap).any(axis=1) for some in parts]
    return [bool(one) for one in np.concatenate(before)]


def _corners(boxes: Sequence[Box]) -> Corners:
    """Return x0, y0, x1, y1 of the first and last pixels, 4xN."""
    corners = np.array(boxes, np.float32).reshape(-1, 4).T
    corners[2:] -= 1
    return np.ascontiguousarray(corners)


def _overlap(some: Corners, others: Corners) -> npt.NDArray[np.float64]:
    """Return intersection over union, computed in 32 bits as torchvision's `nms` does.

    Args:
        some: corners, 4x...
        others: corners, 4x...; the other axes are broadcast.

    Returns:
        one a pair; of two boxes without area it is not a number. In 64 bits, in which it is to be
        compared.
    """
    width = np.minimum(some[2], others[2]) - np.maximum(some[0], others[0])
    height = np.minimum(some[3], others[3]) - np.maximum(some[1], others[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    with np.errstate(invalid="ignore"):
        overlap = shared / (_area(some) + _area(others) - shared)
    return np.asarray(overlap, np.float64)


def _area(corners: Corners) -> Corners:
    return np.asarray((corners[2] - corners[0]) * (corners[3] - corners[1]))
