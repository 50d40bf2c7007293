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
    window = pixels[y : y + height, x : x + width]
    inside[window > 0] = 0
    # a hole's corners may touch: then it is left as several outlines
    found, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corner = np.array((x, y), np.int32)
    around = (int(rim[0, 0, 0]) - x, int(rim[0, 0, 1]) - y)
    exact = [part for outline in found for part in _without_the_part(outline, window, around)]
    return [_simplified(outline + corner, tolerance) for outline in exact]


def _without_the_part(
    outline: npt.NDArray[Any], window: npt.NDArray[np.uint8], around: tuple[int, int]
) -> list[npt.NDArray[Any]]:
    """Cut a hole's outline up if it encloses pixels of the part that the hole is in.

    That happens where a hole goes round a pixel that touches the part at a corner only. Pixels of
    other parts may be enclosed: these have outlines of their own.

    Args:
        outline: N x 1 x 2, in the window.
        window: the mask around the hole, 0 or 1.
        around: a pixel (x, y) of the part.
    """
    filled = np.zeros(window.shape, np.uint8)  # in rows, whatever order the mask is in
    cv2.fillPoly(filled, [outline], 1)
    enclosed = (filled & window) > 0
    if not enclosed.any():
        return [outline]
    _, parts = cv2.connectedComponents(window)
    if not (enclosed & (parts == parts[around[1], around[0]])).any():
        return [outline]
    hole = (filled & (window == 0)).astype(np.int8)
    edges = np.diff(np.pad(hole, ((0, 0), (1, 1))), axis=1)
    starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [
        np.array([[(first, row)], [(last - 1, row)]], np.int32)
        for (row, first), (_, last) in zip(starts, ends, strict=True)
    ]


def _simplified(outline: npt.NDArray[Any], tolerance: float) -> Outline:
    points: npt.NDArray[Any] = outline.reshape(-1, 2)
    if tolerance > 0:
        fewer = cv2.approxPolyDP(outline, tolerance, closed=True).reshape(-1, 2)
        points = fewer if len(fewer) >= 3 else points
    if len(points) < 3:
        points = np.pad(points, ((0, 3 - len(points)), (0, 0)), mode="edge")
    return np.ascontiguousarray(points, dtype=np.int32)
