"""Figures one by one: added, listed, described, removed."""

from __future__ import annotations

from typing import Any, Protocol

from fastapi import APIRouter, Depends
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest
from sam2_serving.workspace.api.strict import Listed, Strict, only, select_page
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.geometry import measure
from sam2_serving.workspace.places import Place, image_place
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.tables import Entity, Figure, ObjectClass

router = APIRouter(dependencies=[Depends(caller_by_token)])


class LabelFields(Strict):
    """What a label's JSON carries besides its geometry. Contract 2.3, objects."""

    id: int | None = None
    classId: int | None = None
    classTitle: str | None = None
    description: str = ""
    tags: list[Any] = Field([], max_length=0)
    bitmap: dict[str, Any] | None = None
    points: dict[str, Any] | None = None
    shape: str | None = None
    geometryType: str
    nnCreated: bool = False
    nnUpdated: bool = False
    labelerLogin: str | None = None
    createdAt: str | None = None
    updatedAt: str | None = None
    smartToolInput: dict[str, Any] | None = None


class NewFigure(LabelFields):
    """A figure to add. Contract 8.2, figures.bulk.add; the SDK repeats the label's own fields."""

    classId: int
    geometry: dict[str, Any]
    meta: dict[str, Any] = Field(default_factory=dict)


class FiguresBulkAdd(Strict):
    """Contract 8.2, figures.bulk.add, for an image."""

    entityId: int
    figures: list[NewFigure] = Field(min_length=1, max_length=1000)
    skipBoundsValidation: bool = False


class FiguresInfo(Strict):
    """Contract 8.2, figures.info."""

    id: int
    fields: list[str]


class FiguresList(Listed):
    """Contract 8.2, figures.list; `integerCoords` as the SDK sends it."""

    datasetId: int
    fields: list[str]
    integerCoords: bool = False


class FiguresBulkRemove(Strict):
    """The SDK's `api.image.figure.remove`."""

    figureIds: list[int] = Field(min_length=1)


@router.post("/figures.bulk.add")
def figures_bulk_add(body: FiguresBulkAdd, caller: ByToken, here: Here) -> list[dict[str, int]]:
    """Add figures to an image; all of them or, when one is wrong, none."""
    place = image_place(here.image(caller, body.entityId))
    classes = {one.id: one for one in here.store.classes()}
    figures = []
    for index, new in enumerate(body.figures):
        if new.classId not in classes:
            raise BadRequest(f"figures.{index}.classId: there is no class {new.classId}.")
        label = LabelContent(new.geometryType, new.geometry, new)
        bounded = not body.skipBoundsValidation
        figures.append(
            new_figure(caller, place, classes[new.classId], label, f"figures.{index}", bounded)
        )
        figures[-1].meta = {**new.meta, **figures[-1].meta}
    return [{"id": figure_id} for figure_id in here.store.add_figures(figures)]


@router.post("/figures.info")
def figures_info(body: FiguresInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Describe a figure."""
    figure, image = here.figure(caller, body.id)
    return only([*body.fields, "entityId"], figure_json(figure, image, here))


@router.post("/figures.list")
def figures_list(body: FiguresList, caller: ByToken, here: Here) -> dict[str, Any]:
    """List the figures of a dataset's images."""
    dataset = here.dataset(caller, body.datasetId)
    images = {image.id: image for image in here.store.entities([dataset.id])}
    rows = [
        figure_json(figure, images[figure.entity_id], here)
        for figure in here.store.figures(list(images))
    ]
    page, numbers = select_page(rows, body, dict.__getitem__, {"id", "entityId", "classId"})
    return {**numbers, "entities": [only([*body.fields, "entityId"], row) for row in page]}


@router.post("/figures.bulk.remove")
def figures_bulk_remove(body: FiguresBulkRemove, caller: ByToken, here: Here) -> dict[str, Any]:
    """Remove figures; all of them or, when one is unknown, none."""
    for figure_id in body.figureIds:
        here.figure(caller, figure_id)
    here.store.remove_figures(body.figureIds)
    return {"success": True}


class LabelLike(Protocol):
    """The fields of a label that a figure keeps as they come."""

    description: str
    nnCreated: bool
    nnUpdated: bool
    smartToolInput: dict[str, Any] | None


class LabelContent:
    """A geometry with its type, and the label around it."""

    def __init__(self, kind: str, geometry: dict[str, Any], label: LabelLike) -> None:
        self.kind = kind
        self.geometry = geometry
        self.label = label


def new_figure(
    caller: Caller,
    place: Place,
    object_class: ObjectClass,
    content: LabelContent,
    where: str,
    bounded: bool,
) -> Figure:
    """Check a label and make a figure of it.

    Args:
        caller: who adds it.
        place: on which picture it is.
        object_class: its class.
        content: its geometry and label.
        where: names the label in a refusal, for example `figures.3`.
        bounded: refuse a geometry that reaches outside the picture.

    Raises:
        BadRequest: the geometry is wrong or the class is of another shape.
    """
    if object_class.shape not in (content.kind, "any"):
        raise BadRequest(
            f"{where}.geometryType: the class {object_class.title!r} holds {object_class.shape}, "
            f"not {content.kind}."
        )
    try:
        checked = measure(content.kind, content.geometry, place.width, place.height, bounded)
    except ValueError as error:
        raise BadRequest(f"{where}: {error}") from error
    prompt = content.label.smartToolInput
    return Figure(
        entity_id=place.entity.id,
        place=place.key,
        class_id=object_class.id,
        geometry_type=content.kind,
        geometry=checked.geometry,
        bbox=checked.bbox,
        area=checked.area,
        meta=place.meta if prompt is None else {**place.meta, "smartToolInput": prompt},
        description=content.label.description,
        nn_created=content.label.nnCreated,
        nn_updated=content.label.nnUpdated,
        created_by=caller.login,
    )


def figure_json(figure: Figure, image: Entity, here: Workspace) -> dict[str, Any]:
    """Shape a figure. Contract 8.2, figures.info."""
    return {
        "id": figure.id,
        "classId": figure.class_id,
        "objectId": figure.object_id,
        "entityId": image.id,
        "imageId": image.id,
        "datasetId": image.dataset_id,
        "projectId": here.store.project_id,
        "geometryType": figure.geometry_type,
        "geometry": figure.geometry,
        "geometryMeta": {"bbox": figure.bbox},
        "meta": figure.meta,
        "tags": figure.tags,
        "area": str(int(figure.area)),
        "priority": figure.id,
        "customData": {},
        "description": figure.description,
        "nnCreated": figure.nn_created,
        "nnUpdated": figure.nn_updated,
        "createdAt": figure.created_at,
        "updatedAt": figure.updated_at,
    }
