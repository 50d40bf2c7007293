"""Between the platform's geometries and the tracker: what goes in is what comes out.

Masks and polygons are prompts by their exact pixels, boxes are box prompts. Coordinates are whole
pixels of the frame, as figures of videos have them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from supervisely.annotation.json_geometries_map import GET_GEOMETRY_FROM_STR

from sam2_serving.app.figures import place_bitmap
from sam2_serving.app.reporting import UnsupportedGeometry
from sam2_serving.masks import Box, encode_bitmap, find_polygons, tight_box
from sam2_serving.masks.cleanup import Cleanup
from sam2_serving.model import Prompts

BoolMask = npt.NDArray[np.bool_]
Geometry = dict[str, Any]
Size = tuple[int, int]
"""(width, height) in pixels."""

TRACKED_SHAPES = ("bitmap", "polygon", "rectangle")


def check_shape(kind: str, whose: str) -> None:
    """Refuse a geometry that cannot be tracked.

    Args:
        kind: the platform's name of the geometry.
        whose: names the figure in the sentence.

    Raises:
        UnsupportedGeometry: it is none of `TRACKED_SHAPES`.
    """
    if kind not in TRACKED_SHAPES:
        raise UnsupportedGeometry(
            f"{whose} is of the kind {ascii(kind)[1:-1][:40]}, which cannot be tracked: only "
            "masks (bitmap), polygons and boxes (rectangle) can."
        )


def mask_of(kind: str, geometry: Geometry, size: Size, whose: str) -> BoolMask:
    """Draw a geometry.

    Args:
        kind: one of `TRACKED_SHAPES`.
        geometry: its JSON.
        size: of the frame.
        whose: names the figure in a refusal.

    Returns:
        bool HxW.

    Raises:
        UnsupportedGeometry: it cannot be read, or has no pixel on the frame.
    """
    check_shape(kind, whose)
    width, height = size
    try:
        if kind == "bitmap":
            x, y = (int(np.floor(side)) for side in geometry["bitmap"]["origin"])
            # a bitmap may stick out of the frame, but not be many times as large
            mask = place_bitmap(geometry["bitmap"]["data"], (x, y), size, 4 * width * height)
        else:
            canvas = np.zeros((height, width), np.uint8)
            GET_GEOMETRY_FROM_STR(kind).from_json(geometry).draw(canvas, 1)
            mask = canvas.astype(bool)
    except Exception as error:
        # The SDK's readers raise whatever a malformed figure makes them stumble over.
        raise UnsupportedGeometry(f"{whose} cannot be read as a {kind}: draw it anew.") from error
    if not mask.any():
        raise UnsupportedGeometry(f"{whose} has no pixel on the frame: there is nothing to track.")
    return mask


def prompts_of(kind: str, mask: BoolMask) -> Prompts:
    """Make the prompts of an object of a kind that covers a mask (bool HxW) on a frame."""
    return Prompts(box=tight_box(mask)) if kind == "rectangle" else Prompts(mask=mask)


@dataclass(frozen=True)
class Finish:
    """What becomes of a tracked mask before it is told.

    Attributes:
        tolerance: of polygons, pixels.
        cleanup: knows no clicks here.
    """

    tolerance: float
    cleanup: Cleanup = field(default_factory=Cleanup)

    def geometries(self, mask: BoolMask, kind: str) -> list[Geometry]:
        """Return a mask's figures; see `geometries_of`."""
        return geometries_of(self.cleanup.apply(mask), kind, self.tolerance)

    def read_back(self, mask: BoolMask, kind: str) -> BoolMask:
        """Return what a tracked mask (bool HxW) is when its figures come back."""
        height, width = mask.shape
        drawn = np.zeros_like(mask)
        for geometry in self.geometries(mask, kind):
            drawn |= mask_of(kind, geometry, (width, height), "A tracked figure")
        return drawn


def geometries_of(mask: BoolMask, kind: str, tolerance: float) -> list[Geometry]:
    """Return what a tracked mask is in the platform's words.

    Args:
        mask: bool HxW.
        kind: one of `TRACKED_SHAPES`.
        tolerance: of polygons, pixels; see `find_polygons`.

    Returns:
        Nothing for an empty mask; a polygon for each part of the mask, largest first; else one.
    """
    if kind == "polygon":
        return [
            {
                "points": {
                    "exterior": part.exterior.tolist(),
                    "interior": [hole.tolist() for hole in part.holes],
                }
            }
            for part in find_polygons(mask, tolerance)
        ]
    if kind == "rectangle":
        box = tight_box(mask)
        return [] if box is None else [_rectangle(box)]
    encoded = encode_bitmap(mask)
    if encoded is None:
        return []
    (x, y), data = encoded
    return [{"bitmap": {"origin": [x, y], "data": data}}]


def _rectangle(box: Box) -> Geometry:
    """Its corners are pixels that belong to it."""
    x0, y0, x1, y1 = (int(side) for side in box)
    return {"points": {"exterior": [[x0, y0], [x1 - 1, y1 - 1]], "interior": []}}
