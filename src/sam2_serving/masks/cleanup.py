"""Clean a mask: fill small holes, drop small islands, keep the parts that were clicked.

Pixels that touch at a corner belong together, in the mask and outside it, as in Meta's generator
of masks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sam2_serving.masks.boxes import BoolMask, Box, tight_box

_ANY_AREA = 2**31 - 1
"""No part is as large as this."""


@dataclass(frozen=True)
class Cleanup:
    """What to do to a mask; as it stands, nothing.

    Attributes:
        hole_area: holes of fewer pixels are filled; what reaches the image's edge is no hole.
        island_area: parts of fewer pixels are dropped; the largest part always stays.
        keep_clicked: parts without a positive click are dropped, if any part has one.
        largest_only: of what is left, only the largest part stays.
    """

    hole_area: int = 0
    island_area: int = 0
    keep_clicked: bool = False
    largest_only: bool = False

    def apply(
        self,
        mask: BoolMask,
        clicks: Iterable[tuple[float, float]] = (),
        within: Box | None = None,
    ) -> BoolMask:
        """Return the mask (bool HxW), cleaned in the order of the attributes.

        Args:
            mask: bool HxW.
            clicks: (x, y) of the positive clicks in pixels.
            within: what the mask is cut to, once its holes are filled: so the cut opens none of
                them, and parts are what is left of them inside.
        """
        cleaned = fill_holes(mask, self.hole_area, enclosed=True)
        cleaned = cleaned if within is None else within.cut(cleaned)
        cleaned = drop_islands(cleaned, self.island_area)
        cleaned = keep_clicked_parts(cleaned, clicks) if self.keep_clicked else cleaned
        return drop_islands(cleaned, _ANY_AREA) if self.largest_only else cleaned


def fill_holes(mask: BoolMask, area: int, *, enclosed: bool = False) -> BoolMask:
    """Fill every connected part of the background that has fewer than `area` pixels.

    Args:
        mask: bool HxW.
        area: in pixels; 0 or 1 change nothing.
        enclosed: only parts that do not reach the image's edge.

    Returns:
        `mask` itself if nothing was filled.

    Example:
        >>> ring = np.ones((3, 3), bool)
        >>> ring[1, 1] = False
        >>> bool(fill_holes(ring, 2).all())
        True
    """
    window = _window(mask, 0 if enclosed else area) if area > 1 else None
    if window is None:
        return mask
    rows, columns = window
    parts, sizes = _parts(~mask[rows, columns])
    small = sizes < area
    small[0] = False
    height, width = mask.shape
    # what runs out of the window is larger than it looks; a window without margin encloses nothing
    # at its rim
    if enclosed or rows.start > 0:
        small[parts[0]] = False
    if enclosed or rows.stop < height:
        small[parts[-1]] = False
    if enclosed or columns.start > 0:
        small[parts[:, 0]] = False
    if enclosed or columns.stop < width:
        small[parts[:, -1]] = False
    if not small.any():
        return mask
    filled = mask.copy()
    filled[rows, columns] |= small[parts]
    return filled


def drop_islands(mask: BoolMask, area: int) -> BoolMask:
    """Drop every connected part that has fewer than `area` pixels; the largest always stays.

    Args:
        mask: bool HxW.
        area: in pixels; 0 or 1 change nothing.

    Returns:
        `mask` itself if nothing was dropped.
    """
    window = _window(mask) if area > 1 else None
    if window is None:
        return mask
    parts, sizes = _parts(mask[window])
    stays = sizes >= area
    stays[0] = False
    stays[1 + int(np.argmax(sizes[1:]))] = True
    return mask if stays[1:].all() else _with_parts(mask, window, stays[parts])


def keep_clicked_parts(mask: BoolMask, clicks: Iterable[tuple[float, float]]) -> BoolMask:
    """Drop every connected part that holds no click; if none holds one, the mask stays.

    Args:
        mask: bool HxW.
        clicks: (x, y) in pixels; those outside the mask are passed over.

    Returns:
        `mask` itself if nothing was dropped.
    """
    height, width = mask.shape
    clicked = [
        (int(y), int(x))
        for x, y in clicks
        if 0 <= x < width and 0 <= y < height and mask[int(y), int(x)]
    ]
    window = _window(mask) if clicked else None
    if window is None:
        return mask
    parts, sizes = _parts(mask[window])
    stays = np.zeros(len(sizes), bool)
    for y, x in clicked:
        stays[parts[y - window[0].start, x - window[1].start]] = True
    return mask if stays[1:].all() else _with_parts(mask, window, stays[parts])


def _window(mask: BoolMask, area: int = 0) -> tuple[slice, slice] | None:
    """Return the rows and columns round the mask in which it is decided; None for an empty mask.

    With `area`, there is a pixel of margin; and where fewer pixels than that lie between the mask
    and the image's edge, the window reaches to the edge.
    """
    box = tight_box(mask)
    if box is None:
        return None
    x0, y0, x1, y1 = (int(side) for side in box)
    height, width = mask.shape
    if area:
        x0 = 0 if x0 * height < area else x0 - 1
        y0 = 0 if y0 * width < area else y0 - 1
        x1 = width if (width - x1) * height < area else x1 + 1
        y1 = height if (height - y1) * width < area else y1 + 1
    return slice(y0, y1), slice(x0, x1)


def _parts(mask: BoolMask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the number of the part that each pixel belongs to (0: none), and the parts' pixels."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return np.asarray(parts, np.int32), np.asarray(stats[:, cv2.CC_STAT_AREA], np.int32)


def _with_parts(mask: BoolMask, window: tuple[slice, slice], stays: BoolMask) -> BoolMask:
    kept = np.zeros_like(mask)
    kept[window] = stays
    return kept
