"""The page's own API: classes, and changes of them that can be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest, Forbidden, NotFound
from sam2_serving.workspace.api.strict import ClientKey, Id, Strict
from sam2_serving.workspace.changes import find_change
from sam2_serving.workspace.class_changes import (
    Uses,
    add_class,
    alter_class,
    delete_class,
    order_classes,
    uses_of,
)
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.security import OfPage
from sam2_serving.workspace.tables import ObjectClass

router = APIRouter(prefix="/api/classes")

Title = Annotated[str, Field(min_length=1, max_length=256, pattern=r"\S")]
Color = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]


class NewClass(Strict):
    """A class that a person adds on the page; without a key it cannot be undone."""

    title: Title
    color: Color
    key: ClientKey | None = None


class AlteredClass(Strict):
    """A class that gets another name or colour."""

    key: ClientKey
    title: Title | None = None
    color: Color | None = None


class OrderedClasses(Strict):
    """The order of all classes."""

    key: ClientKey
    ids: list[int]


@router.get("")
def classes(here: Here) -> list[dict[str, Any]]:
    """List the classes in their order."""
    return [_class_json(one) for one in here.store.classes()]


@router.post("", status_code=201)
def new_class(body: NewClass, here: Here) -> dict[str, Any]:
    """Add a class of masks."""
    title, color = body.title.strip(), body.color.upper()
    if body.key is None:
        added = here.store.add_class(title, "bitmap", color)
        if added is None:
            raise BadRequest(f"title: there is a class {title!r} already.")
        return _class_json(added)
    try:
        return _class_json(add_class(here.store, body.key, title, color))
    except ValueError as error:
        raise BadRequest(f"title: {error}") from error


@router.put("/order")
def reorder(body: OrderedClasses, here: Here) -> dict[str, bool]:
    """Put the classes in an order: the first nine have the keys 1 to 9."""
    return _once(here, body.key, lambda: order_classes(here.store, body.key, body.ids))


@router.put("/{class_id}")
def alter(class_id: Id, body: AlteredClass, here: Here) -> dict[str, bool]:
    """Rename or recolour a class."""
    news: dict[str, Any] = {}
    if body.title is not None:
        news["title"] = body.title.strip()
    if body.color is not None:
        news["color"] = body.color.upper()
    return _once(here, body.key, lambda: alter_class(here.store, body.key, class_id, news))


@router.get("/{class_id}/uses")
def uses(class_id: Id, caller: OfPage, here: Here) -> dict[str, int]:
    """Count the figures and objects of a class, and the media that they are on."""
    found = _all_seen(caller, here, uses_of(here.store, class_id))
    return {"figures": found.figures, "objects": found.objects, "media": len(found.entity_ids)}


@router.delete("/{class_id}")
def remove(
    class_id: Id,
    caller: OfPage,
    here: Here,
    key: Annotated[str, Query(min_length=1, max_length=1000)],
    figures: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, bool]:
    """Delete a class with its figures, whose number has to be said."""
    _all_seen(caller, here, uses_of(here.store, class_id))
    return _once(here, key, lambda: delete_class(here.store, key, class_id, figures))


def _once(here: Workspace, key: str, work: Callable[[], None]) -> dict[str, bool]:
    """Do a change that was not done under this key already."""
    if find_change(here.store, key) is None:
        try:
            work()
        except LookupError as error:
            raise NotFound(str(error)) from error
        except ValueError as error:
            raise BadRequest(str(error)) from error
    return {"success": True}


def _all_seen(caller: Caller, here: Workspace, found: Uses) -> Uses:
    """Return what a class is used for, or refuse it to those who may not see all of it."""
    media = here.store.media_of_ids(found.entity_ids)
    if not all(caller.sees(one.dataset_id) for one in media):
        raise Forbidden(f"{caller.login} has no right on all media that this class is used on.")
    return found


def _class_json(entry: ObjectClass) -> dict[str, Any]:
    return {"id": entry.id, "title": entry.title, "shape": entry.shape, "color": entry.color}
