"""The page's own API: many figures changed in one step that can be undone."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.figures import LabelContent, new_figure
from sam2_serving.workspace.api.strict import ClientKey, Strict
from sam2_serving.workspace.browser_alterations import (
    Alterations,
    Converted,
    Described,
    Reshaped,
)
from sam2_serving.workspace.browser_figures import MaskLabel
from sam2_serving.workspace.changes import Wish, find_change, make_change, set_done
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.places import (
    Place,
    frame_place,
    image_place,
    photo_place,
    slice_place,
)
from sam2_serving.workspace.security import OfPage, caller_of_page
from sam2_serving.workspace.tables import Change, Figure, ObjectClass

router = APIRouter(prefix="/workspace/api", dependencies=[Depends(caller_of_page)])

MOST = 5000
"""Figures of one change."""

_PLACE = re.compile(
    r"images/(?P<image>\d{1,18})|photos/(?P<photo>\d{1,18})"
    r"|videos/(?P<video>\d{1,18})/frames/(?P<frame>\d{1,18})"
    r"|volumes/(?P<volume>\d{1,18})/slices/(?P<plane>\w+)/(?P<index>\d{1,18})"
)


class NewShape(Strict):
    """A figure that comes.

    Attributes:
        on: its place, as in the addresses of this API: `images/7`, `videos/3/frames/12`.
        object_id: the video's or volume's object that it shows; None: a new one.
        geometry: `{"bitmap": {"origin", "data"}}` or `{"points": {"exterior", "interior"}}`.
        prompt: what it was asked for with, kept as `smartToolInput`.
    """

    on: str
    class_id: int
    object_id: int | None = None
    geometry_type: Literal["bitmap", "polygon", "rectangle"]
    geometry: dict[str, Any]
    prompt: dict[str, Any] | None = None
    description: str = ""
    nn_created: bool = False
    nn_updated: bool = False


class Classified(Strict):
    """A figure that gets another class."""

    id: int
    class_id: int


class NewChange(Strict):
    """What is to be done; all of it or, when something is wrong, nothing.

    Attributes:
        key: the page's name for it. Sent again, for example because no answer came, it is not done
            again.
        remove: figures that go.
        order: figures of one place, what is drawn on top last.
    """

    key: ClientKey
    remove: Annotated[list[int], Field(max_length=MOST, default_factory=list)]
    add: Annotated[list[NewShape], Field(max_length=MOST, default_factory=list)]
    classify: Annotated[list[Classified], Field(max_length=MOST, default_factory=list)]
    convert: Annotated[list[Converted], Field(max_length=MOST, default_factory=list)]
    reshape: Annotated[list[Reshaped], Field(max_length=MOST, default_factory=list)]
    describe: Annotated[list[Described], Field(max_length=MOST, default_factory=list)]
    order: Annotated[list[int], Field(max_length=MOST, default_factory=list)]


@router.post("/changes", status_code=201)
def change_figures(body: NewChange, caller: OfPage, here: Here) -> dict[str, Any]:
    """Change figures in one step; it is on the disk when the answer comes.

    A class that gets a figure of another shape than its own holds any shape from then on.
    `left_out` in the answer counts the parts of masks that no polygon was made of, if any.
    """
    known = find_change(here.store, body.key)
    if known is not None:
        return _told(known, caller, here)
    for figure_id in [*body.remove, *(one.id for one in body.classify), *body.order]:
        here.figure(caller, figure_id)
    makers = _Makers(caller, here)
    figures = [makers.figure(new, f"add.{index}") for index, new in enumerate(body.add)]
    for index, one in enumerate(body.classify):
        makers.owner(one.class_id, f"classify.{index}")
    altered = Alterations()
    altered.convert(body.convert, caller, here)
    altered.reshape(body.reshape, caller, here)
    altered.describe(body.describe, caller, here)
    wish = Wish(
        remove=list(dict.fromkeys(body.remove)),
        add=[*figures, *altered.more],
        classify={one.id: one.class_id for one in body.classify},
        alter=altered.fields,
        order=list(dict.fromkeys(body.order)),
    )
    on_objects = frozenset(one.entity.id for one in makers.places.values() if one.has_objects)
    try:
        change = make_change(here.store, body.key, wish, on_objects)
        told = _told(change, caller, here)
        return {**told, "left_out": altered.left_out} if altered.left_out else told
    except LookupError as error:
        raise NotFound(str(error)) from error


@router.post("/changes/{key}/undo")
def undo(key: str, caller: OfPage, here: Here) -> dict[str, Any]:
    """Undo a change: its figures go, those that went are back under their numbers."""
    return _set_done(key, False, caller, here)


@router.post("/changes/{key}/redo")
def redo(key: str, caller: OfPage, here: Here) -> dict[str, Any]:
    """Do a change again that was undone."""
    return _set_done(key, True, caller, here)


def _set_done(key: str, done: bool, caller: Caller, here: Workspace) -> dict[str, Any]:
    known = find_change(here.store, key)
    if known is None:
        raise NotFound("This change is not known, or too old to be undone.")
    _told(known, caller, here)
    try:
        changed = set_done(here.store, key, done)
    except LookupError as error:
        raise BadRequest(str(error)) from error
    return _told(changed or known, caller, here)


def _told(change: Change, caller: Caller, here: Workspace) -> dict[str, Any]:
    """Shape a change for someone who may see its media."""
    for entity in here.store.media_of_ids(change.entity_ids):
        # A class may go and come back with figures of files that are gone.
        if entity.missing and not change.things:
            raise NotFound("A file that this change is about is gone.")
        here.dataset(caller, entity.dataset_id)
    return {"key": change.key, "done": change.done, "added": change.added}


class _Makers:
    """Makes the figures of one change; looks each place and class up once."""

    def __init__(self, caller: Caller, here: Workspace) -> None:
        self.caller, self.here = caller, here
        self.places: dict[str, Place] = {}
        self._classes = {one.id: one for one in here.store.classes()}

    def figure(self, new: NewShape, where: str) -> Figure:
        """Check a figure and make it; raises BadRequest, NotFound or Forbidden."""
        place = self.places.get(new.on) or _place(new.on, where, self.caller, self.here)
        self.places[new.on] = place
        owner = self.owner(new.class_id, where)
        label = MaskLabel(
            description=new.description,
            nnCreated=new.nn_created,
            nnUpdated=new.nn_updated,
            smartToolInput=new.prompt,
        )
        content = LabelContent(new.geometry_type, new.geometry, label)
        figure = new_figure(self.caller, place, owner, content, where, bounded=True)
        figure.object_id = self._object(new, place, where)
        return figure

    def owner(self, class_id: int, where: str) -> ObjectClass:
        """Return a class, as one of any shape: it becomes that if it has to."""
        owner = self._classes.get(class_id)
        if owner is None:
            raise BadRequest(f"{where}.class_id: there is no class {class_id}.")
        return ObjectClass(id=owner.id, title=owner.title, color=owner.color, shape="any")

    def _object(self, new: NewShape, place: Place, where: str) -> int | None:
        if new.object_id is None:
            return None
        if not place.has_objects:
            raise BadRequest(
                f"{where}.object_id: only figures of videos and volumes belong to objects."
            )
        thing = self.here.store.media_object(new.object_id)
        if thing is None or thing.entity_id != place.entity.id:
            raise BadRequest(f"{where}.object_id: there is no object {new.object_id} here.")
        if thing.class_id != new.class_id:
            raise BadRequest(f"{where}.class_id: object {thing.id} is of class {thing.class_id}.")
        return thing.id


def _place(on: str, where: str, caller: Caller, here: Workspace) -> Place:
    named = _PLACE.fullmatch(on)
    if named is None:
        raise BadRequest(f"{where}.on: {on!r} is no place: say, for example, images/7.")
    if named["image"]:
        return image_place(here.image(caller, int(named["image"])))
    if named["photo"]:
        return photo_place(*here.photo(caller, int(named["photo"])))
    if named["video"]:
        return frame_place(here.medium(caller, int(named["video"]), "video"), int(named["frame"]))
    volume = here.medium(caller, int(named["volume"]), "volume")
    return slice_place(volume, named["plane"], int(named["index"]))
