"""The base of all request bodies, and the page form of all lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sam2_serving.workspace.answers import BadRequest

Row = TypeVar("Row")

PER_PAGE = 500
MAX_ID = 2**63 - 1
"""The largest number that SQLite keeps."""

Id = Annotated[int, Path(ge=0, le=MAX_ID)]
"""Annotation of a number in an address."""


def _as_text(key: Any) -> Any:
    return str(key) if isinstance(key, int) and not isinstance(key, bool) else key


ClientKey = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=1000)]
"""A name that a client makes up, for example of a run of tracking; the SDK also allows numbers."""


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
    operator: Literal["=", "in", ">=", "<="]
    value: Any


class Listed(Strict):
    """What every `*.list` may say about order and pages. Contract 8.2, images.list."""

    filter: list[Condition] = Field(default_factory=list)
    sort: Literal["id"] = "id"
    sort_order: Literal["asc", "desc"] = "asc"
    page: int = Field(1, ge=1, le=10**12)
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
        BadRequest: a condition names a field that is not in `fields`, or compares by order.
    """
    for condition in asked.filter:
        if condition.field not in fields:
            raise BadRequest(f"filter.field: {condition.field!r} is none of {sorted(fields)}.")
        if condition.operator in (">=", "<="):
            raise BadRequest(f"filter.operator: {condition.field!r} takes '=' or 'in'.")
        if condition.operator == "in" and not isinstance(condition.value, list):
            raise BadRequest("filter.value: the operator 'in' needs a list.")
    kept = [row for row in rows if all(_holds(row, one, field) for one in asked.filter)]
    if asked.sort_order == "desc":
        kept.reverse()
    start = (asked.page - 1) * asked.per_page
    return kept[start : start + asked.per_page], page_numbers(len(kept), asked)


def page_numbers(total: int, asked: Listed) -> dict[str, int]:
    """Return what a page says of itself besides its rows."""
    pages = max(1, -(-total // asked.per_page))
    return {"total": total, "perPage": asked.per_page, "pagesCount": pages}


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
