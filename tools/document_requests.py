"""Writes the tables of the documentation that are made from the program's models.

`UPDATE_DOCS=1 pytest tests/unit/app/test_app_documents.py` puts them into docs/api.md and
docs/settings.md; the same test fails if they are out of date.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic_settings import BaseSettings

BOUNDS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}

ENVELOPE = ("api_token", "server_address")
"""Fields that every body may have: told once, at the top of the document."""


def describe_kind(schema: dict[str, Any]) -> str:
    """Return what a part of a JSON schema takes, in words.

    >>> describe_kind({"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]})
    'string, at most 9 characters; or null'
    """
    if "anyOf" in schema:
        return "; or ".join(dict.fromkeys(describe_kind(one) for one in schema["anyOf"]))
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "allOf" in schema:
        return ", ".join(describe_kind(one) for one in schema["allOf"])
    kind = str(schema.get("type", "anything"))
    if kind == "array" and "items" in schema:
        kind = f"list of ({describe_kind(schema['items'])})"
    bounds = [text.format(schema[name]) for name, text in BOUNDS.items() if name in schema]
    return ", ".join([kind, *bounds])


def _default(field: dict[str, Any], required: bool) -> str:
    if required:
        return "required"
    default = field.get("default")
    return "" if default is None else f"`{default}`"


def _table(name: str, schema: dict[str, Any], about: str) -> str:
    lines = [f"### `{name}`", ""]
    if about:
        # Where the program's source says which part of the platform's contract it fills.
        lines += [re.sub(r" \(contract[^)]*\)", "", about), ""]
    lines += ["| Field | Takes | Default |", "|---|---|---|"]
    required = schema.get("required", [])
    for field, one in schema.get("properties", {}).items():
        if field in ENVELOPE:
            continue
        kind = describe_kind(one).replace("|", "\\|")
        lines.append(f"| `{field}` | {kind} | {_default(one, field in required)} |")
    return "\n".join(lines) + "\n"


def _first_line(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").partition("\n")[0]


def request_tables(models: Iterable[type[BaseModel]]) -> str:
    """Return a table of fields for each model and each part that they refer to, each once."""
    tables: dict[str, str] = {}
    for model in models:
        schema = model.model_json_schema(by_alias=False)
        parts = schema.pop("$defs", {})
        tables[model.__name__] = _table(model.__name__, schema, _first_line(model))
        for name, part in parts.items():
            about = str(part.get("description", "")).partition("\n")[0]
            tables.setdefault(name, _table(name, part, about))
    return "\n".join(tables.values())


def settings_table(model: type[BaseSettings]) -> str:
    """Return a table of environment variables, their defaults and meaning."""
    prefix = model.model_config.get("env_prefix", "")
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        made = field.default_factory is not None
        # A default that is worked out depends on the machine.
        value = "" if made or field.default is None else str(field.default)
        shown = f"`{value}`" if value else ""
        lines.append(f"| `{prefix}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(lines) + "\n"
