"""Point clouds and their photos."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse

from sam2_serving.workspace.api.strict import Listed, Strict, select_page
from sam2_serving.workspace.context import Here, Workspace
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.settings import TEAM_ID, WORKSPACE_ID
from sam2_serving.workspace.tables import Entity, Photo

router = APIRouter(dependencies=[Depends(caller_by_token)])


class PointCloudsInfo(Strict):
    """Contract 8.2, point-clouds.images.download: the cloud around it, as the SDK asks for it."""

    id: int


class PointCloudsList(Listed):
    """The SDK's `api.pointcloud.get_list`."""

    datasetId: int


class PointCloudsDownload(Strict):
    """The SDK's `api.pointcloud.download_path`."""

    id: int


class PointCloudsImagesList(Listed):
    """The SDK's `api.pointcloud.get_list_related_images`."""

    datasetId: int


class PointCloudsImagesDownload(Strict):
    """Contract 8.2, point-clouds.images.download."""

    id: int


@router.post("/point-clouds.info")
def point_clouds_info(body: PointCloudsInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Describe a point cloud."""
    return cloud_json(here.medium(caller, body.id, "cloud"), here)


@router.post("/point-clouds.list")
def point_clouds_list(body: PointCloudsList, caller: ByToken, here: Here) -> dict[str, Any]:
    """List the point clouds of a dataset."""
    clouds = here.media_of(caller, "cloud", body.datasetId, None)
    page, numbers = select_page(clouds, body, getattr, {"id", "name", "hash"})
    return {**numbers, "entities": [cloud_json(cloud, here) for cloud in page]}


@router.post("/point-clouds.download", response_class=FileResponse)
def point_clouds_download(body: PointCloudsDownload, caller: ByToken, here: Here) -> FileResponse:
    """Send a point cloud's bytes, as they lie in the folder."""
    cloud = here.medium(caller, body.id, "cloud")
    return FileResponse(here.file_of(cloud), media_type="application/octet-stream")


@router.post("/point-clouds.images.list")
def point_clouds_images_list(
    body: PointCloudsImagesList, caller: ByToken, here: Here
) -> dict[str, Any]:
    """List the photos of a dataset's point clouds."""
    clouds = here.media_of(caller, "cloud", body.datasetId, None)
    photos = [photo_json(one, here) for one in here.store.photos([cloud.id for cloud in clouds])]
    page, numbers = select_page(photos, body, dict.__getitem__, {"id", "entityId", "name", "hash"})
    return {**numbers, "entities": page}


@router.post("/point-clouds.images.download", response_class=FileResponse)
def point_clouds_images_download(
    body: PointCloudsImagesDownload, caller: ByToken, here: Here
) -> FileResponse:
    """Send a photo's bytes, as they lie in the folder."""
    photo, _ = here.photo(caller, body.id)
    return FileResponse(here.file_of(photo), media_type=photo.mime)


def cloud_json(cloud: Entity, here: Workspace) -> dict[str, Any]:
    """Shape a point cloud, as the SDK's `PointcloudInfo` reads it."""
    return {
        "id": cloud.id,
        "frame": None,
        "name": cloud.name,
        "title": cloud.name,
        "description": "",
        "hash": cloud.hash,
        "link": None,
        "datasetId": cloud.dataset_id,
        "projectId": here.store.project_id,
        "workspaceId": WORKSPACE_ID,
        "teamId": TEAM_ID,
        "pathOriginal": f"/point_clouds/{cloud.id}/{cloud.name}",
        "fileMeta": {"mime": cloud.mime, "size": cloud.size},
        "figuresCount": here.store.figure_counts().get(cloud.id, 0),
        "annotationObjectsCount": 0,
        "tags": [],
        "meta": {},
        "createdBy": 1,
        "createdAt": cloud.created_at,
        "updatedAt": cloud.updated_at,
    }


def photo_json(photo: Photo, here: Workspace) -> dict[str, Any]:
    """Shape a photo, as the SDK's `get_list_related_images` gives it on."""
    return {
        "id": photo.id,
        "entityId": photo.cloud_id,
        "name": photo.name,
        "hash": photo.hash,
        "link": None,
        "pathOriginal": f"/images/photos/{photo.id}/{photo.name}",
        "fullStorageUrl": f"{here.settings.public_address}/workspace/api/photos/{photo.id}/view",
        "preview": f"/workspace/api/photos/{photo.id}/thumbnail",
        "fileMeta": {
            "mime": photo.mime,
            "size": photo.size,
            "width": photo.width,
            "height": photo.height,
        },
        "meta": {},
        "createdAt": photo.created_at,
        "updatedAt": photo.updated_at,
    }
