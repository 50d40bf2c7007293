"""The page's own API: figures that become something else, and stay the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from sam2_serving.workspace.answers import BadRequest
from sam2_serving.workspace.api.strict import Strict
from sam2_serving.workspace.browser_figures import place_of_figure
from sam2_serving.workspace.context import Caller, Workspace
from sam2_serving.workspace.conversions import convert
from sam2_serving.workspace.geometry import measure
from sam2_serving.workspace.places import Place
from sam2_serving.workspace.tables import Figure

Shape = Literal["bitmap", "polygon", "rectangle"]

_NAMES = {"bitmap": "mask", "polygon": "polygon", "rectangle": "box"}


class Converted(Strict):
    """A figure that shall be of another shape and cover the same pixels.

    A mask of several parts becomes a polygon for each; where a figure belongs to an object, which
    has one figure on a picture, for the largest part only.
    """

    id: int
    to: Shape


class Reshaped(Strict):
    """A figure that gets another geometry."""

    id: int
    geometry_type: Shape
    geometry: dict[str, Any]


class Described(Strict):
    """A figure that gets another description: its name in the list."""

    id: int
    description: Annotated[str, Field(max_length=256)]


@dataclass
class Alterations:
    """What becomes of figures.

    Attributes:
        fields: the new fields, by the figure's id.
        more: figures that come besides: the other parts of masks.
        left_out: parts of masks that no figure could be made of.
    """

    fields: dict[int, dict[str, Any]] = field(default_factory=dict)
    more: list[Figure] = field(default_factory=list)
    left_out: int = 0

    def convert(self, wishes: Sequence[Converted], caller: Caller, here: Workspace) -> None:
        """Convert figures; raises BadRequest, NotFound or Forbidden."""
        for index, wish in enumerate(wishes):
            where = f"convert.{index}"
            figure, entity = here.figure(caller, wish.id)
            place = place_of_figure(figure, entity, here)
            kind = figure.geometry_type
            if kind == wish.to:
                raise BadRequest(f"{where}.to: figure {wish.id} is a {_NAMES[wish.to]} already.")
            try:
                found = convert(kind, figure.geometry, wish.to, (place.width, place.height))
            except ValueError as error:
                raise BadRequest(f"{where}: figure {wish.id}: {error}") from error
            first, *others = (_fields(wish.to, one, place, where) for one in found)
            self._put(wish.id, first)
            if place.has_objects:
                self.left_out += len(others)
            else:
                self.more += [_like(figure, one) for one in others]

    def reshape(self, wishes: Sequence[Reshaped], caller: Caller, here: Workspace) -> None:
        """Give figures other geometries; raises BadRequest, NotFound or Forbidden."""
        for index, wish in enumerate(wishes):
            figure, entity = here.figure(caller, wish.id)
            place = place_of_figure(figure, entity, here)
            where = f"reshape.{index}"
            self._put(wish.id, _fields(wish.geometry_type, wish.geometry, place, where))

    def describe(self, wishes: Sequence[Described], caller: Caller, here: Workspace) -> None:
        """Give figures other descriptions; raises NotFound or Forbidden."""
        for wish in wishes:
            here.figure(caller, wish.id)
            self._put(wish.id, {"description": wish.description.strip()})

    def _put(self, figure_id: int, news: dict[str, Any]) -> None:
        self.fields.setdefault(figure_id, {}).update(news)


def _fields(kind: str, geometry: dict[str, Any], place: Place, where: str) -> dict[str, Any]:
    try:
        checked = measure(kind, geometry, place.width, place.height, bounded=True)
    except ValueError as error:
        raise BadRequest(f"{where}: {error}") from error
    return {
        "geometry_type": kind,
        "geometry": checked.geometry,
        "bbox": checked.bbox,
        "area": checked.area,
        "nn_updated": False,  # a person's from now on
    }


def _like(figure: Figure, fields: dict[str, Any]) -> Figure:
    """Make another figure of what a figure shows; what it was asked for with stays with the one."""
    return Figure(
        entity_id=figure.entity_id,
        class_id=figure.class_id,
        place=figure.place,
        meta={name: value for name, value in figure.meta.items() if name != "smartToolInput"},
        tags=figure.tags,
        description=figure.description,
        nn_created=figure.nn_created,
        created_by=figure.created_by,
        **fields,
    )
