"""Files of boxes: what images they list, and the boxes of each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.results import Category
from sam2_serving.masks import Box

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class BoxPrompt:
    """A box to find the mask of.

    Attributes:
        box: in pixels; may be empty or reach out of the image.
        category: kept for the mask.
        id: of the annotation; kept for the mask.
    """

    box: Box
    category: Category
    id: int | None


@dataclass(frozen=True)
class ListedImage:
    """An image that has boxes.

    Attributes:
        name: a path with slashes, as the file of boxes says it.
        size: (width, height) that it states, if it does.
        id: its number, if it has one.
        boxes: in the file's order.
    """

    name: str
    size: tuple[int, int] | None
    id: int | None
    boxes: tuple[BoxPrompt, ...]


@dataclass(frozen=True)
class BoxList:
    """All that `--boxes` names.

    Attributes:
        images: with their boxes.
        categories: all classes, also those without a box.
        digest: of the files' content.
        passed_over: annotations that are no rectangles.
    """

    images: tuple[ListedImage, ...]
    categories: tuple[Category, ...]
    digest: str
    passed_over: int = 0


def read_json(path: Path) -> tuple[bytes, Any]:
    """Return a file's bytes and what they say.

    Raises:
        UsageError: it cannot be read, or is no JSON.
    """
    try:
        content = path.read_bytes()
        return content, json.loads(content)
    except OSError as error:
        raise UsageError(f"The boxes {str(path)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The boxes {str(path)!r} are no JSON: {error}.") from error


def check(kind: type[Model], said: Any, path: Path) -> Model:
    """Return what a file says, with types.

    Raises:
        UsageError: names the first part that is wrong.
    """
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UsageError(f"The boxes {str(path)!r}: {where}: {first['msg']}.") from error


def digest_of(parts: list[bytes]) -> str:
    """Return a fingerprint of files in their order."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:16]
