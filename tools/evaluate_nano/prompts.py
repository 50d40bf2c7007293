"""Clicks, boxes and corrections on still images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from evaluate_nano.clicks import (
    TOLERANCES,
    beside,
    box_of,
    centre_of,
    correction,
    filled_box,
    flood,
)
from evaluate_nano.heldout import Mask, Object, iou, scenes
from sam2_serving.model import (
    ImageEmbedding,
    Point,
    Prediction,
    Prompts,
    Refine,
    SegmentationModel,
    segment,
)

Way = Literal["single", "two_pass", "fed_back"]
WAYS: tuple[Way, ...] = ("single", "two_pass", "fed_back")
"""`single` and `two_pass` are the Smart Tool's; `fed_back` gives each correction the logits of the
answer that it corrects, as programs that use sam2 by hand do."""
_CORRECTIONS = 2

Ask = Callable[[Prompts, Prediction | None], Prediction]


@dataclass
class Answers:
    """What one way of asking gave for one object.

    Attributes:
        box: IoU for the object's exact box.
        click: IoU for a click at its middle: the best of three masks by predicted IoU.
        three: IoU after that click and two corrections.
        said: (predicted IoU, true IoU) for the click, the box and the three clicks.
        obeyed: whether a click was obeyed, by kind: "first" (positive), "positive" and "negative"
            corrections (made where the mask was wrong), "in_box" (negative, see `beside`).
        out_before: whether the pixel of the "in_box" click was out already for the box alone.
    """

    box: float = 0.0
    click: float = 0.0
    three: float = 0.0
    said: list[tuple[float, float]] = field(default_factory=list)
    obeyed: dict[str, list[bool]] = field(default_factory=dict)
    out_before: list[bool] = field(default_factory=list)

    def obey(self, kind: str, obeyed: bool) -> None:
        """Note whether a click was obeyed."""
        self.obeyed.setdefault(kind, []).append(bool(obeyed))


@dataclass
class Record:
    """What was measured on one object.

    Attributes:
        size: "small", "medium" or "large".
        answers: by way of asking.
        oracle: IoU of the best of the three masks for a click.
        filled_box: IoU of the filled box.
        flood: IoU of the flood fill from the click, by tolerance.
    """

    size: str
    answers: dict[Way, Answers]
    oracle: float
    filled_box: float
    flood: dict[int, float]


def measure(model: SegmentationModel, difficulty: str, objects: int) -> list[Record]:
    """Ask about every object of the held-out scenes."""
    records = []
    for number, scene in enumerate(scenes(difficulty, objects)):
        embedding = model.embed(scene[0].image)
        for place, thing in enumerate(scene):
            records.append(_record(model, embedding, thing, seed=(number, place)))
    return records


def _record(
    model: SegmentationModel, embedding: ImageEmbedding, thing: Object, seed: tuple[int, int]
) -> Record:
    click = centre_of(thing.mask)
    return Record(
        size=thing.size,
        answers={
            way: ask_about(_asker(model, embedding, way), thing.mask, np.random.default_rng(seed))
            for way in WAYS
        },
        oracle=_oracle(model, embedding, thing.mask, Point(*click)),
        filled_box=iou(filled_box(thing.mask), thing.mask),
        flood={t: iou(flood(thing.image, click, t), thing.mask) for t in TOLERANCES},
    )


def _asker(model: SegmentationModel, embedding: ImageEmbedding, way: Way) -> Ask:
    def ask(prompts: Prompts, previous: Prediction | None) -> Prediction:
        if way == "fed_back":
            return model.predict(embedding, prompts, previous)
        refine: Refine = way
        return segment(model, embedding, prompts, refine)

    return ask


def ask_about(ask: Ask, mask: Mask, rng: np.random.Generator) -> Answers:
    """Ask for an object by a click and corrections, and by a box.

    Args:
        ask: gives the answer to prompts; it is told the answer that is being corrected.
        mask: the object.
        rng: chooses the negative click in the box.
    """
    answers = Answers()
    _dialogue(ask, answers, mask)
    _by_box(ask, answers, mask, rng)
    return answers


def _mask(prediction: Prediction, like: Mask) -> Mask:
    height, width = like.shape
    return SegmentationModel.to_mask(prediction, (height, width))


def _dialogue(ask: Ask, answers: Answers, mask: Mask) -> None:
    points = [Point(*centre_of(mask))]
    prediction = ask(Prompts(tuple(points)), None)
    found = _mask(prediction, mask)
    answers.click = iou(found, mask)
    answers.said.append((prediction.predicted_iou, answers.click))
    answers.obey("first", _holds(found, points[0]))
    for _ in range(_CORRECTIONS):
        click = correction(found, mask)
        wrong = not _holds(found, click)
        points.append(click)
        prediction = ask(Prompts(tuple(points)), prediction)
        found = _mask(prediction, mask)
        if wrong:  # a perfect mask leaves nothing to correct, and nothing to obey
            answers.obey("positive" if click.positive else "negative", _holds(found, click))
    answers.three = iou(found, mask)
    answers.said.append((prediction.predicted_iou, answers.three))


def _by_box(ask: Ask, answers: Answers, mask: Mask, rng: np.random.Generator) -> None:
    box = box_of(mask)
    prediction = ask(Prompts(box=box), None)
    found = _mask(prediction, mask)
    answers.box = iou(found, mask)
    answers.said.append((prediction.predicted_iou, answers.box))
    click = beside(mask, rng)
    if click is not None:
        again = _mask(ask(Prompts((click,), box), prediction), mask)
        answers.obey("in_box", _holds(again, click))
        answers.out_before.append(_holds(found, click))


def _holds(found: Mask, click: Point) -> bool:
    """Whether a mask has the clicked pixel in it, or out of it, as the click says."""
    return bool(found[int(click.y), int(click.x)]) == click.positive


def _oracle(model: SegmentationModel, embedding: ImageEmbedding, mask: Mask, click: Point) -> float:
    """IoU of the best of the three masks that a click gives."""
    points = model.sparse_prompts(Prompts((click,)), embedding.image_size)
    logits, _ = model.decode(embedding, points, None, multimask=True)
    return max(iou(_mask(Prediction(one[None], 0.0), mask), mask) for one in logits[0])
