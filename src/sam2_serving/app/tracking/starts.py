"""Where the objects of a tracking job start: the figures that a client names, sends or draws."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sam2_serving.app.platform.video import VideoFigure
from sam2_serving.app.reporting import (
    AppError,
    BadRequest,
    MediaNotFound,
    MediaTooLarge,
    UnsupportedGeometry,
)
from sam2_serving.app.tracking.figures import mask_of, prompts_of
from sam2_serving.app.tracking.requests import InlineFigure, InputGeometry
from sam2_serving.engine import Keyframe, ObjectToTrack
from sam2_serving.model import Prompts

Size = tuple[int, int]
ObjectId = Any

MAX_MASK_BYTES = 2**30
"""Of one mask of each object of a job, a byte a pixel; a job holds about three times as much."""


@dataclass(frozen=True)
class StartFigure:
    """A figure that a client wants to be followed.

    Attributes:
        object_id: the object it belongs to.
        name: what a sentence calls it.
        by_person: a person made it, as far as is known.
        version: changes when the figure does.
        figure_id: the client's id of it, to be given back.
    """

    object_id: ObjectId
    name: str
    kind: str
    geometry: dict[str, Any]
    by_person: bool = True
    version: str = ""
    figure_id: Any = None


@dataclass(frozen=True)
class Starts:
    """The objects that can be followed, and why others cannot.

    Attributes:
        prompts: where each object is on the first frame, in the order of the figures.
        kinds: their geometry types: what goes in is what comes out.
        refused: a sentence for each figure that cannot be tracked.
    """

    figures: Mapping[ObjectId, Sequence[StartFigure]]
    prompts: Mapping[ObjectId, Prompts]
    kinds: Mapping[ObjectId, str]
    refused: Sequence[AppError]

    def version(self, object_id: ObjectId) -> str:
        """Return what changes when the object's figures do."""
        return " ".join(sorted(one.version for one in self.figures[object_id]))

    def alone(self, object_id: ObjectId) -> ObjectToTrack:
        """Return an object of which no more is known than where it starts."""
        prompts = self.prompts[object_id]
        return ObjectToTrack(object_id, Keyframe(self.version(object_id), lambda: prompts))


def read_starts(
    figures: Sequence[StartFigure], size: Size, refused: Sequence[AppError] = ()
) -> Starts:
    """Read figures; several of one object are one object, of the kind of the first.

    Args:
        figures: all on one frame.
        size: (width, height) of the frame.
        refused: why other figures cannot be tracked.

    Raises:
        MediaTooLarge: the masks of so many objects would take more than `MAX_MASK_BYTES`.
    """
    width, height = size
    most = max(1, MAX_MASK_BYTES // (width * height))
    if len({one.object_id for one in figures}) > most:
        raise MediaTooLarge(
            f"At most {most} objects can be tracked at once on frames of {width} x {height} pixels."
        )
    together: dict[ObjectId, list[StartFigure]] = defaultdict(list)
    masks: dict[ObjectId, npt.NDArray[np.bool_]] = {}
    why = list(refused)
    for one in figures:
        try:
            mask = mask_of(one.kind, one.geometry, size, one.name)
        except UnsupportedGeometry as problem:
            why.append(problem)
            continue
        together[one.object_id].append(one)
        before = masks.get(one.object_id)
        masks[one.object_id] = mask if before is None else before | mask
    kinds = {id: ones[0].kind for id, ones in together.items()}
    prompts = {id: prompts_of(kind, masks[id]) for id, kind in kinds.items()}
    return Starts(dict(together), prompts, kinds, why)


def named_figures(
    named: Sequence[VideoFigure], wanted: Sequence[int], start: int
) -> list[StartFigure | AppError]:
    """Match figures with the ids that were asked for."""
    by_id = {one.id: one for one in named}
    found: list[StartFigure | AppError] = []
    for id in dict.fromkeys(wanted):
        one = by_id.get(id)
        if one is None or one.geometry is None:
            found.append(MediaNotFound(f"Figure {id} is not in this video any more."))
        elif one.frame != start:
            found.append(BadRequest(f"Figure {id} is on frame {one.frame}, not on frame {start}."))
        else:
            found.append(
                StartFigure(
                    one.object_id,
                    f"Figure {id}",
                    one.kind,
                    one.geometry,
                    one.by_person,
                    one.version,
                    id,
                )
            )
    return found


def inline_figures(
    figures: Sequence[InlineFigure], stored: Sequence[VideoFigure]
) -> list[StartFigure]:
    """Take figures as they come; whether a person made them, the platform may know."""
    by_id = {one.id: one for one in stored}
    found = []
    for place, figure in enumerate(figures):
        known = by_id.get(figure.id) if isinstance(figure.id, int) else None
        drawn = hashlib.sha256(json.dumps(figure.geometry, sort_keys=True).encode()).hexdigest()
        found.append(
            StartFigure(
                figure.objectId,
                f"Figure {ascii(figure.id)[:80]}" if figure.id is not None else f"Figure {place}",
                figure.geometryType,
                figure.geometry,
                by_person=known is None or known.by_person,
                version=drawn if known is None else known.version,
                figure_id=place if figure.id is None else figure.id,
            )
        )
    return found


def input_figures(geometries: Sequence[InputGeometry]) -> list[StartFigure]:
    """Take geometries; an object is called after its place."""
    return [
        StartFigure(place, f"input_geometries[{place}]", one.type, one.data)
        for place, one in enumerate(geometries)
    ]
