"""What clients send: the envelope of every request and the context of a Smart Tool click.

Unknown extra fields are allowed everywhere, because clients send their own; a known field of the
wrong kind is an error that names it. The fields are those of the platform's contract, section 3.1.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    field_validator,
    model_validator,
)

from sam2_serving.masks import Box
from sam2_serving.masks.cleanup import Cleanup

MAX_PIXEL = 1_000_000
"""No picture is larger than this on a side, so no coordinate is either."""
MAX_ID = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""
MAX_CLICKS = 500
MAX_MASK_TEXT = 64 * 1024 * 1024
MAX_AREA = 2**31 - 1


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a whole number")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("must be a whole number")
    return int(value)


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    if not -1e12 <= value <= 1e12:
        raise ValueError("must be a number of a sensible size")
    return float(value)


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
Number = Annotated[float, BeforeValidator(_finite)]
Identifier = Annotated[WholeNumber, Field(ge=1, le=MAX_ID)]
NullIsEmpty = BeforeValidator(lambda value: {} if value is None else value)
"""Clients send null for a part that they leave out."""
ClickPixel = Annotated[WholeNumber, Field(ge=0, le=MAX_PIXEL)]
# A box may be dragged over the edge of the picture; it is cut to the picture later.
CornerPixel = Annotated[WholeNumber, Field(ge=-MAX_PIXEL, le=MAX_PIXEL)]
Area = Annotated[WholeNumber, Field(ge=0, le=MAX_AREA)]


class Part(BaseModel):
    """Base of all parts of a request: extra fields are allowed and ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Body(Part):
    """Base of all bodies: the envelope of every request (contract, section 2.1)."""

    api_token: StrictStr | None = None
    server_address: StrictStr | None = None

    @property
    def token_hash(self) -> str:
        """What tells one client from another."""
        return hashlib.sha256((self.api_token or "").encode()).hexdigest()

    @model_validator(mode="before")
    @classmethod
    def _token_in_the_context(cls, value: Any) -> Any:
        """Some clients put the token into the context; the envelope's own one wins."""
        if not isinstance(value, dict) or value.get("api_token") is not None:
            return value
        context = value.get("context")
        if isinstance(context, dict) and context.get("apiToken") is not None:
            return {**value, "api_token": context["apiToken"]}
        return value


class Click(Part):
    """A click on pixel (x, y) of the whole image."""

    x: ClickPixel
    y: ClickPixel


class Corner(Part):
    """A corner pixel of the crop, part of the crop."""

    x: CornerPixel
    y: CornerPixel


class Direction(Part):
    """The axis a volume is sliced along: one component is 1, the others are 0."""

    x: WholeNumber
    y: WholeNumber
    z: WholeNumber

    @model_validator(mode="after")
    def _is_an_axis(self) -> Direction:
        if sorted((self.x, self.y, self.z)) != [0, 0, 1]:
            raise ValueError("must be (1, 0, 0), (0, 1, 0) or (0, 0, 1)")
        return self

    @property
    def axis(self) -> str:
        """The axis that slices are counted along: `x` (sagittal), `y` (coronal), `z` (axial)."""
        return next(name for name in "xyz" if getattr(self, name) == 1)


class VolumeSlice(Part):
    """A slice of a volume, seen through a window of intensities."""

    volume_id: Identifier
    slice_index: Annotated[WholeNumber, Field(ge=0, le=MAX_PIXEL)]
    normal: Direction
    window_center: Number
    window_width: Annotated[Number, Field(gt=0)]


class VideoFrame(Part):
    """A frame of a video."""

    video_id: Identifier
    frame_index: Annotated[WholeNumber, Field(ge=0, le=MAX_ID)]


class FigureMask(Part):
    """The figure that is being edited, drawn as a bitmap in pixels of the image."""

    data: Annotated[StrictStr, Field(max_length=MAX_MASK_TEXT)]
    origin: Corner

    @field_validator("origin", mode="before")
    @classmethod
    def _pair_is_a_corner(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) == 2:
            return {"x": value[0], "y": value[1]}
        return value


def _log_text(value: Any) -> str | None:
    return None if value is None else ascii(value)[:200].strip("'")


