"""Boxes in pixels of the original image: x0, y0, x1, y1 with exclusive x1, y1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BoolMask = npt.NDArray[np.bool_]


class Box(NamedTuple):
    """A rectangle of pixels; `x1` and `y1` are the first column and row outside it.

    Example:
        >>> Box.from_inclusive(10, 20, 19, 29)
        Box(x0=10, y0=20, x1=20, y1=30)
    """

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def from_inclusive(cls, xa: float, ya: float, xb: float, yb: float) -> Box:
        """Make a box of two opposite corner *pixels*, both inside it, in any order."""
        return cls(min(xa, xb), min(ya, yb), max(xa, xb) + 1, max(ya, yb) + 1)

    def contains(self, x: float, y: float) -> bool:
        """Tell whether the pixel (x, y) lies inside."""
        return self.x0 <= x < self.x1 and self.y0 <= y < self.y1

    def clipped(self, height: int, width: int) -> Box | None:
        """Cut the box to an image of `height` x `width` pixels; None if nothing is left."""
        x0, y0 = max(self.x0, 0), max(self.y0, 0)
        x1, y1 = min(self.x1, width), min(self.y1, height)
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def cut(self, mask: BoolMask) -> BoolMask:
        """Return a copy of `mask` (bool HxW) that is false outside the box."""
        inside = np.zeros_like(mask)
        box = self.clipped(*mask.shape)
        if box is not None:
            rows, columns = slice(int(box.y0), int(box.y1)), slice(int(box.x0), int(box.x1))
            inside[rows, columns] = mask[rows, columns]
        return inside


def tight_box(mask: BoolMask) -> Box | None:
    """Return the smallest box round the true pixels of `mask` (bool HxW); None if it has none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
