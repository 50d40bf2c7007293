"""What comes with media that are brought in: figures, in the workspace's own terms."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

MOST_WARNINGS = 100


@dataclass(frozen=True)
class Label:
    """A figure that comes.

    Attributes:
        place: which picture of its medium, as `Place.key` names it.
        geometry_type: bitmap, polygon, rectangle or point.
        geometry: as figures keep it.
        thing: names the object of a video or a volume; None: one of its own.
    """

    place: str
    class_title: str
    geometry_type: str
    geometry: dict[str, Any]
    thing: Hashable | None = None
    description: str = ""
    prompt: dict[str, Any] | None = None
    nn_created: bool = False
    nn_updated: bool = False


@dataclass(frozen=True)
class Item:
    """A medium with its figures.

    Attributes:
        path: where it belongs, relative to the place that everything is brought to.
        entry: its file in the bundle; None: it is there already.
    """

    path: PurePosixPath
    entry: PurePosixPath | None
    labels: list[Label] = field(default_factory=list)


@dataclass
class Found:
    """What a bundle holds.

    Attributes:
        classes: colour (#RRGGBB, None: not said) by title, in their order.
        warnings: what is left out, in sentences.
    """

    classes: dict[str, str | None] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Tell what is left out."""
        if len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(sentence)
