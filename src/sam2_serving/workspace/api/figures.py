"""Figures of images and videos: added, listed, described, removed."""

from __future__ import annotations

from typing import Any, Protocol

from fastapi import APIRouter, Depends
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.strict import ClientKey, Listed, Strict, only
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.figure_lists import list_figures
from sam2_serving.workspace.geometry import measure
from sam2_serving.workspace.places import Place, frame_place, image_place
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.tables import Entity, Figure, MediaObject, ObjectClass
from sam2_serving.workspace.video_labels import objects_of

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
    """A figure to add. Contract 8.2, figures.bulk.add; the SDK repeats the label's own fields.

    An image's figure names its class; a video's names its object, which has one, and its frame.
    `key`, `objectKey` and `priority` are the SDK's own and not kept.
    """

    geometry: dict[str, Any]
    meta: dict[str, Any] = Field(default_factory=dict)
    objectId: int | None = None
    trackId: ClientKey | None = None
    key: str | None = None
    objectKey: str | None = None
    priority: int | None = None


class FiguresBulkAdd(Strict):
    """Contract 8.2, figures.bulk.add, for an image or a video."""

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


class FiguresRemove(Strict):
    """Contract 8.2, as figures.bulk.remove, for one; the SDK sends only the other."""

    id: int


class FiguresBulkRemove(Strict):
    """The SDK's `api.image.figure.remove` and `api.video.figure.remove`."""

    figureIds: list[int] = Field(min_length=1)


@router.post("/figures.bulk.add")
def figures_bulk_add(body: FiguresBulkAdd, caller: ByToken, here: Here) -> list[dict[str, int]]:
    """Add figures to an image or a video; all of them or, when one is wrong, none."""
    medium = here.store.entity(body.entityId, None)
    if medium is None or medium.kind not in ("image", "video"):
        raise NotFound(f"There is no image or video {body.entityId}.")
    medium = here.medium(caller, medium.id, medium.kind)
    make = _figures_of_image if medium.kind == "image" else _figures_of_video
    figures = make(body, medium, caller, here)
    return [{"id": figure_id} for figure_id in here.store.add_figures(figures)]


def _figures_of_image(
    body: FiguresBulkAdd, image: Entity, caller: Caller, here: Workspace
) -> list[Figure]:
    place = image_place(image)
    classes = {one.id: one for one in here.store.classes()}
    figures = []
    for index, new in enumerate(body.figures):
        where = f"figures.{index}"
        if new.classId not in classes:
            raise BadRequest(f"{where}.classId: there is no class {new.classId}.")
        if new.objectId is not None or new.trackId is not None:
            raise BadRequest(f"{where}: an image's figure has no objectId and no trackId.")
        figures.append(_added(new, caller, place, classes[new.classId], where, body))
    return figures


def _figures_of_video(
    body: FiguresBulkAdd, video: Entity, caller: Caller, here: Workspace
) -> list[Figure]:
    classes = {one.id: one for one in here.store.classes()}
    objects = {thing.id: thing for thing in objects_of(here.store, [video.id])}
    figures = []
    for index, new in enumerate(body.figures):
        where = f"figures.{index}"
        thing = _object_of(new, objects, where)
        place = _frame_of(new, video, where)
        figure = _added(new, caller, place, classes[thing.class_id], where, body)
        figure.object_id, figure.track_id = thing.id, new.trackId
        figures.append(figure)
    return figures


def _object_of(new: NewFigure, objects: dict[int, MediaObject], where: str) -> MediaObject:
    thing = objects.get(new.objectId) if new.objectId is not None else None
    if thing is None:
        raise BadRequest(f"{where}.objectId: there is no object {new.objectId} in this video.")
    if new.classId not in (None, thing.class_id):
        raise BadRequest(f"{where}.classId: object {thing.id} is of class {thing.class_id}.")
    return thing


def _frame_of(new: NewFigure, video: Entity, where: str) -> Place:
    frame = new.meta.get("frame")
    if isinstance(frame, bool) or not isinstance(frame, int):
        raise BadRequest(f"{where}.meta.frame: say on which frame the figure is.")
    try:
        return frame_place(video, frame)
    except NotFound as error:
        raise BadRequest(f"{where}.meta.frame: {error.detail}") from error


def _added(
    new: NewFigure,
    caller: Caller,
    place: Place,
    object_class: ObjectClass,
    where: str,
    body: FiguresBulkAdd,
) -> Figure:
    label = LabelContent(new.geometryType, new.geometry, new)
    figure = new_figure(caller, place, object_class, label, where, not body.skipBoundsValidation)
    figure.meta = {**new.meta, **figure.meta}
    return figure


@router.post("/figures.info")
def figures_info(body: FiguresInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Describe a figure."""
    figure, image = here.figure(caller, body.id)
    return only([*body.fields, "entityId"], figure_json(figure, image, here))


@router.post("/figures.list")
def figures_list(body: FiguresList, caller: ByToken, here: Here) -> dict[str, Any]:
    """List the figures of a dataset's images and videos."""
    dataset = here.dataset(caller, body.datasetId)
    figures, numbers = list_figures(here.store, dataset.id, body, "geometry" in body.fields)
    media = {medium.id: medium for medium in here.store.entities([dataset.id], kind=None)}
    fields = [*body.fields, "entityId"]
    rows = [
        figure_json(figure, media[figure.entity_id], here, geometry="geometry" in fields)
        for figure in figures
    ]
    return {**numbers, "entities": [only(fields, row) for row in rows]}


@router.post("/figures.remove")
def figures_remove(body: FiguresRemove, caller: ByToken, here: Here) -> dict[str, Any]:
    """Remove a figure."""
    here.figure(caller, body.id)
    here.store.remove_figures([body.id])
    return {"success": True}


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


def figure_json(
    figure: Figure, image: Entity, here: Workspace, geometry: bool = True
) -> dict[str, Any]:
    """Shape a figure, with its geometry or without. Contract 8.2, figures.info."""
    return {
        "id": figure.id,
        "classId": figure.class_id,
        "objectId": figure.object_id,
        "entityId": image.id,
        "imageId": image.id,
        "datasetId": image.dataset_id,
        "projectId": here.store.project_id,
        "geometryType": figure.geometry_type,
        **({"geometry": figure.geometry} if geometry else {}),
        "geometryMeta": {"bbox": figure.bbox},
        "meta": figure.meta,
        "tags": figure.tags,
        "area": str(int(figure.area)),
        "priority": figure.id if figure.layer is None else figure.layer,
        "customData": {},
        "description": figure.description,
        "nnCreated": figure.nn_created,
        "nnUpdated": figure.nn_updated,
        "trackId": figure.track_id,
        "createdAt": figure.created_at,
        "updatedAt": figure.updated_at,
    }
