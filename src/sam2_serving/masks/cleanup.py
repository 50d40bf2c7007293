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

from sam2_serving.masks.boxes import BoolMask, tight_box


@dataclass(frozen=True)
class Cleanup:
    """What to do to a mask; as it stands, nothing.

    Attributes:
        hole_area: holes of fewer pixels are filled.
        island_area: parts of fewer pixels are dropped; the largest part always stays.
        keep_clicked: parts without a positive click are dropped, if any part has one.
    """

    hole_area: int = 0
    island_area: int = 0
    keep_clicked: bool = False

    def apply(self, mask: BoolMask, clicks: Iterable[tuple[float, float]] = ()) -> BoolMask:
        """Return the mask (bool HxW), cleaned: holes, then islands, then parts that nobody clicked.

        Args:
            mask: bool HxW.
            clicks: (x, y) of the positive clicks in pixels.
        """
        cleaned = drop_islands(fill_holes(mask, self.hole_area), self.island_area)
        return keep_clicked_parts(cleaned, clicks) if self.keep_clicked else cleaned


def fill_holes(mask: BoolMask, area: int) -> BoolMask:
    """Fill every connected part of the background that has fewer than `area` pixels.

    Args:
        mask: bool HxW.
        area: in pixels; 0 or 1 change nothing.

    Returns:
        `mask` itself if nothing was filled.

    Example:
        >>> ring = np.ones((3, 3), bool)
        >>> ring[1, 1] = False
        >>> bool(fill_holes(ring, 2).all())
        True
    """
    window = _window(mask, area) if area > 1 else None
    if window is None:
        return mask
    rows, columns = window
    parts, sizes = _parts(~mask[rows, columns])
    small = sizes < area
    small[0] = False
    height, width = mask.shape
    # what runs out of the window is larger than it looks
    if rows.start > 0:
        small[parts[0]] = False
    if rows.stop < height:
        small[parts[-1]] = False
    if columns.start > 0:
        small[parts[:, 0]] = False
    if columns.stop < width:
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
