"""The page's own API: what is there to label, and pictures of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Depends, Query
from fastapi.responses import FileResponse, Response
from PIL import Image

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.strict import Id
from sam2_serving.workspace.api.videos import read_frame
from sam2_serving.workspace.api.volumes import read_slice
from sam2_serving.workspace.browser_done import done_media
from sam2_serving.workspace.context import Here, Workspace
from sam2_serving.workspace.pictures import encode_jpeg, encode_png
from sam2_serving.workspace.places import slice_place
from sam2_serving.workspace.security import OfPage, caller_of_page
from sam2_serving.workspace.tables import Dataset, Entity, Photo
from sam2_serving.workspace.volumes import NORMALS, Window, plane_size

router = APIRouter(prefix="/workspace/api", dependencies=[Depends(caller_of_page)])

_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}


@router.get("/media")
def media(caller: OfPage, here: Here) -> dict[str, Any]:
    """List the datasets with their media, by kind, as the folder is now."""
    here.sync.run()
    counts = here.store.figure_counts()
    datasets = [one for one in here.store.datasets() if caller.sees(one.id)]
    entities = here.store.entities([one.id for one in datasets], kind=None)
    photos = here.store.photos([one.id for one in entities if one.kind == "cloud"])
    done = done_media(here.store)
    listed = [
        _dataset_json(
            dataset,
            [one for one in entities if one.dataset_id == dataset.id],
            photos,
            counts,
            here,
        )
        for dataset in datasets
    ]
    for dataset_json in listed:
        for kinds in ("images", "videos", "volumes", "photos"):
            for one in dataset_json[kinds]:
                one["done"] = (kinds == "photos", one["id"]) in done
    return {"datasets": listed}


@router.get("/images/{image_id}")
def image_info(image_id: Id, caller: OfPage, here: Here) -> dict[str, Any]:
    """Describe an image."""
    return _image_json(here.image(caller, image_id), here.store.figure_counts().get(image_id, 0))


@router.get("/images/{image_id}/view", response_class=FileResponse)
def image_view(image_id: Id, caller: OfPage, here: Here) -> FileResponse:
    """Send an image in a form that a browser can show."""
    return _view(here.image(caller, image_id), here)


@router.get("/images/{image_id}/thumbnail", response_class=FileResponse)
def image_thumbnail(image_id: Id, caller: OfPage, here: Here) -> FileResponse:
    """Send a small picture of an image."""
    return _thumbnail(here.image(caller, image_id), here)


@router.get("/photos/{photo_id}/view", response_class=FileResponse)
def photo_view(photo_id: Id, caller: OfPage, here: Here) -> FileResponse:
    """Send a point cloud's photo in a form that a browser can show."""
    return _view(here.photo(caller, photo_id)[0], here)


@router.get("/photos/{photo_id}/thumbnail", response_class=FileResponse)
def photo_thumbnail(photo_id: Id, caller: OfPage, here: Here) -> FileResponse:
    """Send a small picture of a point cloud's photo."""
    return _thumbnail(here.photo(caller, photo_id)[0], here)


@router.get("/videos/{video_id}/frames/{frame}/view")
def frame_view(video_id: Id, frame: Id, caller: OfPage, here: Here) -> Response:
    """Send a frame, for the eye: JPEG."""
    video = here.medium(caller, video_id, "video")
    content = encode_jpeg(read_frame(video, frame, here))
    return Response(content, media_type="image/jpeg", headers=_FOR_EVER)


@router.get("/videos/{video_id}/thumbnail", response_class=FileResponse)
def video_thumbnail(video_id: Id, caller: OfPage, here: Here) -> FileResponse:
    """Send a small picture of a video: its first frame."""
    video = here.medium(caller, video_id, "video")
    return _thumbnail_of(video, here, lambda: read_frame(video, 0, here))


@router.get("/volumes/{volume_id}/slices/{plane}/{index}/view")
def slice_view(
    volume_id: Id,
    plane: str,
    index: Id,
    caller: OfPage,
    here: Here,
    center: float = Query(),
    width: float = Query(gt=0),
) -> Response:
    """Send a slice under a window, as the app gets it."""
    if not (math.isfinite(center) and math.isfinite(width)):
        raise BadRequest("center, width: numbers are finite.")
    volume = here.medium(caller, volume_id, "volume")
    slice_place(volume, plane, index)
    content = encode_png(read_slice(volume, plane, index, Window(center, width), here))
    return Response(content, media_type="image/png", headers=_FOR_EVER)


