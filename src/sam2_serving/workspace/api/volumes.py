"""Volumes: their list, their info, their slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse, Response
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.strict import Listed, Strict, select_page
from sam2_serving.workspace.context import Here, Workspace
from sam2_serving.workspace.pictures import UnreadableMedia, encode_png
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.settings import TEAM_ID, WORKSPACE_ID
from sam2_serving.workspace.tables import Entity
from sam2_serving.workspace.volumes import NORMALS, Window, plane_size

router = APIRouter(dependencies=[Depends(caller_by_token)])


class VolumesInfo(Strict):
    """Contract 8.2, volumes.info."""

    id: int


class VolumesList(Listed):
    """Contract 8.2, volumes.info and the page form."""

    datasetId: int | None = None
    projectId: int | None = None


class VolumesDownload(Strict):
    """The SDK's `api.volume.download_path`."""

    id: int


class Normal(Strict):
    """A plane's normal. Contract 3.1, `volume.normal`: axis-aligned."""

    x: float
    y: float
    z: float

    def plane(self) -> str:
        """Return the plane's name, or refuse with 400."""
        for name, normal in NORMALS.items():
            if (self.x, self.y, self.z) == normal:
                return name
        raise BadRequest("normal: only (1,0,0), (0,1,0) and (0,0,1) are planes of a volume.")


class VolumesSlicesImagesDownload(Strict):
    """Contract 8.2, volumes.slices.images.download."""

    volumeId: int
    sliceIndex: int
    normal: Normal
    windowCenter: float
    windowWidth: float = Field(gt=0)


@router.post("/volumes.info")
def volumes_info(body: VolumesInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Describe a volume."""
    return volume_json(here.medium(caller, body.id, "volume"), here)


@router.post("/volumes.list")
def volumes_list(body: VolumesList, caller: ByToken, here: Here) -> dict[str, Any]:
    """List the volumes of a dataset, or of all datasets that the caller may see."""
    volumes = here.media_of(caller, "volume", body.datasetId, body.projectId)
    page, numbers = select_page(volumes, body, getattr, {"id", "name", "hash"})
    return {**numbers, "entities": [volume_json(volume, here) for volume in page]}


@router.post("/volumes.download", response_class=FileResponse)
def volumes_download(body: VolumesDownload, caller: ByToken, here: Here) -> FileResponse:
    """Send a volume's bytes, as they lie in the folder."""
    volume = here.medium(caller, body.id, "volume")
    return FileResponse(here.file_of(volume), media_type=volume.mime)


@router.post("/volumes.slices.images.download")
def volumes_slices_images_download(
    body: VolumesSlicesImagesDownload, caller: ByToken, here: Here
) -> Response:
    """Send a slice under a window as a gray PNG of 8 bits."""
    volume = here.medium(caller, body.volumeId, "volume")
    window = Window(body.windowCenter, body.windowWidth)
    pixels = read_slice(volume, body.normal.plane(), body.sliceIndex, window, here)
    return Response(encode_png(pixels), media_type="image/png")


def read_slice(
    volume: Entity, plane: str, index: int, window: Window, here: Workspace
) -> npt.NDArray[np.uint8]:
    """Return a slice's gray values, or refuse with 404."""
    try:
        return here.volumes.slice(here.file_of(volume), plane, index, window)
    except IndexError as error:
        count = plane_size(plane, volume.facts["meta"])[2]
        raise NotFound(
            f"There is no {plane} slice {index}: volume {volume.id} has 0 to {count - 1}."
        ) from error
    except UnreadableMedia as error:
        raise NotFound(f"{volume.name}: {error}") from error


def volume_json(volume: Entity, here: Workspace) -> dict[str, Any]:
    """Shape a volume. Contract 8.2, volumes.info."""
    meta = volume.facts["meta"]
    return {
        "id": volume.id,
        "name": volume.name,
        "title": volume.name,
        "description": "",
        "hash": volume.hash,
        "link": None,
        "mime": volume.mime,
        "ext": volume.name.rpartition(".")[2].lower(),
        "datasetId": volume.dataset_id,
        "projectId": here.store.project_id,
        "workspaceId": WORKSPACE_ID,
        "teamId": TEAM_ID,
        "pathOriginal": f"/volumes/{volume.id}/{volume.name}",
        "fullStorageUrl": f"{here.settings.public_address}/volumes/{volume.id}",
        "processingPath": f"1/{volume.id}",
        "meta": meta,
        "fileMeta": {
            "mime": volume.mime,
            "size": volume.size,
            "type": volume.facts["type"],
            "sizes": list(meta["dimensionsIJK"].values()),
            "dimension": 3,
        },
        "tags": [],
        "figuresCount": here.store.figure_counts().get(volume.id, 0),
        "createdBy": 1,
        "createdAt": volume.created_at,
        "updatedAt": volume.updated_at,
    }
