"""Clicks of several people on several images, decoded together.

Every batch has the model's one size for clicks and is filled up, so that an answer does not depend
on who else clicked. Answers are those of `sam2_serving.model.segment` up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sam2_serving.model.image import ImageEmbedding, Prediction, Refine, SegmentationModel
from sam2_serving.model.many import Question, ask, opening
from sam2_serving.model.prompts import Prompts


@dataclass(frozen=True)
class Click:
    """What one person asks.

    Attributes:
        embedding: of the image.
        prompts: not empty.
        refine: see `sam2_serving.model.segment`.
        first: what the first pass gave, if that is known.
    """

    embedding: ImageEmbedding
    prompts: Prompts
    refine: Refine = "two_pass"
    first: Prediction | None = None

    @property
    def opening(self) -> Prompts:
        """What the first pass is asked."""
        return opening(self.prompts, self.refine)


@dataclass(frozen=True)
class Passes:
    """What the first pass gave, and the answer: the same, if one pass is enough."""

    first: Prediction
    answer: Prediction


def segment_clicks(model: SegmentationModel, clicks: Sequence[Click]) -> list[Passes]:
    """Predict a mask for each click; call it within the thread that owns the model.

    Args:
        model: the network, without lean parts: those decode one image at a time.
        clicks: of any form, on any images of this model.

    Raises:
        ValueError: empty prompts, or a mask of another size than its image.
    """
    if any(one.prompts.is_empty for one in clicks):
        raise ValueError("There is nothing to segment: give a click, a box or a mask.")
    known = {at: one.first for at, one in enumerate(clicks) if one.first is not None}
    new = [at for at in range(len(clicks)) if at not in known]
    first = [Question(clicks[at].embedding, clicks[at].opening) for at in new]
    known |= zip(new, ask(model, first, model.clicks_at_once, _stacked), strict=True)
    going_on = [at for at, one in enumerate(clicks) if one.opening != one.prompts]
    second = [Question(clicks[at].embedding, clicks[at].prompts, known[at]) for at in going_on]
    answers = known | dict(
        zip(going_on, ask(model, second, model.clicks_at_once, _stacked), strict=True)
    )
    return [Passes(known[at], answers[at]) for at in range(len(clicks))]


@torch.inference_mode()
def _stacked(questions: Sequence[Question]) -> ImageEmbedding:
    """Put the embeddings one behind the other; the size is nobody's."""
    embeddings = [one.embedding for one in questions]
    fine, middle = (torch.cat([one.high_res[level] for one in embeddings]) for level in (0, 1))
    return ImageEmbedding(torch.cat([one.features for one in embeddings]), (fine, middle), (0, 0))
