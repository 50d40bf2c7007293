"""Objects: the things that figures show on the frames of a video or the slices of a volume."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest, Forbidden, NotFound
from sam2_serving.workspace.api.strict import Listed, Strict, select_page
from sam2_serving.workspace.context import Here
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.tables import MediaObject
from sam2_serving.workspace.video_labels import add_objects, objects_of_dataset

router = APIRouter(dependencies=[Depends(caller_by_token)])


class NewObject(Strict):
    """An object to add. The SDK's `api.video.object.append_bulk`."""

    classId: int
    entityId: int


class ObjectsBulkAdd(Strict):
    """The SDK's `api.video.object.append_bulk`."""

    datasetId: int
    annotationObjects: list[NewObject] = Field(min_length=1, max_length=1000)


class ObjectsList(Listed):
    """The SDK's `api.video.object.get_list`."""

    datasetId: int


class ObjectsInfo(Strict):
    """The SDK's `api.video.object.get_info_by_id`."""

    id: int


@router.post("/annotation-objects.bulk.add")
def objects_bulk_add(body: ObjectsBulkAdd, caller: ByToken, here: Here) -> list[dict[str, int]]:
    """Add objects to media of a dataset; all of them or, when one is wrong, none."""
    dataset = here.dataset(caller, body.datasetId)
    classes = {one.id for one in here.store.classes()}
    media = {one.id: one.kind for one in here.store.entities([dataset.id], kind=None)}
    for index, new in enumerate(body.annotationObjects):
        where = f"annotationObjects.{index}"
        if media.get(new.entityId) not in ("video", "volume"):
            raise BadRequest(f"{where}.entityId: no video or volume of dataset {dataset.id}.")
        if new.classId not in classes:
            raise BadRequest(f"{where}.classId: there is no class {new.classId}.")
    rows = [
        MediaObject(entity_id=new.entityId, class_id=new.classId) for new in body.annotationObjects
    ]
    return [{"id": object_id} for object_id in add_objects(here.store, rows)]


@router.post("/annotation-objects.list")
def objects_list(body: ObjectsList, caller: ByToken, here: Here) -> dict[str, Any]:
    """List the objects of a dataset's media."""
    dataset = here.dataset(caller, body.datasetId)
    rows = [_object_json(one, dataset.id) for one in objects_of_dataset(here.store, dataset.id)]
    page, numbers = select_page(rows, body, dict.__getitem__, {"id", "entityId", "classId"})
    return {**numbers, "entities": page}


@router.post("/annotation-objects.info")
def objects_info(body: ObjectsInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Describe an object."""
    thing = here.store.media_object(body.id)
    medium = here.store.entity(thing.entity_id, None) if thing else None
    if thing is None or medium is None:
        raise NotFound(f"There is no object {body.id}.")
    if not caller.sees(medium.dataset_id):
        raise Forbidden(f"{caller.login} has no right on object {body.id}.")
    return _object_json(thing, medium.dataset_id)


def _object_json(thing: MediaObject, dataset_id: int) -> dict[str, Any]:
    return {
        "id": thing.id,
        "description": "",
        "classId": thing.class_id,
        "entityId": thing.entity_id,
        "datasetId": dataset_id,
        "tags": [],
        "meta": {},
        "createdBy": 1,
        "createdAt": thing.created_at,
        "updatedAt": thing.updated_at,
    }