@router.get("/volumes/{volume_id}/thumbnail", response_class=FileResponse)
def volume_thumbnail(volume_id: Id, caller: OfPage, here: Here) -> FileResponse:
    """Send a small picture of a volume: its middle axial slice."""
    volume = here.medium(caller, volume_id, "volume")
    meta = volume.facts["meta"]
    middle = plane_size("axial", meta)[2] // 2
    window = Window(meta["windowCenter"], meta["windowWidth"] or 1.0)
    return _thumbnail_of(volume, here, lambda: read_slice(volume, "axial", middle, window, here))


def _view(picture: Entity | Photo, here: Workspace) -> FileResponse:
    try:
        file, mime = here.media.browser_view(picture.path, picture.mime, picture.hash)
    except OSError as error:
        raise NotFound(f"The file {picture.name} cannot be read.") from error
    return FileResponse(file, media_type=mime, headers=_FOR_EVER)


def _thumbnail(picture: Entity | Photo, here: Workspace) -> FileResponse:
    try:
        file = here.media.thumbnail(picture.path, picture.hash)
    except OSError as error:
        raise NotFound(f"The file {picture.name} cannot be read.") from error
    return FileResponse(file, media_type="image/jpeg", headers=_FOR_EVER)


def _thumbnail_of(
    medium: Entity,
    here: Workspace,
    picture: Callable[[], Image.Image | npt.NDArray[np.uint8]],
) -> FileResponse:
    file = here.media.thumbnail_of(medium.hash, picture)
    return FileResponse(file, media_type="image/jpeg", headers=_FOR_EVER)


def _dataset_json(
    dataset: Dataset,
    entities: list[Entity],
    photos: list[Photo],
    counts: dict[int, int],
    here: Workspace,
) -> dict[str, Any]:
    def of_kind(kind: str) -> list[Entity]:
        return [one for one in entities if one.kind == kind]

    clouds = {one.id: one for one in of_kind("cloud")}
    return {
        "id": dataset.id,
        "name": dataset.name,
        "description": dataset.description,
        "not_for": here.media.not_for(dataset.path),
        "images": [_image_json(one, counts.get(one.id, 0)) for one in of_kind("image")],
        "videos": [_video_json(one, counts.get(one.id, 0)) for one in of_kind("video")],
        "volumes": [_volume_json(one, counts.get(one.id, 0)) for one in of_kind("volume")],
        "photos": [
            _photo_json(one, clouds[one.cloud_id], here) for one in photos if one.cloud_id in clouds
        ],
    }


def _version(file_hash: str) -> str:
    """The content's hash makes an address change with the content: it may be kept for ever."""
    return file_hash[:12].replace("/", "-").replace("+", "_")


def _medium_json(medium: Entity, kinds: str, figure_count: int) -> dict[str, Any]:
    version = _version(medium.hash)
    return {
        "kind": medium.kind,
        "id": medium.id,
        "name": medium.name,
        "dataset_id": medium.dataset_id,
        "width": medium.width,
        "height": medium.height,
        "figures": figure_count,
        "version": version,
        "thumbnail": f"/workspace/api/{kinds}/{medium.id}/thumbnail?v={version}",
    }


def _image_json(image: Entity, figure_count: int) -> dict[str, Any]:
    view = f"/workspace/api/images/{image.id}/view?v={_version(image.hash)}"
    return {**_medium_json(image, "images", figure_count), "view": view}


def _video_json(video: Entity, figure_count: int) -> dict[str, Any]:
    facts = {"frames": video.facts["framesCount"], "fps": video.facts["fps"]}
    return {**_medium_json(video, "videos", figure_count), **facts}


def _volume_json(volume: Entity, figure_count: int) -> dict[str, Any]:
    meta = volume.facts["meta"]
    planes = {
        plane: dict(zip(("width", "height", "slices"), plane_size(plane, meta), strict=True))
        for plane in NORMALS
    }
    window = {"center": meta["windowCenter"], "width": meta["windowWidth"] or 1.0}
    return {
        **_medium_json(volume, "volumes", figure_count),
        "planes": planes,
        "window": {**window, **meta["intensity"]},
    }


def _photo_json(photo: Photo, cloud: Entity, here: Workspace) -> dict[str, Any]:
    version = _version(photo.hash)
    base = f"/workspace/api/photos/{photo.id}"
    return {
        "kind": "photo",
        "id": photo.id,
        "name": photo.name,
        "cloud": cloud.name,
        "dataset_id": cloud.dataset_id,
        "width": photo.width,
        "height": photo.height,
        "figures": here.store.places(cloud.id).get(f"photo:{photo.id}", 0),
        "version": version,
        "view": f"{base}/view?v={version}",
        "thumbnail": f"{base}/thumbnail?v={version}",
    }
