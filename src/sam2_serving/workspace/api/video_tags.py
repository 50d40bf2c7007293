"""Tags of videos, on all of it or on some frames."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.strict import Strict
from sam2_serving.workspace.context import Caller, Here
from sam2_serving.workspace.project_meta import tag_metas
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.tables import Entity, TagMeta, VideoTag
from sam2_serving.workspace.video_labels import add_video_tags, remove_video_tag, video_tag

router = APIRouter(dependencies=[Depends(caller_by_token)])


class NewTag(Strict):
    """A tag to put on a video. Fields as the SDK's `api.video.tag` sends them."""

    tagId: int
    value: str | int | float | None = None
    frameRange: list[int] | None = Field(None, min_length=2, max_length=2)
    isFinished: bool = True
    nonFinalValue: bool = False


class VideosTagsAdd(NewTag):
    """The SDK's `api.video.tag.add_tag`."""

    videoId: int


class BulkTag(NewTag):
    """A tag of an annotation that the SDK uploads; `name` and `key` are its own."""

    name: str | None = None
    key: str | None = None
    labelerLogin: str | None = None
    createdAt: str | None = None
    updatedAt: str | None = None


class VideosTagsBulkAdd(Strict):
    """The SDK's `api.video.tag.append_to_entity`."""

    videoId: int
    tags: list[BulkTag] = Field(min_length=1, max_length=1000)


class VideosTagsRemove(Strict):
    """The SDK's `api.video.tag.remove_from_video`."""

    id: int


@router.post("/videos.tags.add")
def videos_tags_add(body: VideosTagsAdd, caller: ByToken, here: Here) -> dict[str, Any]:
    """Put a tag on a video."""
    video = here.medium(caller, body.videoId, "video")
    metas = {meta.id: meta for meta in tag_metas(here.store)}
    tag = _tag(body, video, metas, caller, "")
    add_video_tags(here.store, [tag])
    return video_tag_json(tag)


@router.post("/videos.tags.bulk.add")
def videos_tags_bulk_add(
    body: VideosTagsBulkAdd, caller: ByToken, here: Here
) -> list[dict[str, int]]:
    """Put tags on a video; all of them or, when one is wrong, none."""
    video = here.medium(caller, body.videoId, "video")
    metas = {meta.id: meta for meta in tag_metas(here.store)}
    tags = [
        _tag(new, video, metas, caller, f"tags.{index}.") for index, new in enumerate(body.tags)
    ]
    return [{"id": tag_id} for tag_id in add_video_tags(here.store, tags)]


@router.post("/videos.tags.remove")
def videos_tags_remove(body: VideosTagsRemove, caller: ByToken, here: Here) -> dict[str, Any]:
    """Take a tag off a video."""
    tag = video_tag(here.store, body.id)
    if tag is None:
        raise NotFound(f"There is no tag {body.id} on a video.")
    here.medium(caller, tag.entity_id, "video")
    remove_video_tag(here.store, tag.id)
    return {"success": True}


def _tag(
    new: NewTag, video: Entity, metas: dict[int, TagMeta], caller: Caller, where: str
) -> VideoTag:
    meta = metas.get(new.tagId)
    if meta is None:
        raise BadRequest(f"{where}tagId: there is no tag {new.tagId} in the project's meta.")
    if not _fits(new.value, meta):
        raise BadRequest(f"{where}value: the tag {meta.name!r} takes {meta.value_type}.")
    first, last = new.frameRange or (None, None)
    if first is not None and not 0 <= first <= (last or 0) < video.facts["framesCount"]:
        count = video.facts["framesCount"]
        raise BadRequest(f"{where}frameRange: video {video.id} has the frames 0 to {count - 1}.")
    return VideoTag(
        tag_id=meta.id,
        entity_id=video.id,
        first_frame=first,
        last_frame=last,
        value=new.value,
        is_finished=new.isFinished,
        non_final_value=new.nonFinalValue,
        created_by=caller.login,
    )


def _fits(value: str | float | None, meta: TagMeta) -> bool:
    if meta.value_type == "none":
        return value is None
    if meta.value_type == "any_number":
        return isinstance(value, (int, float))
    if meta.value_type == "oneof_string":
        return value in (meta.values or [])
    return isinstance(value, str)


def video_tag_json(tag: VideoTag) -> dict[str, Any]:
    """Shape a tag of a video. Fields as the SDK's `VideoTag` reads them."""
    frames = {} if tag.first_frame is None else {"frameRange": [tag.first_frame, tag.last_frame]}
    return {
        "id": tag.id,
        "tagId": tag.tag_id,
        "videoId": tag.entity_id,
        "value": tag.value,
        **frames,
        "isFinished": tag.is_finished,
        "nonFinalValue": tag.non_final_value,
        "labelerLogin": tag.created_by,
        "createdAt": tag.created_at,
        "updatedAt": tag.updated_at,
    }