class SmartToolContext(Part):
    """The context of a Smart Tool request (contract, section 3.1)."""

    positive: Annotated[list[Click], Field(max_length=MAX_CLICKS)]
    negative: Annotated[list[Click], Field(max_length=MAX_CLICKS)]
    crop: Annotated[list[Corner], Field(min_length=2, max_length=2)] | None = None

    image_id: Identifier | None = None
    image_hash: Annotated[StrictStr, Field(min_length=1, max_length=512)] | None = None
    volume: VolumeSlice | None = None
    video: VideoFrame | None = None
    pcd_related_image_id: Identifier | None = None

    figure_id: Identifier | None = None
    init_figure: StrictBool | None = None
    mask: FigureMask | None = None
    local_figure_id: Annotated[StrictStr, Field(max_length=512)] | None = Field(
        None, validation_alias=AliasChoices("local_figure_id", "localFigureId")
    )

    # Only for the log, so whatever a client puts here is taken.
    request_uid: Annotated[str | None, BeforeValidator(_log_text)] = None
    predict_every_click: Any = None

    @property
    def crop_box(self) -> Box | None:
        """The crop as a box with exclusive x1, y1, whatever order its corners came in."""
        if self.crop is None:
            return None
        first, second = self.crop
        return Box.from_inclusive(first.x, first.y, second.x, second.y)

    @property
    def figure_key(self) -> str | None:
        """What the figure that is being edited is called; the client's own key goes first."""
        if self.local_figure_id is not None:
            return f"local {self.local_figure_id}"
        return None if self.figure_id is None else f"id {self.figure_id}"

    @property
    def picture(self) -> str:
        """What the picture is called, whatever its version and window; empty if none is named.

        If several are named, the one that `MediaLibrary` finds.
        """
        match self:
            case SmartToolContext(image_id=int(id)):
                return f"image {id}"
            case SmartToolContext(image_hash=str(hash)):
                return f"hash {hash}"
            case SmartToolContext(volume=VolumeSlice() as slice):
                return f"slice {slice.volume_id}/{slice.normal.axis}/{slice.slice_index}"
            case SmartToolContext(video=VideoFrame() as frame):
                return f"frame {frame.video_id}/{frame.frame_index}"
            case SmartToolContext(pcd_related_image_id=int(id)):
                return f"photo {id}"
        return ""

    @property
    def starts_edit(self) -> bool:
        """Tell whether this is the first request of an edit."""
        return bool(self.init_figure) or self.mask is not None

    @property
    def edits(self) -> bool:
        """Tell whether an existing figure is being edited."""
        return self.starts_edit or self.figure_key is not None

    @property
    def clicks(self) -> list[Click]:
        """All clicks, positive ones first."""
        return self.positive + self.negative


class Options(Part):
    """Base of what may be left out: null keeps the default."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: one for key, one in value.items() if one is not None}


class MaskOptions(Options):
    """How masks are cleaned, whatever tool they are for."""

    hole_area: Area = 0
    island_area: Area = 0
    keep_clicked: StrictBool = False
    largest_only: StrictBool = False

    @property
    def cleanup(self) -> Cleanup:
        """What is done to every mask."""
        return Cleanup(self.hole_area, self.island_area, self.keep_clicked, self.largest_only)


class SmartToolSettings(MaskOptions):
    """The inference settings that a Smart Tool request may carry."""

    use_box: StrictBool | None = None
    refine: Literal["single", "two_pass"] | None = None


class SmartToolState(Part):
    """The state of a Smart Tool request."""

    settings: Annotated[SmartToolSettings, NullIsEmpty] = SmartToolSettings()


class Envelope(Body):
    """A request that says nothing else, or nothing that is looked at."""

    context: Annotated[dict[str, Any], NullIsEmpty] = {}
    state: Annotated[dict[str, Any], NullIsEmpty] = {}


class SmartToolRequest(Body):
    """The body of `/smart_segmentation`."""

    context: Annotated[SmartToolContext, NullIsEmpty]
    state: Annotated[SmartToolState, NullIsEmpty] = SmartToolState()


class DeployParams(Part):
    """Which model to serve, and on what (contract, section 1.8)."""

    model_source: Annotated[StrictStr, Field(max_length=100)]
    device: Annotated[StrictStr, Field(max_length=32)] | None = None
    runtime: Annotated[StrictStr, Field(max_length=32)] | None = None
    model_files: dict[str, Any] | None = None
    model_info: dict[str, Any] | None = None


class DeployState(Part):
    """The state of a deploy request."""

    deploy_params: DeployParams
    model_name: Annotated[StrictStr, Field(max_length=200)] | None = None


class DeployRequest(Body):
    """The body of `/deploy_from_api`."""

    state: Annotated[DeployState, NullIsEmpty]
