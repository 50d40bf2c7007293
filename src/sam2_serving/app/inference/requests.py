"""What clients send to the `/inference_*` routes (contract, section 2.2)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    StrictStr,
)

from sam2_serving.app.inference.settings import MAX_BOXES
from sam2_serving.app.requests import (
    Body,
    Identifier,
    NullIsEmpty,
    Number,
    Options,
    Part,
    WholeNumber,
)
from sam2_serving.app.tracking.requests import Direction, FrameCount, FrameNumber

MAX_IMAGES = 100_000
MAX_ADDRESS = 4096


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _known_by(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class InferenceState(Options):
    """What every request may say."""

    settings: dict[str, Any] = Field(default_factory=dict)
    rectangle: Any = None
    upload_mode: Literal["create", "append", "replace", "iou_merge"] | None = None
    output_project_id: Identifier | None = None
    model_prediction_suffix: Annotated[StrictStr, Field(max_length=64)] | None = None
    iou_merge_threshold: Annotated[Number, Field(gt=0, le=1)] | None = None


class ImageState(InferenceState):
    """The state of `/inference_image_id`."""

    image_id: Identifier = Field(validation_alias=_known_by("image_id", "imageId"))


class ImagesState(InferenceState):
    """The state of `/inference_batch_ids`."""

    image_ids: Annotated[
        list[Identifier], Field(max_length=MAX_IMAGES), BeforeValidator(_listed)
    ] = Field(
        validation_alias=_known_by(
            "batch_ids", "image_ids", "images_ids", "imageIds", "image_id", "imageId"
        )
    )


class UrlState(InferenceState):
    """The state of `/inference_image_url`."""

    image_url: Annotated[StrictStr, Field(max_length=MAX_ADDRESS)]


class FramesState(InferenceState):
    """The state of `/inference_video_async`.

    Which frames: `count`, or else `end` (exclusive), or else `duration`.

    Attributes:
        duration: seconds.
    """

    start: FrameNumber = Field(
        0, validation_alias=_known_by("startFrameIndex", "start_frame_index", "start_frame")
    )
    count: FrameCount | None = Field(
        None, validation_alias=_known_by("framesCount", "frames_count", "num_frames")
    )
    end: FrameNumber | None = Field(
        None, validation_alias=_known_by("endFrameIndex", "end_frame_index", "end_frame")
    )
    duration: Annotated[Number, Field(gt=0)] | None = None
    stride: Annotated[WholeNumber, Field(ge=1)] = Field(
        1, validation_alias=_known_by("stride", "step")
    )
    direction: Direction = Field(
        "forward", validation_alias=_known_by("direction", "framesDirection")
    )
    tracker: Any = None


class VideoState(FramesState):
    """The state of `/inference_video_id`."""

    video_id: Identifier = Field(validation_alias=_known_by("videoId", "video_id"))


class ProjectState(InferenceState):
    """The state of `/inference_project_id_async`."""

    project_id: Identifier = Field(validation_alias=_known_by("projectId", "project_id"))
    dataset_ids: Annotated[list[Identifier], Field(max_length=MAX_IMAGES)] | None = Field(
        None, validation_alias=_known_by("dataset_ids", "datasetIds")
    )


class BoxesState(Part):
    """The state of `/inference_boxes_file`.

    Attributes:
        boxes: each is checked by itself, so that a bad one does not spoil the others.
    """

    boxes: Annotated[list[Any], Field(max_length=MAX_BOXES)]
    settings: Annotated[dict[str, Any], NullIsEmpty] = Field(default_factory=dict)


class ImageBoxesState(BoxesState):
    """The state of `/inference_boxes`."""

    image_id: Identifier = Field(validation_alias=_known_by("image_id", "imageId"))


class JobState(Part):
    """The state of a request about one that was started."""

    inference_request_uuid: Annotated[StrictStr, Field(max_length=64)] | None = None


class ImageRequest(Body):
    """The body of `/inference_image_id`."""

    state: Annotated[ImageState, NullIsEmpty]


class ImagesRequest(Body):
    """The body of `/inference_batch_ids`."""

    state: Annotated[ImagesState, NullIsEmpty]


class BoxesRequest(Body):
    """The body of `/inference_boxes`."""

    state: Annotated[ImageBoxesState, NullIsEmpty]


class UrlRequest(Body):
    """The body of `/inference_image_url`."""

    state: Annotated[UrlState, NullIsEmpty]


class VideoRequest(Body):
    """The body of `/inference_video_id`."""

    state: Annotated[VideoState, NullIsEmpty]


class ProjectRequest(Body):
    """The body of `/inference_project_id_async`."""

    state: Annotated[ProjectState, NullIsEmpty]


class JobRequest(Body):
    """The body of the routes about a request that was started."""

    state: Annotated[JobState, NullIsEmpty] = JobState()
