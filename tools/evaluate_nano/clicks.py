"""Where a person would click or draw a box, and what needs no network to answer."""

from __future__ import annotations

import cv2
import numpy as np

from evaluate_nano.heldout import Image, Mask
from sam2_serving.masks import Box, tight_box
from sam2_serving.model import Point

TOLERANCES = (8, 16, 24, 32, 48, 64)


def centre_of(region: Mask) -> tuple[int, int]:
    """The pixel (x, y) of a region that is farthest from its edge."""
    distance = cv2.distanceTransform(np.pad(region, 1).astype(np.uint8), cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(distance[1:-1, 1:-1].argmax()), region.shape)
    return int(x), int(y)


def box_of(mask: Mask) -> Box:
    """The exact box round a mask that is not empty."""
    box = tight_box(mask)
    assert box is not None
    return box


def correction(found: Mask, mask: Mask) -> Point:
    """A click at the middle of the largest wrong region (of the object where nothing is wrong)."""
    missing, extra = mask & ~found, found & ~mask
    wrong = missing if np.count_nonzero(missing) >= np.count_nonzero(extra) else extra
    if not wrong.any():
        wrong = mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8))
    x, y = centre_of(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))
    return Point(x, y, bool(mask[y, x]))


def beside(mask: Mask, rng: np.random.Generator) -> Point | None:
    """A negative click in an object's box, at least 3 pixels off the object; None without room."""
    free = filled_box(mask) & ~cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))).astype(bool)
    flat = np.flatnonzero(free)
    if not len(flat):
        return None
    y, x = divmod(int(rng.choice(flat)), mask.shape[1])
    return Point(x, y, False)


def filled_box(mask: Mask) -> Mask:
    """The trivial answer to a box: all of it."""
    return box_of(mask).cut(np.ones_like(mask))


def flood(image: Image, click: tuple[int, int], tolerance: int) -> Mask:
    """The trivial answer to a click: what is connected to it and of about its colour."""
    return _filled(_smooth(image), click, tolerance)


def _smooth(image: Image) -> Image:
    return np.asarray(cv2.medianBlur(image, 3), dtype=np.uint8)


def _filled(smooth: Image, click: tuple[int, int], tolerance: int) -> Mask:
    height, width = smooth.shape[:2]
    found = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | (255 << 8) | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY
    cv2.floodFill(smooth, found, click, (0, 0, 0), (tolerance,) * 3, (tolerance,) * 3, flags)
    return np.asarray(found[1:-1, 1:-1] > 0)


def flood_everything(image: Image, tolerance: int, side: int, least: int) -> list[Mask]:
    """The trivial answer to "find everything".

    Floods from a grid of side x side points, each that no flood has reached yet; floods of fewer
    than `least` pixels do not count, and the largest is taken for the background and left out.
    """
    smooth = _smooth(image)
    reached = np.zeros(image.shape[:2], bool)
    found: list[Mask] = []
    middles = (np.arange(side) + 0.5) / side
    for y in (middles * image.shape[0]).astype(int):
        for x in (middles * image.shape[1]).astype(int):
            if not reached[y, x]:
                one = _filled(smooth, (int(x), int(y)), tolerance)
                reached |= one
                if np.count_nonzero(one) >= least:
                    found.append(one)
    largest = max(range(len(found)), key=lambda i: int(found[i].sum()), default=0)
    return found[:largest] + found[largest + 1 :]
