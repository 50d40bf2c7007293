"""What clients send to have objects tracked (contract, sections 3.3 to 3.6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    StrictBool,
    StrictStr,
    field_validator,
    model_validator,
)

from sam2_serving.app.requests import (
    MAX_ID,
    Body,
    Identifier,
    MaskOptions,
    NullIsEmpty,
    Part,
    WholeNumber,
)

MAX_OBJECTS = 1000
MAX_FRAMES = 1_000_000

FrameNumber = Annotated[WholeNumber, Field(ge=0, le=MAX_ID)]
FrameCount = Annotated[WholeNumber, Field(ge=1, le=MAX_FRAMES)]
ShortText = Annotated[StrictStr, Field(min_length=1, max_length=256)]
Direction = Literal["forward", "backward"]


def _name_or_number(value: Any) -> int | str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or isinstance(value, str)):
        raise ValueError("must be a text or a whole number")
    if len(str(value)) > 256:
        raise ValueError("must have 256 characters at most")
    return cast("int | str", value)


ClientKey = Annotated[int | str, BeforeValidator(_name_or_number)]
"""A name or a number that only goes back to the client."""


class TrackingSettings(MaskOptions):
    """The inference settings that a tracking request may carry; null keeps the server's."""

    use_keyframes: StrictBool | None = None
    max_cond_frames: Annotated[WholeNumber, Field(ge=2, le=1000)] | None = None
    polygon_tolerance: Annotated[float, Field(ge=0, le=100, strict=True)] | None = None


class TrackingState(Part):
    """The state of a tracking request."""

    settings: Annotated[TrackingSettings, NullIsEmpty] = TrackingSettings()


class _Range(Part):
    """Which frames of which video."""

    videoId: Identifier
    frameIndex: FrameNumber
    frames: FrameCount
    direction: Direction = "forward"

    @field_validator("direction", mode="before")
    @classmethod
    def _null_is_forward(cls, value: Any) -> Any:
        return "forward" if value is None else value


class ReportedContext(_Range):
    """What says where progress goes."""

    trackId: ClientKey
    sessionId: ClientKey | None = Field(
        None, validation_alias=AliasChoices("sessionId", "session_id")
    )
    useDirectProgressMessages: StrictBool | None = None
    detectOffScreen: StrictBool | None = None


class TrackContext(ReportedContext):
    """The context of `/track`: figures by their ids."""

    figureIds: Annotated[list[Identifier], Field(min_length=1, max_length=MAX_OBJECTS)]
    objectIds: Annotated[list[Identifier], Field(max_length=MAX_OBJECTS)] | None = None


class FigureMeta(Part):
    """What an inline figure says of itself."""

    frame: FrameNumber | None = None


class InlineFigure(Part):
    """A figure that comes with the request."""

    id: ClientKey | None = None
    objectId: ClientKey
    geometryType: ShortText
    geometry: dict[str, Any]
    meta: Annotated[FigureMeta, NullIsEmpty] = FigureMeta()


class InlineTrackContext(ReportedContext):
    """The context of `/track_async` and `/track_stream`: figures inline."""

    figures: Annotated[list[InlineFigure], Field(min_length=1, max_length=MAX_OBJECTS)]
    batch_size: Annotated[WholeNumber, Field(ge=1)] | None = None


class InputGeometry(Part):
    """A geometry to follow, without a figure."""

    type: ShortText
    data: dict[str, Any]


Geometries = Annotated[list[InputGeometry], Field(min_length=1, max_length=MAX_OBJECTS)]


class TrackApiContext(_Range):
    """The context of `/track-api`."""

    input_geometries: Geometries = Field(
        validation_alias=AliasChoices("input_geometries", "inputGeometries")
    )


class TrackFilesSettings(Part):
    """The form field `settings` of `/track-api-files`."""

    frame_index: FrameNumber = Field(0, validation_alias=AliasChoices("frame_index", "frameIndex"))
    frames: FrameCount = Field(validation_alias=AliasChoices("frames", "framesCount"))
    direction: Direction = "forward"
    input_geometries: Geometries = Field(
        validation_alias=AliasChoices("input_geometries", "inputGeometries")
    )
    settings: TrackingSettings = TrackingSettings()


class _TrackingBody(Body):
    state: Annotated[TrackingState, NullIsEmpty] = TrackingState()


class TrackRequest(_TrackingBody):
    """The body of `/track`."""

    context: TrackContext


class InlineTrackRequest(_TrackingBody):
    """The body of `/track_async` and `/track_stream`."""

    context: InlineTrackContext


class TrackApiRequest(_TrackingBody):
    """The body of `/track-api`."""

    context: TrackApiContext


class ResultsContext(Part):
    """Which job's results, and which of them."""

    inference_request_uuid: ShortText | None = None
    trackId: ClientKey | None = None
    frameRange: Annotated[list[FrameNumber], Field(min_length=2, max_length=2)] | None = Field(
        None, validation_alias=AliasChoices("frameRange", "frame_range", "frames")
    )

    @model_validator(mode="after")
    def _names_a_job(self) -> ResultsContext:
        if self.inference_request_uuid is None and self.trackId is None:
            raise ValueError("inference_request_uuid is required")
        return self


class ResultsRequest(Body):
    """The body of the routes about a job that was started before."""

    context: ResultsContext

    @model_validator(mode="before")
    @classmethod
    def _in_state_as_well(cls, value: Any) -> Any:
        """The SDK reads these from the state too; the context wins."""
        if not isinstance(value, dict):
            return value
        state, context = value.get("state"), value.get("context")
        if isinstance(state, dict) and (context is None or isinstance(context, dict)):
            return {**value, "context": {**state, **(context or {})}}
        return value
