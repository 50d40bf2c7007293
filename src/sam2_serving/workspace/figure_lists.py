"""Lists of figures: filtered, ordered and cut where they are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, defer

from sam2_serving.workspace.answers import BadRequest
from sam2_serving.workspace.api.strict import Condition, Listed, page_numbers
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import Entity, Figure

_COLUMNS = {
    "id": Figure.id,
    "entityId": Figure.entity_id,
    "objectId": Figure.object_id,
    "classId": Figure.class_id,
}
_BOUNDS = {"startFrame": ">=", "endFrame": "<="}
WITH_EXTENT = ("bitmap", "polygon", "rectangle")
"""Geometries that a box can be put around; a point has no size."""

_FIELDS = sorted((*_COLUMNS, *_BOUNDS))


def list_figures(
    store: Store, dataset_id: int, asked: Listed, geometries: bool
) -> tuple[list[Figure], dict[str, int]]:
    """Return a page of the figures of a dataset's images and videos, and the page's numbers.

    Args:
        store: where they are kept.
        dataset_id: of which dataset.
        asked: filter, order and page.
        geometries: read geometries too; without them a long video's figures are quick to list.

    Raises:
        BadRequest: the filter names an unknown field, or what it says makes no sense.
    """
    held = select(Entity.id).where(
        Entity.dataset_id == dataset_id, ~Entity.missing, Entity.kind.in_(("image", "video"))
    )
    kept = [Figure.entity_id.in_(held), *(_clause(one) for one in asked.filter)]
    order = Figure.id.desc() if asked.sort_order == "desc" else Figure.id
    page = select(Figure).where(*kept).order_by(order)
    page = page.offset((asked.page - 1) * asked.per_page).limit(asked.per_page)
    if not geometries:
        page = page.options(defer(Figure.geometry))
    with store.reading() as session:
        total = session.execute(select(func.count(Figure.id)).where(*kept)).scalar_one()
        return list(session.scalars(page)), page_numbers(total, asked)


def figures_of_class(store: Store, image_ids: Sequence[int], class_id: int) -> list[Figure]:
    """Return the figures of a class that have an extent, image by image, in order of their ids."""
    query = select(Figure).where(*_with_extent(image_ids), Figure.class_id == class_id)
    with store.reading() as session:
        return list(session.scalars(query.order_by(Figure.entity_id, Figure.id)))


def count_by_class(store: Store, image_ids: Sequence[int]) -> dict[int, int]:
    """Return the number of such figures by class; classes without are left out."""
    query = select(Figure.class_id, func.count()).where(*_with_extent(image_ids))
    with store.reading() as session:
        return {row[0]: row[1] for row in session.execute(query.group_by(Figure.class_id))}


def _with_extent(image_ids: Sequence[int]) -> list[ColumnElement[bool]]:
    return [_among(Figure.entity_id, image_ids), Figure.geometry_type.in_(WITH_EXTENT)]


def _clause(condition: Condition) -> ColumnElement[bool]:
    if condition.field in _BOUNDS:
        return _frame_bound(condition)
    column = _COLUMNS.get(condition.field)
    if column is None:
        raise BadRequest(f"filter.field: {condition.field!r} is none of {_FIELDS}.")
    if condition.operator == "=":
        return column == _number(condition.value)
    if condition.operator != "in":
        raise BadRequest(f"filter.operator: {condition.field!r} takes '=' or 'in'.")
    if not isinstance(condition.value, list):
        raise BadRequest("filter.value: the operator 'in' needs a list.")
    return _among(column, [_number(value) for value in condition.value])


def _among(column: InstrumentedAttribute[Any], numbers: Sequence[int]) -> ColumnElement[bool]:
    # One parameter, however many numbers: SQLite limits how many parameters a query has.
    given = func.json_each(json.dumps(list(numbers)))
    return column.in_(select(given.table_valued("value").c.value))


def _frame_bound(condition: Condition) -> ColumnElement[bool]:
    frame: ColumnElement[int] = Figure.meta["frame"].as_integer()
    if condition.operator != _BOUNDS[condition.field]:
        raise BadRequest(
            f"filter.operator: {condition.field!r} takes {_BOUNDS[condition.field]!r}."
        )
    number = _number(condition.value)
    return frame >= number if condition.operator == ">=" else frame <= number


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest("filter.value: whole numbers only.")
    return value
