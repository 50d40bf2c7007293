"""Where tracking lost objects of a video: what the app said, and gaps in what it tracked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sam2_serving.workspace.video_labels import Run

_SENTENCE = re.compile(r"Object (\d+) is lost from frame (\d+) on\b")


@dataclass(frozen=True)
class Loss:
    """What a run of tracking said of an object.

    Attributes:
        frame: the first in the direction of tracking on which the object was not found.
        step: 1: the run went forward; -1: backward.
        reach: the last frame that the run came to.
    """

    object_id: int
    frame: int
    step: int
    reach: int


def loss_said(sentence: str, step: int, reach: int) -> Loss | None:
    """Return the loss that a warning of the app tells of; None: it is about something else."""
    said = _SENTENCE.search(sentence)
    if said is None:
        return None
    frame = int(said[2])
    return Loss(int(said[1]), frame, step, max(reach, frame) if step > 0 else min(reach, frame))


def lost_frames(runs: Sequence[Run], losses: Sequence[Loss]) -> list[tuple[int, int]]:
    """Return where an object is lost: spans of frames, both ends included, in order.

    Args:
        runs: where the object has figures, in order.
        losses: what was said of this object. One counts while the object is still on the frame
            before and not on its own: else a person has drawn it there, or taken its track away.
    """
    spans = {
        (one.last + 1, other.first - 1)
        for one, other in pairwise(runs)
        # A track begins at a person's figure: between two parts of one, it was lost and found.
        if other.first > one.last + 1 and not one.human and not other.human
    }
    for loss in losses:
        if not _holds(runs, loss.frame - loss.step) or _holds(runs, loss.frame):
            continue
        if loss.step > 0:
            later = [run.first - 1 for run in runs if run.first > loss.frame]
            spans.add((loss.frame, min([loss.reach, *later])))
        else:
            earlier = [run.last + 1 for run in runs if run.last < loss.frame]
            spans.add((max([loss.reach, *earlier]), loss.frame))
    return _joined(sorted(spans))


def _holds(runs: Sequence[Run], frame: int) -> bool:
    return any(run.first <= frame <= run.last for run in runs)


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put spans together that overlap."""
    found: list[tuple[int, int]] = []
    for first, last in spans:
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found
