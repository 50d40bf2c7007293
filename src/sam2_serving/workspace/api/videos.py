"""Videos: their list, their info, their bytes, their frames."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse, Response
from pydantic import Field

from sam2_serving.videos import Frame, UnreadableVideo
from sam2_serving.workspace.answers import NotFound
from sam2_serving.workspace.api.images import multipart
from sam2_serving.workspace.api.strict import Listed, Strict, only, select_page
from sam2_serving.workspace.api.video_tags import video_tag_json
from sam2_serving.workspace.context import Here, Workspace
from sam2_serving.workspace.pictures import encode_png
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.settings import TEAM_ID, WORKSPACE_ID
from sam2_serving.workspace.tables import Entity, VideoTag
from sam2_serving.workspace.video_labels import video_tags
from sam2_serving.workspace.videos import kept_facts

router = APIRouter(dependencies=[Depends(caller_by_token)])


class VideosInfo(Strict):
    """Contract 8.2, videos.info."""

    id: int
    forceMetadataForLinks: bool


class VideosList(Listed):
    """Contract 8.2, videos.info and the page form; fields as the SDK sends them."""

    datasetId: int | None = None
    projectId: int | None = None
    forceMetadataForLinks: bool
    rawVideoMeta: bool = False
    fields: list[str] | None = None


class VideosDownload(Strict):
    """Contract 8.2, videos.download."""

    id: int


class VideosDownloadFrame(Strict):
    """Contract 8.2, videos.download-frame."""

    videoId: int
    frame: int


class VideosBulkDownloadFrame(Strict):
    """Contract 8.2, videos.bulk.download-frame."""

    videoId: int
    frames: list[int] = Field(min_length=1, max_length=100)


@router.post("/videos.info")
def videos_info(body: VideosInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Describe a video."""
    video = here.medium(caller, body.id, "video")
    return video_json(video, video_tags(here.store, [video.id]).get(video.id, []), here)


@router.post("/videos.list")
def videos_list(body: VideosList, caller: ByToken, here: Here) -> dict[str, Any]:
    """List the videos of a dataset, or of all datasets that the caller may see."""
    videos = here.media_of(caller, "video", body.datasetId, body.projectId)
    page, numbers = select_page(videos, body, getattr, {"id", "name", "hash"})
    tags = video_tags(here.store, [video.id for video in page])
    shaped = (video_json(video, tags.get(video.id, []), here) for video in page)
    return {**numbers, "entities": [_listed(body, video) for video in shaped]}


@router.post("/videos.download", response_class=FileResponse)
def videos_download(body: VideosDownload, caller: ByToken, here: Here) -> FileResponse:
    """Send a video's bytes, as they lie in the folder."""
    video = here.medium(caller, body.id, "video")
    return FileResponse(here.file_of(video), media_type=video.mime)


@router.post("/videos.download-frame")
def videos_download_frame(body: VideosDownloadFrame, caller: ByToken, here: Here) -> Response:
    """Send a frame as PNG: no second loss."""
    video = here.medium(caller, body.videoId, "video")
    return Response(encode_png(read_frame(video, body.frame, here)), media_type="image/png")


@router.post("/videos.bulk.download-frame")
def videos_bulk_download_frame(
    body: VideosBulkDownloadFrame, caller: ByToken, here: Here
) -> Response:
    """Send several frames, each part named by its index."""
    video = here.medium(caller, body.videoId, "video")
    return multipart(
        (str(index), encode_png(read_frame(video, index, here))) for index in body.frames
    )


def read_frame(video: Entity, index: int, here: Workspace) -> Frame:
    """Return a frame as RGB, or refuse with 404."""
    facts = kept_facts(video.width, video.height, video.facts)
    try:
        return here.frames.read(here.file_of(video), facts, index)
    except IndexError as error:
        raise NotFound(
            f"There is no frame {index}: video {video.id} has the frames 0 to {facts.frames - 1}."
        ) from error
    except UnreadableVideo as error:
        raise NotFound(str(error)) from error


def _listed(body: VideosList, video: dict[str, Any]) -> dict[str, Any]:
    # `videoMeta` is how a list's `fields` name what comes as `fileMeta`.
    fields = body.fields
    if fields is not None and "videoMeta" in fields:
        fields = [*fields, "fileMeta"]
    return only(fields, video)


def video_json(video: Entity, tags: list[VideoTag], here: Workspace) -> dict[str, Any]:
    """Shape a video with its tags. Contract 8.2, videos.info."""
    return {
        "id": video.id,
        "name": video.name,
        "title": video.name,
        "description": "",
        "hash": video.hash,
        "link": None,
        "datasetId": video.dataset_id,
        "projectId": here.store.project_id,
        "workspaceId": WORKSPACE_ID,
        "teamId": TEAM_ID,
        "pathOriginal": f"/videos/{video.id}/{video.name}",
        "processingPath": f"1/{video.id}",
        "fileMeta": {
            "mime": video.mime,
            "size": str(video.size),
            "framesCount": video.facts["framesCount"],
            "framesToTimecodes": [],
            "duration": video.facts["duration"],
            "width": video.width,
            "height": video.height,
            "rotation": 0,
            "index": 0,
            "codecType": "video",
            "startTime": 0,
            "streams": [],
        },
        "meta": {},
        "customData": {},
        "tags": [video_tag_json(tag) for tag in tags],
        "createdBy": 1,
        "createdAt": video.created_at,
        "updatedAt": video.updated_at,
    }
