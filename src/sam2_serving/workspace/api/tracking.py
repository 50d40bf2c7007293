"""What the app tells the annotation tool while it tracks."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends
from pydantic import Discriminator, Field, RootModel, Tag

from sam2_serving.workspace.api.strict import ClientKey, Strict
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.tables import now
from sam2_serving.workspace.tracks import Message, Progress

router = APIRouter(dependencies=[Depends(caller_by_token)])

Text = Annotated[str, Field(max_length=10_000)]
VideoNumber = Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]
FrameRange = Annotated[list[int], Field(min_length=2, max_length=2)]


class Counted(Strict):
    """How much of how much is done."""

    current: int = Field(ge=0)
    total: int = Field(ge=0)


class ProgressData(Strict):
    """Contract 8.2, videos.notify-annotation-tool and annotation-tool.run-action: progress."""

    trackId: ClientKey
    videoId: int
    frameRange: FrameRange
    progress: Counted
    trackedFigures: dict[str, int] | None = None


class ErrorText(Strict):
    """What went wrong."""

    message: Text


class ErrorData(Strict):
    """Contract 8.2, videos.notify-annotation-tool: error."""

    trackId: ClientKey
    error: ErrorText


class WarningData(Strict):
    """Contract 8.2, videos.notify-annotation-tool: warning; the video's number is a text there."""

    trackId: ClientKey
    videoId: VideoNumber
    message: Text


class ProgressNotice(Strict):
    """Contract 8.2, videos.notify-annotation-tool."""

    type: Literal["videos:fetch-figures-in-range"]
    data: ProgressData


class ErrorNotice(Strict):
    """Contract 8.2, videos.notify-annotation-tool."""

    type: Literal["videos:tracking-error"]
    data: ErrorData


class WarningNotice(Strict):
    """Contract 8.2, videos.notify-annotation-tool."""

    type: Literal["videos:tracking-warning"]
    data: WarningData


class VideosNotify(
    RootModel[Annotated[ProgressNotice | ErrorNotice | WarningNotice, Field(discriminator="type")]]
):
    """Contract 8.2, videos.notify-annotation-tool."""


class DirectError(Strict):
    """Contract 8.2, annotation-tool.run-action: error."""

    trackId: ClientKey
    videoId: int
    type: Literal["error"]
    error: ErrorText


class DirectWarning(Strict):
    """Contract 8.2, annotation-tool.run-action: warning."""

    trackId: ClientKey
    videoId: int
    type: Literal["warning"]
    message: Text


def _kind(payload: Any) -> str:
    kind = payload.get("type") if isinstance(payload, dict) else None
    return kind if kind in ("error", "warning") else "progress"


Payload = Annotated[
    Annotated[ProgressData, Tag("progress")]
    | Annotated[DirectError, Tag("error")]
    | Annotated[DirectWarning, Tag("warning")],
    Discriminator(_kind),
]


class RunAction(Strict):
    """Contract 8.2, annotation-tool.run-action."""

    sessionId: ClientKey
    action: Literal["figures/setDirectTrackingProgress"]
    payload: Payload


@router.post("/videos.notify-annotation-tool")
def videos_notify(body: VideosNotify, caller: ByToken, here: Here) -> dict[str, Any]:
    """Note what a run of tracking says; progress is answered with whether it is to stop."""
    data = body.root.data
    if isinstance(data, ProgressData):
        return {"stopped": _note_progress(data, "notify", caller, here)}
    if isinstance(data, WarningData):
        _note_warning(data, int(data.videoId), "notify", caller, here)
    else:
        _note_error(data, here.tracks.video_of(data.trackId), "notify", caller, here)
    return {}


@router.post("/annotation-tool.run-action")
def run_action(body: RunAction, caller: ByToken, here: Here) -> dict[str, Any]:
    """Note what a run of tracking says to the tool itself; nothing is asked back."""
    data = body.payload
    if isinstance(data, ProgressData):
        _note_progress(data, "direct", caller, here)
    elif isinstance(data, DirectWarning):
        _note_warning(data, data.videoId, "direct", caller, here)
    else:
        _note_error(data, data.videoId, "direct", caller, here)
    return {"success": True}


Channel = Literal["notify", "direct"]


def _note_progress(data: ProgressData, channel: Channel, caller: Caller, here: Workspace) -> bool:
    _check(data.trackId, data.videoId, caller, here)
    progress = Progress(data.progress.current, data.progress.total, *sorted(data.frameRange))
    message = Message(now(), channel, "progress", data.model_dump(exclude_unset=True))
    return here.tracks.note_progress(data.trackId, data.videoId, progress, message)


def _note_warning(
    data: WarningData | DirectWarning,
    video_id: int,
    channel: Channel,
    caller: Caller,
    here: Workspace,
) -> None:
    _check(data.trackId, video_id, caller, here)
    message = Message(now(), channel, "warning", data.model_dump())
    here.tracks.note_warning(data.trackId, video_id, data.message, message)


def _note_error(
    data: ErrorData | DirectError,
    video_id: int | None,
    channel: Channel,
    caller: Caller,
    here: Workspace,
) -> None:
    _check(data.trackId, video_id, caller, here)
    message = Message(now(), channel, "error", data.model_dump())
    here.tracks.note_error(data.trackId, video_id, data.error.message, message)


def _check(track_id: str, video_id: int | None, caller: Caller, here: Workspace) -> None:
    """Refuse what is said of a video, or of a track of a video, that the caller may not see."""
    for one in {video_id, here.tracks.video_of(track_id)} - {None}:
        here.medium(caller, cast(int, one), "video")
