"""Where to click: drawn objects are known."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt


class Target(NamedTuple):
    """An object, and where to click.

    Attributes:
        box: the first and the last pixel of a box with a little room.
        inside: its innermost pixel.
        outside: a pixel of the box that is far from it.
        mask: bool H x W.
    """

    box: tuple[int, int, int, int]
    inside: tuple[int, int]
    outside: tuple[int, int]
    mask: npt.NDArray[np.bool_]


def largest_of(masks: npt.NDArray[np.bool_]) -> Target:
    """Return the largest of N x H x W objects."""
    mask = max(masks, key=np.count_nonzero)
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    x0, y0 = max(columns.min() - 2, 0), max(rows.min() - 2, 0)
    x1, y1 = min(columns.max() + 2, width - 1), min(rows.max() + 2, height - 1)
    within = np.zeros_like(mask)
    within[y0 : y1 + 1, x0 : x1 + 1] = True
    box = (int(x0), int(y0), int(x1), int(y1))
    return Target(box, _deepest(mask), _deepest(within & ~mask), mask)


def _deepest(mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x), int(y)
