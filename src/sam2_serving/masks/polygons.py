"""Outlines of masks, and masks of outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

BoolMask = npt.NDArray[np.bool_]
Outline = npt.NDArray[np.int32]
"""N x 2, N >= 3, pixels (x, y); the pixels of an outline belong to what it encloses.

An outline of one or two pixels repeats the last: everyone takes three corners for a polygon.
"""


@dataclass(frozen=True)
class Polygon:
    """One connected part of a mask.

    Attributes:
        exterior: its outline.
        holes: the outlines of its holes; their pixels do not belong to the part.
    """

    exterior: Outline
    holes: tuple[Outline, ...] = ()

    def draw(self, height: int, width: int) -> BoolMask:
        """Return the mask, bool HxW, cut to the image."""
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [self.exterior], 1)
        if self.holes:
            cv2.fillPoly(mask, list(self.holes), 0)
        return mask.astype(bool)


def find_polygons(mask: BoolMask, tolerance: float = 0.0) -> list[Polygon]:
    """Return the outlines of a mask (bool HxW), a polygon for each connected part, largest first.

    Args:
        mask: may have several parts, with holes.
        tolerance: an outline may leave the mask's edge by so many pixels if that saves corners
            (`cv2.approxPolyDP`); 0: drawing the polygons gives the mask back exactly.

    Parts or holes that are too thin for the tolerance are outlined exactly.
    """
    pixels = mask.astype(np.uint8)
    outlines, family = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if family is None:
        return []
    parts: list[Polygon] = []
    for outline, (_, _, child, parent) in zip(outlines, family[0], strict=True):
        if parent >= 0:
            continue  # the rim of a hole
        holes: list[Outline] = []
        while child >= 0:
            holes += _hole_outlines(pixels, outlines[child], tolerance)
            child = int(family[0][child][0])
        parts.append(Polygon(_simplified(outline, tolerance), tuple(holes)))
    return sorted(parts, key=lambda part: -cv2.contourArea(part.exterior))


def _hole_outlines(
    pixels: npt.NDArray[np.uint8], rim: npt.NDArray[Any], tolerance: float
) -> list[Outline]:
    """Outline what lies inside a rim: OpenCV gives the rim's own pixels, which are not the hole."""
    x, y, width, height = cv2.boundingRect(rim)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [rim - np.array((x, y), rim.dtype)], 1)
    inside[pixels[y : y + height, x : x + width] > 0] = 0
    # a hole's corners may touch: then it is left as several outlines
    found, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corner = np.array((x, y), np.int32)
    return [_simplified(outline + corner, tolerance) for outline in found]


def _simplified(outline: npt.NDArray[Any], tolerance: float) -> Outline:
    points: npt.NDArray[Any] = outline.reshape(-1, 2)
    if tolerance > 0:
        fewer = cv2.approxPolyDP(outline, tolerance, closed=True).reshape(-1, 2)
        points = fewer if len(fewer) >= 3 else points
    if len(points) < 3:
        points = np.pad(points, ((0, 3 - len(points)), (0, 0)), mode="edge")
    return np.ascontiguousarray(points, dtype=np.int32)
