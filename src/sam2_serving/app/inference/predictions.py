"""What is found in a picture, in the platform's words (contract, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sam2_serving.app.tracking.figures import geometries_of
from sam2_serving.masks import Box

BoolMask = npt.NDArray[np.bool_]
Size = tuple[int, int]
"""(width, height) in pixels."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Piece:
    """A mask somewhere in a picture.

    Attributes:
        mask: bool, of any size.
        x: column of its left edge in the picture.
        y: row of its upper edge.
        about: what is said of it beside its geometry.
    """

    mask: BoolMask
    x: int = 0
    y: int = 0
    about: Json = field(default_factory=dict)

    def whole(self, size: Size) -> BoolMask:
        """Return the mask of the whole picture, bool HxW."""
        mask = np.zeros((size[1], size[0]), bool)
        height, width = self.mask.shape
        mask[self.y : self.y + height, self.x : self.x + width] = self.mask
        return mask


@dataclass(frozen=True)
class Look:
    """How masks are told: class, geometry, pixels that an outline may leave the edge by."""

    class_name: str
    geometry: str
    tolerance: float


def labels_of(pieces: Iterable[Piece], look: Look) -> tuple[list[Json], list[Json]]:
    """Return the objects of an annotation, and what is said of each beside it.

    A mask without a pixel gives none; as polygons, one for each of its parts.
    """
    labels: list[Json] = []
    about: list[Json] = []
    for piece in pieces:
        for geometry in geometries_of(piece.mask, look.geometry, look.tolerance):
            labels.append(_label(_moved(geometry, piece.x, piece.y), look))
            about.append(piece.about)
    return labels, about


def annotation(size: Size, labels: list[Json]) -> Json:
    """Shape an annotation as the SDK reads it."""
    return {
        "description": "",
        "size": {"height": size[1], "width": size[0]},
        "tags": [],
        "objects": labels,
        "customBigData": {},
    }


def rectangle_json(box: Box) -> Json:
    """Shape a box as the SDK's rectangle, whose corner pixels belong to it."""
    x0, y0, x1, y1 = (int(side) for side in box)
    return {"points": {"exterior": [[x0, y0], [x1 - 1, y1 - 1]], "interior": []}}


@dataclass(frozen=True)
class Origin:
    """Where a picture comes from, as far as that is known."""

    name: str | None = None
    image_id: int | None = None
    dataset_id: int | None = None
    project_id: int | None = None
    video_id: int | None = None
    frame_index: int | None = None
    url: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What was found in one picture.

    Attributes:
        annotation: the platform's form.
        found: of each object of the annotation, what it does not say.
        slides: what each window gave, if the picture was looked at in windows.
        numeric_path: equal requests with equal id are answered equally.
    """

    annotation: Json
    found: list[Json]
    numeric_path: str
    slides: list[Json] | None = None

    def prediction(self, origin: Origin) -> Json:
        """Shape the answer; `image_name` is what the SDK's `Session` calls the name."""
        return {
            "source": None,
            "annotation": self.annotation,
            "name": origin.name,
            "image_name": origin.name,
            "path": None,
            "url": origin.url,
            "project_id": origin.project_id,
            "dataset_id": origin.dataset_id,
            "image_id": origin.image_id,
            "video_id": origin.video_id,
            "frame_index": origin.frame_index,
            "slides_data": {},
            "data": {} if self.slides is None else {"slides": self.slides},
            "found": self.found,
            "numeric_path": self.numeric_path,
        }


def _label(geometry: Json, look: Look) -> Json:
    return {
        "classTitle": look.class_name,
        "description": "",
        "tags": [],
        **geometry,
        "shape": look.geometry,
        "geometryType": look.geometry,
        "nnCreated": True,
        "nnUpdated": True,
    }


def _moved(geometry: Json, x: int, y: int) -> Json:
    if not (x or y):
        return geometry
    if "bitmap" in geometry:
        left, top = geometry["bitmap"]["origin"]
        return {"bitmap": {**geometry["bitmap"], "origin": [left + x, top + y]}}
    exterior, interior = geometry["points"]["exterior"], geometry["points"]["interior"]
    return {
        "points": {
            "exterior": _shifted(exterior, x, y),
            "interior": [_shifted(hole, x, y) for hole in interior],
        }
    }


def _shifted(points: list[list[int]], x: int, y: int) -> list[list[int]]:
    return [[column + x, row + y] for column, row in points]
