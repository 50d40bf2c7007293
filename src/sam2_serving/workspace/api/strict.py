"""The base of all request bodies, and the page form of all lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sam2_serving.workspace.answers import BadRequest

Row = TypeVar("Row")

PER_PAGE = 500
MAX_ID = 2**63 - 1
"""The largest number that SQLite keeps."""

Id = Annotated[int, Path(ge=0, le=MAX_ID)]
"""Annotation of a number in an address."""


class Strict(BaseModel):
    """A body whose fields are all known and of their own type: "1" is no number here."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _keepable(cls, body: Any) -> Any:
        check_keepable(body)
        return body


def check_keepable(body: Any) -> None:
    """Refuse values that JSON allows in but that neither SQLite nor a JSON answer can hold.

    Raises:
        ValueError: a number is not finite or needs more than 64 bits, or a text holds half a
            surrogate pair.
    """
    waiting = [("", body)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{where}.{ascii(key)[1:-1]}", part) for key, part in value.items()]
            waiting += [(f"{where} (a name in it)", key) for key in value]
        elif isinstance(value, list):
            waiting += [(f"{where}.{index}", part) for index, part in enumerate(value)]
        elif isinstance(value, str) and not value.isascii():
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise ValueError(f"{where.lstrip('.')}: the text is not valid Unicode.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{where.lstrip('.')}: the number is not finite.")
        elif isinstance(value, int) and not -MAX_ID <= value <= MAX_ID:
            raise ValueError(f"{where.lstrip('.')}: the number is too large.")


class Condition(Strict):
    """One entry of a `filter`. Contract 8.2, images.list."""

    field: str
    operator: Literal["=", "in"]
    value: Any


class Listed(Strict):
    """What every `*.list` may say about order and pages. Contract 8.2, images.list."""

    filter: list[Condition] = Field(default_factory=list)
    sort: Literal["id"] = "id"
    sort_order: Literal["asc", "desc"] = "asc"
    page: int = Field(1, ge=1)
    per_page: int = Field(PER_PAGE, ge=1, le=10_000)


def select_page(
    rows: Sequence[Row], asked: Listed, field: Callable[[Row, str], Any], fields: set[str]
) -> tuple[list[Row], dict[str, int]]:
    """Filter, order and cut a list.

    Args:
        rows: all rows, in the order of their ids.
        asked: what the request says.
        field: gives a row's value of a field.
        fields: the fields that may be filtered by.

    Returns:
        The rows of the page, and the page's numbers. `total` counts the rows after the filter.

    Raises:
        BadRequest: a condition names a field that is not in `fields`.
    """
    for condition in asked.filter:
        if condition.field not in fields:
            raise BadRequest(f"filter.field: {condition.field!r} is none of {sorted(fields)}.")
        if condition.operator == "in" and not isinstance(condition.value, list):
            raise BadRequest("filter.value: the operator 'in' needs a list.")
    kept = [row for row in rows if all(_holds(row, one, field) for one in asked.filter)]
    if asked.sort_order == "desc":
        kept.reverse()
    pages = max(1, -(-len(kept) // asked.per_page))
    start = (asked.page - 1) * asked.per_page
    numbers = {"total": len(kept), "perPage": asked.per_page, "pagesCount": pages}
    return kept[start : start + asked.per_page], numbers


def _holds(row: Row, condition: Condition, field: Callable[[Row, str], Any]) -> bool:
    value = field(row, condition.field)
    if condition.operator == "in":
        return value in condition.value
    return bool(value == condition.value)


def only(fields: list[str] | None, entity: dict[str, Any]) -> dict[str, Any]:
    """Keep the fields that were asked for, and the id."""
    if fields is None:
        return entity
    return {name: value for name, value in entity.items() if name in fields or name == "id"}
