"""Projects and datasets."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest
from sam2_serving.workspace.api.strict import Listed, Strict, select_page
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.project_meta import replace_meta, tag_metas
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.settings import TEAM_ID, WORKSPACE_ID
from sam2_serving.workspace.tables import Dataset, ObjectClass, TagMeta

router = APIRouter(dependencies=[Depends(caller_by_token)])


class ProjectsList(Listed):
    """Contract 8.2, projects.list; `fields`, `workspaceId` and `groupId` as the SDK sends them."""

    workspaceId: int | None = None
    groupId: int | None = None
    fields: list[str] = Field(default_factory=list)


class ProjectsInfo(Strict):
    """Contract 8.2, projects.list (one entity of it); `fields` as the SDK sends it."""

    id: int
    fields: list[str] | None = None
    extraFields: list[str] | None = None


class ProjectsMeta(Strict):
    """Contract 8.1, projects.meta."""

    id: int


class MetaClass(Strict):
    """A class of a project meta. Contract 2.2, get_model_meta."""

    title: str = Field(min_length=1, max_length=256)
    description: str = ""
    shape: str
    color: str = Field(pattern=r"^#[0-9A-Fa-f]{6}$")
    geometry_config: dict[str, Any] = Field(default_factory=dict)
    id: int | None = None
    hotkey: str = ""


class MetaTag(Strict):
    """A kind of tag of a project meta; fields as the SDK's `TagMeta` writes them."""

    name: str = Field(min_length=1, max_length=256)
    value_type: Literal["none", "any_number", "any_string", "oneof_string", "date"]
    color: str = Field(pattern=r"^#[0-9A-Fa-f]{6}$")
    values: list[str] | None = None
    id: int | None = None
    hotkey: str = ""
    applicable_type: Literal["all", "imagesOnly", "objectsOnly"] = "all"
    classes: list[str] = Field(default_factory=list)
    target_type: Literal["all", "framesOnly", "entitiesOnly"] = "all"
    frame_range_min_length: int | None = None
    frame_range_max_length: int | None = None
    default: bool | None = None
    default_value: str | int | float | None = None

    def row(self) -> TagMeta:
        """Return what is kept of it."""
        own = {"name", "value_type", "color", "values"}
        more = self.model_dump(exclude={*own, "id"}, exclude_none=True)
        return TagMeta(**self.model_dump(include=own), more=more)


class Meta(Strict):
    """A project meta. Contract 2.2, get_model_meta."""

    classes: list[MetaClass]
    tags: list[MetaTag] = Field(default_factory=list)
    projectType: str | None = None
    projectSettings: dict[str, Any] = Field(default_factory=dict)


class ProjectsMetaUpdate(Strict):
    """Contract 8.1, projects.meta.update."""

    id: int
    meta: Meta


class ProjectSettings(Strict):
    """What the SDK's `update_meta` sets after the meta."""

    groupImages: bool = False
    groupImagesByTagId: int | None = None
    groupImagesSync: bool = False
    labelingInterface: str | None = None


class ProjectsSettingsUpdate(Strict):
    """Part of the SDK's `api.project.update_meta`."""

    id: int
    settings: ProjectSettings


class DatasetsInfo(Strict):
    """Contract 8.2, datasets.info."""

    id: int


class DatasetsList(Listed):
    """Contract 8.2, datasets.info and the page form; fields as the SDK sends them."""

    projectId: int
    recursive: bool = False
    extraFields: list[str] = Field(default_factory=list)


@router.post("/projects.list")
def projects_list(body: ProjectsList, caller: ByToken, here: Here) -> dict[str, Any]:
    """List the one project."""
    ours = body.workspaceId in (None, WORKSPACE_ID) and body.groupId in (None, TEAM_ID)
    projects = [project_json(caller, here)] if ours else []
    page, numbers = select_page(projects, body, dict.__getitem__, {"id", "name"})
    return {**numbers, "entities": page}


