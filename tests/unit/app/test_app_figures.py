"""Figures of the platform become masks, pixel by pixel as the SDK draws them."""

from __future__ import annotations

import base64
import io
import zlib
from typing import Any

import numpy as np
import pytest
import supervisely as sly
from PIL import Image

from sam2_serving.app.figures import draw_figure, place_bitmap
from sam2_serving.app.reporting import AppError, BadRequest, UnsupportedGeometry
from sam2_serving.masks import encode_bitmap

SIZE = (40, 30)
LIMIT = 10_000

ROUND = np.zeros((30, 40), bool)
ROUND[5:20, 10:30] = True
ROUND[8:12, 15:20] = False

SHAPES = {
    "bitmap": sly.Bitmap(ROUND),
    "polygon with a hole": sly.Polygon(
        [sly.PointLocation(2, 3), sly.PointLocation(2, 30), sly.PointLocation(25, 30)],
        [[sly.PointLocation(5, 20), sly.PointLocation(5, 25), sly.PointLocation(10, 25)]],
    ),
    "rectangle": sly.Rectangle(3, 4, 10, 20),
    "oriented box": sly.OrientedBBox(5, 6, 15, 26, angle=0.4),
    "multipolygon": sly.Multipolygon(
        [
            sly.Polygon([sly.PointLocation(*p) for p in ((1, 1), (1, 9), (9, 9))]),
            sly.Polygon([sly.PointLocation(*p) for p in ((20, 20), (20, 30), (29, 30))]),
        ]
    ),
}


def figure_of(shape: Any) -> dict[str, Any]:
    """As `annotations.info` sends it with `integerCoords: false`."""
    kind = shape.geometry_name()
    data = {**shape.to_json(), "geometryType": kind}
    return dict(type(shape)._to_subpixel_coordinate_system_json(data))


@pytest.mark.parametrize("name", SHAPES)
def test_shape_with_an_area(name: str) -> None:
    shape = SHAPES[name]
    expected = np.zeros((30, 40), np.uint8)
    shape.draw(expected, 1)
    assert expected.any()
    np.testing.assert_array_equal(draw_figure(figure_of(shape), SIZE, LIMIT), expected > 0)


@pytest.mark.parametrize(
    "shape",
    [
        sly.Point(3, 4),
        sly.Polyline([sly.PointLocation(2, 3), sly.PointLocation(9, 9)]),
        sly.AnyGeometry,
    ],
)
def test_shape_without_an_area(shape: Any) -> None:
    kind = shape.geometry_name()
    with pytest.raises(UnsupportedGeometry, match="no area"):
        draw_figure({"geometryType": kind, "points": {"exterior": [[1, 2]]}}, SIZE, LIMIT)


@pytest.mark.parametrize(
    "figure",
    [
        {},
        {"geometryType": None},
        {"geometryType": "bitmap"},
        {"geometryType": "bitmap", "bitmap": {"data": "x", "origin": [0, 0]}},
        {"geometryType": "bitmap", "bitmap": {"data": "eJw=", "origin": "ab"}},
        {"geometryType": "polygon", "points": 5},
        {"geometryType": "rectangle", "points": {"exterior": [], "interior": []}},
        {"geometryType": "multipolygon", "parts": "x"},
    ],
)
def test_malformed_figure(figure: dict[str, Any]) -> None:
    with pytest.raises(AppError):
        draw_figure(figure, SIZE, LIMIT)


@pytest.mark.parametrize("origin", [(0, 0), (-5, -3), (35, 25), (39, 29), (100, 0), (-100, -100)])
def test_what_sticks_out_is_cut_off(origin: tuple[int, int]) -> None:
    tight = ROUND[5:20, 10:30]
    encoded = encode_bitmap(ROUND)
    assert encoded is not None
    wide = np.zeros((230, 240), bool)
    x, y = origin[0] + 100, origin[1] + 100
    wide[y : y + 15, x : x + 20] = tight
    placed = place_bitmap(encoded[1], origin, SIZE, LIMIT)
    np.testing.assert_array_equal(placed, wide[100:130, 100:140])


@pytest.mark.parametrize("packed", [False, True])
def test_bomb_is_refused_before_it_is_decoded(packed: bool) -> None:
    file = io.BytesIO()
    Image.new("1", (15_000, 15_000), 1).save(file, "PNG", compress_level=1)
    data = zlib.compress(file.getvalue()) if packed else file.getvalue()
    with pytest.raises(BadRequest, match="too large"):
        place_bitmap(base64.b64encode(data).decode(), (0, 0), SIZE, LIMIT)


@pytest.mark.parametrize("data", ["", "eJw=", "====", "abc", "é", "A" * 8000])
def test_malformed_bitmap(data: str) -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        place_bitmap(data, (0, 0), SIZE, LIMIT)
