"""The page's own API: figures on images, frames, slices and photos."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from sam2_serving.workspace.answers import BadRequest, Conflict, NotFound
from sam2_serving.workspace.api.figures import LabelContent, figure_json, new_figure
from sam2_serving.workspace.api.strict import Id, Strict
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.places import (
    Place,
    frame_place,
    image_place,
    photo_place,
    place_of,
    slice_place,
)
from sam2_serving.workspace.security import OfPage, caller_of_page
from sam2_serving.workspace.tables import Entity, Figure

router = APIRouter(prefix="/workspace/api", dependencies=[Depends(caller_of_page)])

_ON_FRAME = "/videos/{video_id}/frames/{frame}/figures"
_ON_SLICE = "/volumes/{volume_id}/slices/{plane}/{index}/figures"


class Origin(Strict):
    """Top left pixel of a bitmap, in the picture's pixels."""

    x: int
    y: int


class SavedMask(Strict):
    """A mask that a person accepted, as the Smart Tool answered it, and how it was asked for."""

    class_id: int
    object_id: int | None = None
    """The video's or volume's object that it shows; None: a new one."""
    origin: Origin
    bitmap: str
    prompt: dict[str, Any] | None = None
    description: str = ""
    nn_created: bool = True
    nn_updated: bool = False


class ChangedMask(SavedMask):
    """Another mask of a saved figure.

    Attributes:
        based_on: the figure's `updatedAt` as the person saw it; None: whatever it is by now.
    """

    based_on: str | None = None


class MaskLabel(Strict):
    """What a figure keeps of a saved mask besides its geometry."""

    description: str
    nnCreated: bool
    nnUpdated: bool
    smartToolInput: dict[str, Any] | None


@router.get("/images/{image_id}/figures")
def figures(image_id: Id, caller: OfPage, here: Here) -> list[dict[str, Any]]:
    """List an image's figures."""
    return _list(image_place(here.image(caller, image_id)), here)


@router.post("/images/{image_id}/figures", status_code=201)
def save_figure(image_id: Id, body: SavedMask, caller: OfPage, here: Here) -> dict[str, Any]:
    """Save a mask; it is on the disk when the answer comes."""
    return _save(image_place(here.image(caller, image_id)), body, caller, here)


@router.get(_ON_FRAME)
def frame_figures(video_id: Id, frame: Id, caller: OfPage, here: Here) -> list[dict[str, Any]]:
    """List a frame's figures."""
    return _list(frame_place(here.medium(caller, video_id, "video"), frame), here)


@router.post(_ON_FRAME, status_code=201)
def save_on_frame(
    video_id: Id, frame: Id, body: SavedMask, caller: OfPage, here: Here
) -> dict[str, Any]:
    """Save a mask on a frame."""
    place = frame_place(here.medium(caller, video_id, "video"), frame)
    return _save(place, body, caller, here)


@router.get(_ON_SLICE)
def slice_figures(
    volume_id: Id, plane: str, index: Id, caller: OfPage, here: Here
) -> list[dict[str, Any]]:
    """List a slice's figures."""
    return _list(slice_place(here.medium(caller, volume_id, "volume"), plane, index), here)


@router.post(_ON_SLICE, status_code=201)
def save_on_slice(
    volume_id: Id, plane: str, index: Id, body: SavedMask, caller: OfPage, here: Here
) -> dict[str, Any]:
    """Save a mask on a slice."""
    place = slice_place(here.medium(caller, volume_id, "volume"), plane, index)
    return _save(place, body, caller, here)


@router.get("/photos/{photo_id}/figures")
def photo_figures(photo_id: Id, caller: OfPage, here: Here) -> list[dict[str, Any]]:
    """List a photo's figures."""
    return _list(photo_place(*here.photo(caller, photo_id)), here)


