"""Options for the settings of automatic masks: one for each field of the one class of settings."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

from sam2_serving.commands.errors import UsageError
from sam2_serving.model import AutomaticSettings

NOT_OPTIONS = {"output_mode"}
"""How a program gets its masks; files have their own formats."""


def add_automatic_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting, with dashes."""
    group = parser.add_argument_group("what --auto asks and keeps")
    meanings = _meanings()
    for field in _settings():
        meaning = f"{meanings[field.name]} Default: {_shown(field.default)}".replace("%", "%%")
        if isinstance(field.default, bool):
            switch = argparse.BooleanOptionalAction
            group.add_argument(_option(field.name), action=switch, default=None, help=meaning)
        else:
            group.add_argument(_option(field.name), type=_number, metavar="N", help=meaning)


def automatic_settings(options: argparse.Namespace) -> AutomaticSettings:
    """Return the settings; what was not given has its default.

    Raises:
        UsageError: a setting makes no sense.
    """
    given = {field.name: getattr(options, field.name) for field in _settings()}
    try:
        return AutomaticSettings(**{key: one for key, one in given.items() if one is not None})
    except ValueError as error:
        raise UsageError(str(error)) from error


def automatic_facts(settings: AutomaticSettings) -> dict[str, Any]:
    """Return the value of every option."""
    return {_option(field.name): getattr(settings, field.name) for field in _settings()}


def given_automatic_options(options: argparse.Namespace) -> list[str]:
    """Return the options that were given."""
    return [_option(one.name) for one in _settings() if getattr(options, one.name) is not None]


def _settings() -> Iterator[Field[Any]]:
    return (field for field in fields(AutomaticSettings) if field.name not in NOT_OPTIONS)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _number(text: str) -> int | float | str:
    """Read a number; what is none is left to the settings to refuse in their own words."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _shown(default: object) -> str:
    return f"{default:.3g}" if isinstance(default, float) else str(default).lower()


def _meanings() -> dict[str, str]:
    """Return what the class's documentation says of each field."""
    _, _, attributes = inspect.getdoc(AutomaticSettings).partition("Attributes:")  # type: ignore[union-attr]
    told = re.findall(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", attributes, re.M)
    for_programmers = re.compile(r" \(see `\w+`\)")
    return {name: for_programmers.sub("", " ".join(text.split())) for name, text in told}
