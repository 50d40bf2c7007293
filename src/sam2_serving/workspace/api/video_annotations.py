"""Annotations of videos: all objects, figures and tags at once."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest
from sam2_serving.workspace.api.strict import Strict
from sam2_serving.workspace.api.video_tags import video_tag_json
from sam2_serving.workspace.context import Here, Workspace
from sam2_serving.workspace.project_meta import tag_metas
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.tables import Entity, Figure, MediaObject
from sam2_serving.workspace.video_labels import objects_of, video_tags

router = APIRouter(dependencies=[Depends(caller_by_token)])


class VideosAnnotationsBulkInfo(Strict):
    """The SDK's `api.video.annotation.download_bulk` and `download_bulk_async`."""

    videoIds: list[int] = Field(min_length=1, max_length=1000)
    datasetId: int | None = None
    forceMetadataForLinks: bool = True
    integerCoords: bool = True


@router.post("/videos.annotations.bulk.info")
def videos_annotations_bulk_info(
    body: VideosAnnotationsBulkInfo, caller: ByToken, here: Here
) -> list[dict[str, Any]]:
    """Return the annotations of videos."""
    videos = [here.medium(caller, video_id, "video") for video_id in body.videoIds]
    for video in videos:
        if body.datasetId not in (None, video.dataset_id):
            raise BadRequest(f"videoIds: video {video.id} is not in dataset {body.datasetId}.")
    return [_annotation_json(video, here) for video in videos]


def _annotation_json(video: Entity, here: Workspace) -> dict[str, Any]:
    titles = {one.id: one.title for one in here.store.classes()}
    names = {one.id: one.name for one in tag_metas(here.store)}
    frames: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for figure in here.store.figures([video.id]):
        frames[figure.meta["frame"]].append(_figure_json(figure))
    tags = video_tags(here.store, [video.id]).get(video.id, [])
    return {
        "videoId": video.id,
        "videoName": video.name,
        "createdAt": video.created_at,
        "updatedAt": video.updated_at,
        "description": "",
        "size": {"height": video.height, "width": video.width},
        "framesCount": video.facts["framesCount"],
        "tags": [{**video_tag_json(tag), "name": names[tag.tag_id]} for tag in tags],
        "objects": [
            _object_json(thing, titles[thing.class_id])
            for thing in objects_of(here.store, [video.id])
        ],
        "frames": [{"index": index, "figures": frames[index]} for index in sorted(frames)],
    }


def _object_json(thing: MediaObject, class_title: str) -> dict[str, Any]:
    return {
        "id": thing.id,
        "classId": thing.class_id,
        "classTitle": class_title,
        "tags": [],
        "createdAt": thing.created_at,
        "updatedAt": thing.updated_at,
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    prompt = figure.meta.get("smartToolInput")
    return {
        "id": figure.id,
        "classId": figure.class_id,
        "objectId": figure.object_id,
        "description": figure.description,
        "geometryType": figure.geometry_type,
        "geometry": figure.geometry,
        "meta": figure.meta,
        "labelerLogin": figure.created_by,
        "createdAt": figure.created_at,
        "updatedAt": figure.updated_at,
        "nnCreated": figure.nn_created,
        "nnUpdated": figure.nn_updated,
        "trackId": figure.track_id,
        **({"smartToolInput": prompt} if prompt is not None else {}),
    }
