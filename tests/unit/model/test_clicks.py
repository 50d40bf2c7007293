"""Clicks on several images that are decoded together: what each gets is its own affair."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_serving.masks import Box
from sam2_serving.model import Point, Prediction, Prompts, SegmentationModel, load_model, segment
from sam2_serving.model.clicks import Click, Passes, segment_clicks
from sam2_serving.model.devices import clicks_at_once_on
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

AT_ONCE = 4
SIZES = [(96, 80), (200, 160), (64, 64)]


def nano(clicks_at_once: int | None = None) -> SegmentationModel:
    """Nano as on a GPU: without lean parts."""
    network = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32").network
    device = torch.device("cpu")
    model = SegmentationModel(network, "nano.yaml", device, clicks_at_once=clicks_at_once)
    model.lean = None
    return model


@pytest.fixture(scope="module")
def model() -> SegmentationModel:
    return nano(AT_ONCE)


@pytest.fixture(scope="module")
def clicks(model) -> list[Click]:
    """Of all forms, each on three images, so that batches are full and less than full."""
    embeddings = [
        model.embed(draw_scene(seed, size=size).image) for seed, size in enumerate(SIZES, 1)
    ]
    found = []
    for embedding, (width, height) in zip(embeddings, SIZES, strict=True):
        inside, beside = Point(width // 2, height // 2), Point(9, 11, positive=False)
        box = Box(5, 6, width - 9, height - 7)
        mask = np.zeros((height, width), bool)
        mask[10:40, 12:50] = True
        found += [
            Click(embedding, Prompts((inside,))),
            Click(embedding, Prompts((Point(20, 30),))),
            Click(embedding, Prompts((inside, beside))),
            Click(embedding, Prompts((inside, beside)), "single"),
            Click(embedding, Prompts((inside, beside), box)),
            Click(embedding, Prompts((beside,), box, mask)),
            Click(embedding, Prompts(mask=mask)),
        ]
    return found


def same(one: Prediction, other: Prediction) -> bool:
    return torch.equal(one.logits, other.logits) and one.predicted_iou == other.predicted_iou


def test_who_else_clicked_and_where_in_the_batch_does_not_matter(model, clicks):
    together = segment_clicks(model, clicks)
    backward = segment_clicks(model, clicks[::-1])[::-1]
    for click, one, other in zip(clicks, together, backward, strict=True):
        (alone,) = segment_clicks(model, [click])
        for passes in (other, alone):
            assert same(one.answer, passes.answer)
            assert same(one.first, passes.first)


def test_each_gets_what_it_would_get_one_by_one(model, clicks):
    one_by_one = nano()
    for click, passes in zip(clicks, segment_clicks(model, clicks), strict=True):
        alone = segment(one_by_one, click.embedding, click.prompts, click.refine)
        scale = 1 + float(alone.logits.abs().max())
        assert float((passes.answer.logits - alone.logits).abs().max()) <= 1e-4 * scale
        assert passes.answer.predicted_iou == pytest.approx(alone.predicted_iou, abs=1e-4)
        assert passes.answer.logits.untyped_storage().nbytes() == passes.answer.logits.nbytes


def test_a_first_pass_that_is_known_is_not_made_again(model, clicks, monkeypatch):
    click = clicks[2]
    (new,) = segment_clicks(model, [click])
    batches = []
    decode = model.decode

    def noted(embedding, points, *rest):
        batches.append(points[0].shape[0])
        return decode(embedding, points, *rest)

    monkeypatch.setattr(model, "decode", noted)
    assert segment_clicks(model, [click])[0].answer.predicted_iou == new.answer.predicted_iou
    assert batches == [AT_ONCE, AT_ONCE]
    batches.clear()
    known = Click(click.embedding, click.prompts, click.refine, new.first)
    (again,) = segment_clicks(model, [known])
    assert batches == [AT_ONCE]
    assert same(again.answer, new.answer)
    assert isinstance(again, Passes)


def test_nothing_and_nonsense(model, clicks):
    assert segment_clicks(model, []) == []
    with pytest.raises(ValueError, match="nothing to segment"):
        segment_clicks(model, [clicks[0], Click(clicks[0].embedding, Prompts())])
    wrong = Prompts(mask=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="mask is"):
        segment_clicks(model, [clicks[0], Click(clicks[0].embedding, wrong)])


def test_the_size_of_a_batch_is_a_part_of_the_numeric_path(model):
    assert clicks_at_once_on(torch.device("cpu")) == nano().clicks_at_once == 1
    assert model.numeric_path == nano().numeric_path.replace("eager", "eager_clicks4")
