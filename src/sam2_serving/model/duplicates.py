"""Which of many masks are the same thing: those whose boxes overlap too much.

Overlap is intersection over union between first and last pixels, as upstream measures it: a box
one pixel wide has no area there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sam2_serving.masks import Box

PAIRS_AT_ONCE = 2**20
"""Of boxes that are compared: some ten MB, however many there are."""


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
    if not boxes:
        return []
    # here: it takes seconds to import, which whoever only clicks shall not wait for at the start
    from torchvision.ops import nms

    kept: list[int] = nms(_corners(boxes), torch.tensor(scores, dtype=torch.float32), max_overlap)
    return [int(index) for index in kept]


def found_before(boxes: Sequence[Box], found: Sequence[Box], max_overlap: float) -> list[bool]:
    """Tell for each box whether it overlaps too much with one of those that were found before."""
    if not boxes or not found:
        return [False] * len(boxes)
    from torchvision.ops import box_iou

    known = _corners(found)
    some = torch.split(_corners(boxes), max(1, PAIRS_AT_ONCE // len(found)))
    overlap = torch.cat([(box_iou(one, known) > max_overlap).any(dim=1) for one in some])
    return [bool(one) for one in overlap]


def _corners(boxes: Sequence[Box]) -> torch.Tensor:
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    corners[:, 2:] -= 1
    return corners