@router.post("/projects.info")
def projects_info(body: ProjectsInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Describe the project."""
    here.project(body.id)
    return project_json(caller, here)


@router.post("/projects.meta")
def projects_meta(body: ProjectsMeta, here: Here) -> dict[str, Any]:
    """Return the project's classes and tags."""
    here.project(body.id)
    return meta_json(here)


@router.post("/projects.meta.update")
def projects_meta_update(body: ProjectsMetaUpdate, here: Here) -> dict[str, Any]:
    """Replace the project's classes and tags; those that are used must stay."""
    here.project(body.id)
    titles = [entry.title for entry in body.meta.classes]
    if len(set(titles)) < len(titles):
        raise BadRequest("meta.classes: two classes have the same title.")
    names = [entry.name for entry in body.meta.tags]
    if len(set(names)) < len(names):
        raise BadRequest("meta.tags: two tags have the same name.")
    classes = [ObjectClass(**entry.model_dump(exclude={"id"})) for entry in body.meta.classes]
    try:
        tags = [entry.row() for entry in body.meta.tags]
        replace_meta(here.store, classes, tags, body.meta.projectSettings)
    except ValueError as error:
        raise BadRequest(f"meta: {error}") from error
    return meta_json(here)


@router.post("/projects.settings.update")
def projects_settings_update(body: ProjectsSettingsUpdate, here: Here) -> dict[str, Any]:
    """Accept the settings that go with a meta; grouping by tags is not kept."""
    here.project(body.id)
    if body.settings.groupImages or body.settings.groupImagesByTagId is not None:
        raise BadRequest("settings.groupImages: this workspace does not group images.")
    return {"success": True}


@router.post("/datasets.info")
def datasets_info(body: DatasetsInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Describe a dataset."""
    return dataset_json(here.dataset(caller, body.id), here)


@router.post("/datasets.list")
def datasets_list(body: DatasetsList, caller: ByToken, here: Here) -> dict[str, Any]:
    """List the datasets that the caller may see."""
    here.project(body.projectId)
    seen = [dataset_json(one, here) for one in here.store.datasets() if caller.sees(one.id)]
    page, numbers = select_page(seen, body, dict.__getitem__, {"id", "name", "parentId"})
    return {**numbers, "entities": page}


def dataset_json(dataset: Dataset, here: Workspace) -> dict[str, Any]:
    """Shape a dataset. Contract 8.2, datasets.info."""
    media = here.store.entities([dataset.id], kind=None)
    return {
        "id": dataset.id,
        "name": dataset.name,
        "description": dataset.description,
        "projectId": here.store.project_id,
        "workspaceId": WORKSPACE_ID,
        "teamId": TEAM_ID,
        "parentId": None,
        "imagesCount": sum(entity.kind == "image" for entity in media),
        "itemsCount": len(media),
        "size": str(sum(entity.size for entity in media)),
        "referenceImageUrl": None,
        "customData": {},
        "createdBy": 1,
        "createdAt": dataset.created_at,
        "updatedAt": dataset.updated_at,
    }


def project_json(caller: Caller, here: Workspace) -> dict[str, Any]:
    """Shape the project. Contract 8.2, projects.list."""
    project = here.store.project()
    datasets = [dataset for dataset in here.store.datasets() if caller.sees(dataset.id)]
    media = here.store.entities([dataset.id for dataset in datasets], kind=None)
    return {
        "id": project.id,
        "name": project.name,
        "title": project.name,
        "description": "",
        "readme": "",
        "type": "images",
        "workspaceId": WORKSPACE_ID,
        "teamId": TEAM_ID,
        "groupId": TEAM_ID,
        "imagesCount": sum(entity.kind == "image" for entity in media),
        "itemsCount": len(media),
        "datasetsCount": len(datasets),
        "size": str(sum(entity.size for entity in media)),
        "referenceImageUrl": None,
        "customData": {},
        "backupArchive": {},
        "importSettings": {},
        "createdBy": 1,
        "createdAt": project.created_at,
        "updatedAt": project.updated_at,
    }


def meta_json(here: Workspace) -> dict[str, Any]:
    """Shape the project's meta. Contract 2.2, get_model_meta."""
    names = ("id", "title", "description", "shape", "color", "hotkey", "geometry_config")
    classes = [{name: getattr(one, name) for name in names} for one in here.store.classes()]
    tags = [_tag_json(tag) for tag in tag_metas(here.store)]
    meta = {"classes": classes, "tags": tags, "projectType": "images"}
    settings = here.store.project().meta_settings
    return {**meta, "projectSettings": settings} if settings else meta


def _tag_json(tag: TagMeta) -> dict[str, Any]:
    values = {} if tag.values is None else {"values": tag.values}
    own = {"id": tag.id, "name": tag.name, "value_type": tag.value_type, "color": tag.color}
    return {**own, **values, **tag.more}
