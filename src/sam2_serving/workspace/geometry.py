"""The platform's geometry JSON: checked, measured, kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sam2_serving.masks.bitmap import decode_bitmap

GEOMETRY_KEYS = {"bitmap": "bitmap", "polygon": "points", "rectangle": "points", "point": "points"}
"""Where a geometry's data stand in a label's JSON, by type."""

_FARTHEST = 10_000_000
"""Even where bounds are not checked, a coordinate is some image's."""


@dataclass(frozen=True)
class Measured:
    """A geometry that was checked: its data, its [top, left, bottom, right], its pixels."""

    geometry: dict[str, Any]
    bbox: list[int]
    area: float


class _Loose(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BitmapData(_Loose):
    """Contract 2.3: the tight mask's top left pixel and base64(zlib(PNG))."""

    origin: list[int] = Field(min_length=2, max_length=2)
    data: str


class PointsData(_Loose):
    """The outline of a rectangle (two corners), a polygon, or one point."""

    exterior: list[list[float]] = Field(min_length=1)
    interior: list[list[list[float]]] = []


def measure(kind: str, label: dict[str, Any], width: int, height: int, bounded: bool) -> Measured:
    """Check a geometry against its image.

    Args:
        kind: geometryType: bitmap, polygon, rectangle or point.
        label: JSON that holds the geometry under its key.
        width: of the image, pixels.
        height: of the image, pixels.
        bounded: refuse what reaches outside the image.

    Returns:
        The geometry as it is kept.

    Raises:
        ValueError: it is of another kind, malformed, empty, or outside the image.
    """
    key = GEOMETRY_KEYS.get(kind)
    if key is None:
        raise ValueError(f"geometryType {kind!r} is none of {sorted(GEOMETRY_KEYS)}.")
    try:
        if kind == "bitmap":
            bbox, area, right, bottom = _measure_bitmap(BitmapData.model_validate(label.get(key)))
        else:
            points = PointsData.model_validate(label.get(key))
            bbox, area, right, bottom = _measure_points(kind, points)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join([key, *(str(part) for part in problem["loc"])])
        raise ValueError(f"{where}: {problem['msg']}") from error
    if bounded and (min(bbox) < 0 or right > width or bottom > height):
        raise ValueError(f"The {kind} reaches outside the image of {width} x {height} pixels.")
    return Measured({key: label[key], "shape": kind, "geometryType": kind}, bbox, area)


def _measure_bitmap(bitmap: BitmapData) -> tuple[list[int], float, float, float]:
    mask = decode_bitmap(bitmap.data)
    if not mask.any():
        raise ValueError("The bitmap is empty.")
    _check_near(np.asarray(bitmap.origin, dtype=np.float64))
    (x, y), (rows, columns) = bitmap.origin, mask.shape
    return [y, x, y + rows - 1, x + columns - 1], float(mask.sum()), x + columns, y + rows


def _measure_points(kind: str, points: PointsData) -> tuple[list[int], float, float, float]:
    outline = _ring(
        points.exterior, kind, at_least={"polygon": 3, "rectangle": 2, "point": 1}[kind]
    )
    holes = [_ring(hole, "hole", at_least=3) for hole in points.interior]
    right, bottom = (float(side) for side in outline.max(axis=0))
    left, top, last_x, last_y = (
        int(side) for side in np.floor([*outline.min(axis=0), right, bottom])
    )
    box = [top, left, last_y, last_x]
    if kind == "polygon":
        return box, max(_area(outline) - sum(map(_area, holes)), 0.0), right, bottom
    return box, float((last_y - top + 1) * (last_x - left + 1)), right, bottom


def _ring(points: list[list[float]], name: str, at_least: int) -> npt.NDArray[np.float64]:
    if len(points) < at_least or any(len(point) != 2 for point in points):
        raise ValueError(f"A {name} has at least {at_least} points of two numbers each.")
    ring = np.asarray(points, dtype=np.float64)
    _check_near(ring)
    return ring


def _check_near(coordinates: npt.NDArray[np.float64]) -> None:
    # Written so that what is not a number is refused as well.
    if not (np.abs(coordinates) <= _FARTHEST).all():
        raise ValueError(f"A coordinate is more than {_FARTHEST} pixels away.")


def _area(ring: npt.NDArray[np.float64]) -> float:
    return float(cv2.contourArea(ring.astype(np.float32)))
