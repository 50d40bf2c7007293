"""Many prompts, of one image or of several, decoded together.

Prompts of one form go through the decoder in batches of one fixed size, the last one filled up: the
shape of a batch decides the last bits of an answer, so it must not depend on how many others are
asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from sam2_serving.model.image import ImageEmbedding, Prediction, Refine, SegmentationModel
from sam2_serving.model.prompts import Prompts

PROMPTS_AT_ONCE = 8


Form = tuple[int, bool, bool]
"""(points, with two for a box; guided by a mask; the best of three masks is wanted)"""


def form_of(prompts: Prompts) -> Form:
    """Return what prompts must have in common to be decoded together."""
    tokens = len(prompts.points) + 2 * (prompts.box is not None)
    return tokens, prompts.mask is not None, prompts.is_ambiguous


def opening(prompts: Prompts, refine: Refine) -> Prompts:
    """Return what the first pass is asked, by the rule of `sam2_serving.model.segment`."""
    return prompts if refine == "single" or prompts.mask is not None else prompts.first_pass()


@dataclass(frozen=True)
class Question:
    """One run of the decoder for one prompt; `previous` is an earlier pass."""

    embedding: ImageEmbedding
    prompts: Prompts
    previous: Prediction | None = None

    @property
    def form(self) -> Form:
        """Return what questions must have in common to be asked together."""
        tokens, masked, ambiguous = form_of(self.prompts)
        guided = self.previous is not None
        return tokens, masked or guided, ambiguous and not guided


def segment_many(
    model: SegmentationModel,
    embedding: ImageEmbedding,
    prompts: Sequence[Prompts],
    refine: Refine = "two_pass",
) -> list[Prediction]:
    """Predict a mask for each prompt, by the rule of `sam2_serving.model.segment`.

    Masks agree with those of `segment` up to rounding: the batch has another shape.

    Args:
        model: the network.
        embedding: the image, embedded by `model`.
        prompts: none of them empty.
        refine: see `segment`.

    Raises:
        ValueError: there is an empty prompt, or a mask of another size than the image.
    """
    if any(one.is_empty for one in prompts):
        raise ValueError("There is nothing to segment: give a click, a box or a mask.")
    firsts = [opening(one, refine) for one in prompts]
    guesses = ask(model, [Question(embedding, one) for one in firsts])
    unsettled = [at for at, one in enumerate(prompts) if firsts[at] != one]
    second = [Question(embedding, prompts[at], guesses[at]) for at in unsettled]
    for at, answer in zip(unsettled, ask(model, second), strict=True):
        guesses[at] = answer
    return guesses


def _of_first(questions: Sequence[Question]) -> ImageEmbedding:
    return questions[0].embedding


def ask(
    model: SegmentationModel,
    questions: Sequence[Question],
    at_once: int = PROMPTS_AT_ONCE,
    maps: Callable[[Sequence[Question]], ImageEmbedding] = _of_first,
) -> list[Prediction]:
    """Run the decoder for questions of any form.

    Args:
        model: the network.
        questions: of one image, unless `maps` does more.
        at_once: size of every batch.
        maps: given a batch, returns what the decoder reads: one embedding for all, or as many as
            there are questions, one after the other.
    """
    by_form: dict[Form, list[int]] = defaultdict(list)
    for at, question in enumerate(questions):
        by_form[question.form].append(at)
    answers: dict[int, Prediction] = {}
    for (_, _, multimask), places in by_form.items():
        for start in range(0, len(places), at_once):
            batch = places[start : start + at_once]
            asked = [questions[at] for at in batch]
            filled = [*asked, *[asked[0]] * (at_once - len(asked))]
            found = _ask_batch(model, maps(filled), filled, multimask)
            answers |= zip(batch, islice(found, len(batch)), strict=True)
    return [answers[at] for at in range(len(questions))]


def _ask_batch(
    model: SegmentationModel,
    maps: ImageEmbedding,
    questions: Sequence[Question],
    multimask: bool,
) -> Iterator[Prediction]:
    points = [model.sparse_prompts(one.prompts, one.embedding.image_size) for one in questions]
    masks = [model.mask_input(one.prompts, one.embedding, one.previous) for one in questions]
    given = [one for one in points if one is not None]
    logits, ious = model.decode(
        maps,
        (torch.cat([xy for xy, _ in given]), torch.cat([labels for _, labels in given]))
        if given
        else None,
        torch.cat([one for one in masks if one is not None]) if masks[0] is not None else None,
        multimask,
    )
    for at in range(len(questions)):
        best = int(ious[at].argmax())
        # a copy: what is kept of one must not keep the batch
        yield Prediction(logits[at, best : best + 1].clone(), float(ious[at, best]))
