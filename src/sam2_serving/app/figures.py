"""From the platform's figures to masks: whatever has an area can be edited as a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from supervisely.annotation.json_geometries_map import GET_GEOMETRY_FROM_STR

from sam2_serving.app.reporting import BadRequest, UnsupportedGeometry
from sam2_serving.masks import decode_bitmap

BoolMask = npt.NDArray[np.bool_]

_BITMAPS = ("bitmap", "alpha_mask")
_OUTLINES = ("polygon", "multipolygon", "rectangle", "oriented_bbox")


def place_bitmap(
    data: str, origin: tuple[int, int], size: tuple[int, int], max_pixels: int
) -> BoolMask:
    """Put a tight mask of the platform's form into an image; what sticks out is cut off.

    Args:
        data: base64 of a PNG, compressed with zlib or not.
        origin: (x, y) of its top left pixel in the image.
        size: (width, height) of the image.
        max_pixels: a larger bitmap is refused before it is decoded.

    Returns:
        bool HxW of the image's size.

    Raises:
        BadRequest: the data are no bitmap, or one that is too large.
    """
    try:
        tight = decode_bitmap(data, max_pixels)
    except ValueError as error:
        raise BadRequest(f"The mask of the figure cannot be read: {error}") from error
    width, height = size
    mask = np.zeros((height, width), bool)
    x, y = origin
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + tight.shape[1], width), min(y + tight.shape[0], height)
    if x0 < x1 and y0 < y1:
        mask[y0:y1, x0:x1] = tight[y0 - y : y1 - y, x0 - x : x1 - x]
    return mask


def draw_figure(figure: dict[str, Any], size: tuple[int, int], max_pixels: int) -> BoolMask:
    """Draw a figure of an annotation (contract, section 8.2, `annotations.info`).

    Args:
        figure: one of the annotation's objects, in subpixel coordinates, as `integerCoords: false`
            gives it. The SDK's rule makes pixels of them.
        size: (width, height) of the image.
        max_pixels: a larger bitmap is refused.

    Returns:
        bool HxW of the image's size.

    Raises:
        UnsupportedGeometry: a shape without an area, or one that cannot be read.
    """
    kind = str(figure.get("geometryType"))
    if kind not in _BITMAPS + _OUTLINES:
        raise UnsupportedGeometry(
            f"A figure of the kind {ascii(kind)[:40]} has no area to start from: only masks, "
            "polygons and boxes can be edited with the Smart Tool."
        )
    width, height = size
    try:
        if kind in _BITMAPS:
            x, y = (int(np.floor(side)) for side in figure["bitmap"]["origin"])
            return place_bitmap(figure["bitmap"]["data"], (x, y), size, max_pixels)
        shape = GET_GEOMETRY_FROM_STR(kind)
        pixels = shape._to_pixel_coordinate_system_json(figure, (height, width))
        canvas = np.zeros((height, width), np.uint8)
        shape.from_json(pixels).draw(canvas, 1)
    except Exception as error:
        # The SDK's readers raise whatever a malformed figure makes them stumble over.
        raise UnsupportedGeometry("The figure to edit cannot be read: draw it anew.") from error
    return canvas.astype(bool)
