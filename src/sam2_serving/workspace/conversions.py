"""A figure's geometry as another one: masks, polygons and boxes that cover the same pixels."""

from __future__ import annotations

import math
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from sam2_serving.masks import find_polygons
from sam2_serving.masks.bitmap import decode_bitmap, encode_bitmap
from sam2_serving.masks.boxes import tight_box

Shape = Literal["bitmap", "polygon", "rectangle"]
BoolMask = npt.NDArray[np.bool_]


def convert(kind: str, geometry: dict[str, Any], to: Shape, size: tuple[int, int]) -> list[Any]:
    """Return what a geometry is in another form, in the platform's JSON.

    A mask or a polygon gives the same pixels as the other one; a mask of several parts gives a
    polygon for each, the largest first. A box is what lies round all pixels, and gives them all.

    Args:
        kind: what it is now: bitmap, polygon or rectangle.
        geometry: its JSON, as it is kept.
        to: what it shall be.
        size: (width, height) of its picture, pixels.

    Raises:
        ValueError: it is of another kind, or covers no pixel of the picture.
    """
    mask = pixels_of(kind, geometry, size)
    box = tight_box(mask)
    if box is None:
        raise ValueError("It covers no pixel of the picture.")
    if to == "rectangle":
        x0, y0, x1, y1 = (int(side) for side in box)
        return [{"points": {"exterior": [[x0, y0], [x1 - 1, y1 - 1]], "interior": []}}]
    if to == "polygon":
        return [
            {
                "points": {
                    "exterior": part.exterior.tolist(),
                    "interior": [hole.tolist() for hole in part.holes],
                }
            }
            for part in find_polygons(mask)
        ]
    packed = encode_bitmap(mask)
    assert packed is not None  # there is a pixel: see above
    (x, y), data = packed
    return [{"bitmap": {"origin": [x, y], "data": data}}]


def pixels_of(kind: str, geometry: dict[str, Any], size: tuple[int, int]) -> BoolMask:
    """Draw a geometry as the platform's SDK does.

    Args:
        kind: bitmap, polygon or rectangle.
        geometry: its JSON, as it is kept.
        size: (width, height) of its picture, pixels.

    Returns:
        bool HxW; what lies outside the picture is left out.

    Raises:
        ValueError: it is of another kind.
    """
    width, height = size
    pixels = np.zeros((height, width), np.uint8)
    if kind == "bitmap":
        part = decode_bitmap(geometry["bitmap"]["data"])
        x, y = geometry["bitmap"]["origin"]
        top, left = max(y, 0), max(x, 0)
        inside = part[top - y : max(height - y, 0), left - x : max(width - x, 0)]
        pixels[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    elif kind == "rectangle":
        corners = _whole(geometry["points"]["exterior"])
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
        pixels[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = 1
    elif kind == "polygon":
        points = geometry["points"]
        cv2.fillPoly(pixels, [_whole(points["exterior"])], 1)
        # All of them at once, as the SDK does: where two holes overlap, the figure is.
        holes = [_whole(ring) for ring in points.get("interior", [])]
        if holes:
            cv2.fillPoly(pixels, holes, 0)
    else:
        raise ValueError(f"A {kind} cannot be converted.")
    return pixels.astype(bool)


def _whole(ring: list[list[float]]) -> npt.NDArray[np.int32]:
    """The pixels that corners lie in: the SDK rounds down, too."""
    return np.array([[math.floor(x), math.floor(y)] for x, y in ring], np.int32)
