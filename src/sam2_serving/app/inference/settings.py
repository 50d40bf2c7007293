"""The settings of `/inference_*` requests: those of the file under those of the request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from sam2_serving.app.reporting import BadRequest, validation_sentence
from sam2_serving.app.requests import (
    MAX_CLICKS,
    ClickPixel,
    CornerPixel,
    FigureMask,
    Identifier,
    MaskOptions,
    Number,
    Part,
    WholeNumber,
)
from sam2_serving.masks import Box
from sam2_serving.model import AutomaticSettings, Refine

MAX_BOXES = 10_000
MAX_CLASSES = 1000

Mode = Literal["raw", "points", "bbox", "combined"]
OutputGeometry = Literal["bitmap", "polygon", "rectangle"]
ClassName = Annotated[StrictStr, Field(min_length=1, max_length=256)]
WindowSide = Annotated[WholeNumber, Field(ge=1, le=1_000_000)]
Overlap = Annotated[WholeNumber, Field(ge=0, le=1_000_000)]


def _boxes(value: Any) -> Any:
    """Take one box for a list of one."""
    one = isinstance(value, list) and value and not isinstance(value[0], list)
    return [value] if one else value


def _mask(value: Any) -> Any:
    """Take a bitmap figure for what is inside it."""
    inner = value.get("bitmap") if isinstance(value, dict) else None
    return value if inner is None else inner


BoxSides = Annotated[list[CornerPixel], Field(min_length=4, max_length=4)]
"""Top, left, bottom, right, all inclusive."""


class _Corners(Part):
    exterior: Annotated[
        list[Annotated[list[Number], Field(min_length=2, max_length=2)]],
        Field(min_length=2, max_length=2),
    ]


class Rectangle(Part):
    """The SDK's rectangle: two opposite corner pixels, both inside."""

    points: _Corners

    @property
    def box(self) -> Box:
        """The same with exclusive x1, y1, in whole pixels."""
        (xa, ya), (xb, yb) = ([int(side // 1) for side in one] for one in self.points.exterior)
        return Box.from_inclusive(xa, ya, xb, yb)


class SlidingWindow(Part):
    """Windows of an image; null: as large as the image, not overlapping."""

    windowHeight: WindowSide | None = None
    windowWidth: WindowSide | None = None
    overlapY: Overlap | None = None
    overlapX: Overlap | None = None
    borderStrategy: Literal["shift_window", "add_padding", "change_size"] | None = None


class InferenceSettings(MaskOptions):
    """What may be set; the fields and their defaults are those of `inference_settings.yaml`."""

    mode: Mode
    input_image_id: Identifier | None = None
    point_coordinates: (
        Annotated[
            list[Annotated[list[ClickPixel], Field(min_length=2, max_length=2)]],
            Field(max_length=MAX_CLICKS),
        ]
        | None
    ) = None
    point_labels: (
        Annotated[list[Annotated[WholeNumber, Field(ge=0, le=1)]], Field(max_length=MAX_CLICKS)]
        | None
    ) = None
    bbox_coordinates: Annotated[
        Annotated[list[BoxSides], Field(max_length=MAX_BOXES)] | None, BeforeValidator(_boxes)
    ] = None
    init_mask: Annotated[FigureMask | None, BeforeValidator(_mask)] = None
    bbox_class_name: ClassName | None = None
    points_class_name: ClassName | None = None
    replace_masks: StrictBool = False
    classes: Annotated[list[StrictStr], Field(max_length=MAX_CLASSES)] | None = None
    refine: Refine | None = None
    existing_objects_iou_thresh: Annotated[Number, Field(gt=0, le=1)] | None = None

    rectangle: Rectangle | None = None
    inference_mode: Literal["full_image", "sliding_window"] = "full_image"
    sliding_window_params: SlidingWindow | None = None

    output_geometry: OutputGeometry = "bitmap"
    polygon_tolerance: Annotated[Number, Field(ge=0, le=100)] | None = None

    automatic: AutomaticSettings

    @field_validator("automatic", mode="before")
    @classmethod
    def _checked(cls, value: Any) -> Any:
        return AutomaticSettings(**value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _prompts_make_sense(self) -> InferenceSettings:
        points, labels = self.point_coordinates or [], self.point_labels
        if labels is not None and len(labels) != len(points):
            raise ValueError(
                f"point_labels has {len(labels)} entries, point_coordinates {len(points)}: "
                "every point needs one"
            )
        if self.mode == "points" and not points:
            raise ValueError("mode 'points' needs point_coordinates")
        if self.mode == "bbox" and not (self.bbox_coordinates or self.rectangle):
            raise ValueError("mode 'bbox' needs bbox_coordinates: [top, left, bottom, right]")
        if self.mode == "combined" and not (points or self.bbox_coordinates or self.rectangle):
            raise ValueError("mode 'combined' needs bbox_coordinates or point_coordinates")
        many = len(self.bbox_coordinates or []) > 1
        if many and (self.mode == "combined" or self.init_mask is not None):
            raise ValueError("several boxes go with mode 'bbox' only, and without an init_mask")
        return self

    @property
    def boxes(self) -> list[Box]:
        """The box prompts with exclusive x1, y1; the region of interest if none are given."""
        if self.bbox_coordinates:
            return [
                Box.from_inclusive(left, top, right, bottom)
                for top, left, bottom, right in self.bbox_coordinates
            ]
        return [] if self.rectangle is None else [self.rectangle.box]

    @property
    def points(self) -> list[tuple[int, int, bool]]:
        """The point prompts, if the mode has any: x, y, whether the point is on the object."""
        if self.mode not in ("points", "combined"):
            return []
        points = self.point_coordinates or []
        labels = self.point_labels or [1] * len(points)
        return [(x, y, label == 1) for (x, y), label in zip(points, labels, strict=True)]

    def class_name(self, unnamed: str) -> str:
        """Return the class of what is found (contract, section 5.3).

        Args:
            unnamed: the class of what the request gives no name.
        """
        if self.mode in ("bbox", "combined"):
            return unnamed if self.bbox_class_name is None else f"{self.bbox_class_name}_mask"
        return self.points_class_name or unnamed


_AUTOMATIC = tuple(AutomaticSettings.__dataclass_fields__)


@lru_cache(maxsize=4)
def default_settings(file: Path) -> Mapping[str, Any]:
    """Read the defaults, once."""
    with file.open(encoding="utf-8") as stream:
        settings: dict[str, Any] = yaml.safe_load(stream)
    return {key: value for key, value in settings.items() if value is not None}


def read_settings(
    defaults: Mapping[str, Any], given: Mapping[str, Any], rectangle: Any = None
) -> InferenceSettings:
    """Check a request's settings.

    Args:
        defaults: what counts where the request says nothing, or null.
        given: of the request; keys that nobody knows are passed over.
        rectangle: region of interest beside the settings; it wins.

    Raises:
        BadRequest: names the setting that makes no sense.
    """
    said = {key: value for key, value in given.items() if value is not None}
    if rectangle is not None:
        said["rectangle"] = rectangle
    merged = {**defaults, **said}
    merged["automatic"] = {key: merged[key] for key in _AUTOMATIC if key in merged}
    try:
        return InferenceSettings.model_validate(merged)
    except ValidationError as error:
        sentence = validation_sentence(error.errors()).removeprefix("the body: ")
        raise BadRequest(f"settings: {sentence.removeprefix('automatic: ')}") from error
