"""Whether an object on a frame counts as lost or doubtful: a policy, which the tracker never sees.

A tracked mask is compared with the last one on which the object was seen.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from sam2_serving.masks import Box, tight_box


class Doubt(Enum):
    """Why a person should look at a frame."""

    UNSURE = "the model is not sure of the mask"
    AREA = "the mask suddenly grew or shrank"
    PLACE = "the mask jumped to another place"


@dataclass(frozen=True)
class DoubtRules:
    """When a frame is doubtful.

    Attributes:
        predicted_iou: a lower one is UNSURE.
        area_factor: an area that grew or shrank by more than this factor is AREA.
    """

    predicted_iou: float = 0.5
    area_factor: float = 2.0


@dataclass(frozen=True)
class _Seen:
    area: int
    box: Box


class Doubts:
    """Judges the masks of a tracking job, frame after frame."""

    def __init__(self, rules: DoubtRules) -> None:
        self._rules = rules
        self._seen: dict[Hashable, _Seen] = {}

    def judge(
        self, object_id: Hashable, mask: npt.NDArray[np.bool_], predicted_iou: float
    ) -> Doubt | None:
        """Say what is doubtful about a mask (bool HxW, not empty) that was tracked."""
        box = tight_box(mask)
        if box is None:
            return None
        now, before = _Seen(int(np.count_nonzero(mask)), box), self._seen.get(object_id)
        self._seen[object_id] = now
        if before is not None and not _touch(before.box, now.box):
            return Doubt.PLACE
        if before is not None:
            factor = self._rules.area_factor
            if not before.area / factor <= now.area <= before.area * factor:
                return Doubt.AREA
        return Doubt.UNSURE if predicted_iou < self._rules.predicted_iou else None

    def given(self, object_id: Hashable, mask: npt.NDArray[np.bool_]) -> None:
        """Take a mask that a person gave as what the next one is compared with."""
        box = tight_box(mask)
        if box is not None:
            self._seen[object_id] = _Seen(int(np.count_nonzero(mask)), box)


def _touch(one: Box, other: Box) -> bool:
    return one.x0 <= other.x1 and other.x0 <= one.x1 and one.y0 <= other.y1 and other.y0 <= one.y1
