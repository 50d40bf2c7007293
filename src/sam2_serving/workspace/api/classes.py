"""Classes and kinds of tags as lists: how the SDK finds their ids by name."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from sam2_serving.workspace.api.strict import Listed, select_page
from sam2_serving.workspace.context import Here
from sam2_serving.workspace.project_meta import tag_metas
from sam2_serving.workspace.security import caller_by_token

router = APIRouter(dependencies=[Depends(caller_by_token)])


class ObjectClassesList(Listed):
    """The SDK's `api.object_class.get_list`."""

    projectId: int


class TagsList(Listed):
    """The SDK's `api.video.tag.get_list`."""

    projectId: int


@router.post("/advanced.object_classes.list")
def object_classes_list(body: ObjectClassesList, here: Here) -> dict[str, Any]:
    """List the project's classes."""
    here.project(body.projectId)
    rows = [
        {
            "id": one.id,
            "name": one.title,
            "description": one.description,
            "shape": one.shape,
            "color": one.color,
            "settings": one.geometry_config,
            "createdAt": one.created_at,
            "updatedAt": one.updated_at,
        }
        for one in sorted(here.store.classes(), key=lambda one: one.id)
    ]
    page, numbers = select_page(rows, body, dict.__getitem__, {"id", "name"})
    return {**numbers, "entities": page}


@router.post("/tags.list")
def tags_list(body: TagsList, here: Here) -> dict[str, Any]:
    """List the project's kinds of tags."""
    here.project(body.projectId)
    rows = [
        {
            "id": one.id,
            "projectId": body.projectId,
            "name": one.name,
            "settings": {"type": one.value_type, "values": one.values},
            "color": one.color,
            "createdAt": one.created_at,
            "updatedAt": one.updated_at,
        }
        for one in tag_metas(here.store)
    ]
    page, numbers = select_page(rows, body, dict.__getitem__, {"id", "name"})
    return {**numbers, "entities": page}
