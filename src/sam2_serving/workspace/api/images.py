"""Images: their list, their info, their bytes."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse, Response
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.strict import Listed, Strict, only, select_page
from sam2_serving.workspace.context import Here, Workspace
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.tables import Entity

router = APIRouter(dependencies=[Depends(caller_by_token)])


class ImagesDownload(Strict):
    """Contract 8.2, images.download."""

    id: int


class ImagesInfo(Strict):
    """Contract 8.2, images.info; `fields` as the SDK sends it."""

    id: int
    forceMetadataForLinks: bool
    fields: list[str] | None = None
    extraFields: list[str] | None = None


class ImagesList(Listed):
    """Contract 8.2, images.list; `projectId`, `recursive`, `fields` as the SDK sends them."""

    datasetId: int | None
    projectId: int | None = None
    forceMetadataForLinks: bool
    recursive: bool | None = None
    fields: list[str] | None = None
    extraFields: list[str] | None = None


class ImagesBulkDownload(Strict):
    """Contract 8.2, images.bulk.download."""

    datasetId: int
    imageIds: list[int] = Field(min_length=1, max_length=1000)


class ImagesBulkDownloadByHash(Strict):
    """Contract 8.2, images.bulk.download-by-hash."""

    hashes: list[str] = Field(min_length=1, max_length=1000)


@router.post("/images.download", response_class=FileResponse)
def images_download(body: ImagesDownload, caller: ByToken, here: Here) -> FileResponse:
    """Send an image's bytes, as they lie in the folder."""
    entity = here.image(caller, body.id)
    return FileResponse(here.file_of(entity), media_type=entity.mime)


@router.post("/images.info")
def images_info(body: ImagesInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Describe an image."""
    entity = here.image(caller, body.id)
    return only(body.fields, image_json(entity, here, here.store.figure_counts()))


@router.post("/images.list")
def images_list(body: ImagesList, caller: ByToken, here: Here) -> dict[str, Any]:
    """List the images of a dataset, or of all datasets that the caller may see."""
    images = here.media_of(caller, "image", body.datasetId, body.projectId)
    page, numbers = select_page(images, body, getattr, {"id", "name", "hash"})
    counts = here.store.figure_counts()
    entities = [only(body.fields, image_json(entity, here, counts)) for entity in page]
    return {**numbers, "entities": entities}


@router.post("/images.bulk.download")
def images_bulk_download(body: ImagesBulkDownload, caller: ByToken, here: Here) -> Response:
    """Send several images of one dataset, each part named by its id."""
    here.dataset(caller, body.datasetId)
    entities = [here.image(caller, image_id) for image_id in body.imageIds]
    strangers = [entity.id for entity in entities if entity.dataset_id != body.datasetId]
    if strangers:
        raise BadRequest(f"imageIds: {strangers} are not in dataset {body.datasetId}.")
    return multipart((str(entity.id), _content(entity, here)) for entity in entities)


@router.post("/images.bulk.download-by-hash")
def images_bulk_download_by_hash(
    body: ImagesBulkDownloadByHash, caller: ByToken, here: Here
) -> Response:
    """Send images by content, each part named by its hash."""
    parts = []
    for content_hash in body.hashes:
        found = here.images_with(content_hash)
        if not found:
            raise NotFound(f"There is no image with the hash {content_hash}.")
        # Whoever may see one image with this content may have the content.
        seen = [entity for entity in found if caller.sees(entity.dataset_id)]
        entity = seen[0] if seen else here.image(caller, found[0].id)
        parts.append((content_hash, _content(entity, here)))
    return multipart(parts)


def multipart(parts: Iterable[tuple[str, bytes]]) -> Response:
    """Answer named parts as multipart/form-data. Contract 8.2, images.bulk.download."""
    boundary = secrets.token_hex(16)
    body = bytearray()
    for name, content in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        body += content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return Response(bytes(body), media_type=f"multipart/form-data; boundary={boundary}")


def image_json(entity: Entity, here: Workspace, figure_counts: dict[int, int]) -> dict[str, Any]:
    """Shape an image. Contract 8.2, images.info."""
    return {
        "id": entity.id,
        "name": entity.name,
        "title": entity.name,
        "description": "",
        "link": None,
        "hash": entity.hash,
        "mime": entity.mime,
        "ext": entity.name.rpartition(".")[2].lower(),
        "size": entity.size,
        "width": entity.width,
        "height": entity.height,
        "labelsCount": figure_counts.get(entity.id, 0),
        "datasetId": entity.dataset_id,
        "projectId": here.store.project_id,
        "parentId": entity.dataset_id,
        "createdAt": entity.created_at,
        "updatedAt": entity.updated_at,
        "createdBy": 1,
        "meta": {},
        "tags": [],
        "pathOriginal": f"/images/{entity.id}/{entity.name}",
        "fullStorageUrl": f"{here.settings.public_address}/workspace/api/images/{entity.id}/view",
        "relatedDataId": None,
        "downloadId": None,
        "offsetStart": None,
        "offsetEnd": None,
        "aiSearchMeta": None,
        "embeddingsUpdatedAt": None,
    }


def _content(entity: Entity, here: Workspace) -> bytes:
    return here.file_of(entity).read_bytes()