@router.post("/photos/{photo_id}/figures", status_code=201)
def save_on_photo(photo_id: Id, body: SavedMask, caller: OfPage, here: Here) -> dict[str, Any]:
    """Save a mask on a photo."""
    return _save(photo_place(*here.photo(caller, photo_id)), body, caller, here)


@router.get("/videos/{video_id}/places")
def video_places(video_id: Id, caller: OfPage, here: Here) -> dict[str, int]:
    """Say how many figures each frame has; frames without are left out."""
    return here.store.places(here.medium(caller, video_id, "video").id)


@router.get("/volumes/{volume_id}/places")
def volume_places(volume_id: Id, caller: OfPage, here: Here) -> dict[str, int]:
    """Say how many figures each slice has; slices without are left out."""
    return here.store.places(here.medium(caller, volume_id, "volume").id)


@router.put("/figures/{figure_id}")
def change_figure(figure_id: Id, body: ChangedMask, caller: OfPage, here: Here) -> dict[str, Any]:
    """Give a figure another mask: the end of an edit."""
    figure, entity = here.figure(caller, figure_id)
    if body.based_on not in (None, figure.updated_at):
        raise Conflict("Somebody else changed this figure meanwhile.")
    place = place_of_figure(figure, entity, here)
    if body.object_id not in (None, figure.object_id):
        raise BadRequest("object_id: a figure stays with its object.")
    if figure.object_id is not None and body.class_id != figure.class_id:
        raise BadRequest(f"class_id: its object is of class {figure.class_id}.")
    changed = here.store.replace_figure(figure_id, _figure(place, body, caller, here))
    if changed is None:
        raise NotFound(f"There is no figure {figure_id}.")
    return figure_json(changed, entity, here)


@router.delete("/figures/{figure_id}")
def delete_figure(figure_id: Id, caller: OfPage, here: Here) -> dict[str, bool]:
    """Delete a figure."""
    here.figure(caller, figure_id)
    here.store.remove_figures([figure_id])
    return {"success": True}


def place_of_figure(figure: Figure, entity: Entity, here: Workspace) -> Place:
    """Return where a figure is, or refuse with 404."""
    number = figure.place.partition("photo:")[2]
    return place_of(entity, figure.place, here.store.photo(int(number)) if number else None)


def _list(place: Place, here: Workspace) -> list[dict[str, Any]]:
    found = here.store.figures([place.entity.id], place.key)
    return [figure_json(figure, place.entity, here) for figure in found]


def _save(place: Place, body: SavedMask, caller: Caller, here: Workspace) -> dict[str, Any]:
    figure = _figure(place, body, caller, here)
    if not place.has_objects:
        if body.object_id is not None:
            raise BadRequest("object_id: only figures of videos and volumes belong to objects.")
        here.store.add_figures([figure])
        return figure_json(figure, place.entity, here)
    if body.object_id is not None:
        thing = here.store.media_object(body.object_id)
        if thing is None or thing.entity_id != place.entity.id:
            raise BadRequest(f"object_id: there is no object {body.object_id} here.")
        if thing.class_id != body.class_id:
            raise BadRequest(f"class_id: object {thing.id} is of class {thing.class_id}.")
        figure.object_id = thing.id
    here.store.add_on_object(figure)
    return figure_json(figure, place.entity, here)


def _figure(place: Place, body: SavedMask, caller: Caller, here: Workspace) -> Figure:
    by_id = {one.id: one for one in here.store.classes()}
    if body.class_id not in by_id:
        raise BadRequest(f"class_id: there is no class {body.class_id}.")
    label = MaskLabel(
        description=body.description,
        nnCreated=body.nn_created,
        nnUpdated=body.nn_updated,
        smartToolInput=body.prompt,
    )
    geometry = {"bitmap": {"origin": [body.origin.x, body.origin.y], "data": body.bitmap}}
    content = LabelContent("bitmap", geometry, label)
    return new_figure(caller, place, by_id[body.class_id], content, "bitmap", bounded=True)
