"""JSON bodies within limits: what parses here costs little wherever it is parsed again."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from sam2_serving.app.reporting import BadRequest

MAX_DEPTH = 64
MAX_VALUES = 200_000


def parse_json(body: bytes) -> Any:
    """Parse a body.

    Raises:
        BadRequest: it is no JSON; it holds a NaN or Infinity, which are none; it is nested deeper
            than `MAX_DEPTH`, or holds more than `MAX_VALUES` values.
    """
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error
    _check_shape(content)
    return content


def dump_json(content: Any) -> bytes:
    """Write a body in its shortest form."""
    return json.dumps(content, separators=(",", ":")).encode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_shape(content: Any) -> None:
    level, values = [content], 0
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        values += len(inner)
        if values > MAX_VALUES:
            raise BadRequest(f"The body holds more than {MAX_VALUES} values.")
        if not inner:
            return
        level = inner
    raise BadRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")
