"""Prompts that are decoded together give the masks that Meta's predictor gives one by one."""

from __future__ import annotations

import numpy as np
import pytest
from networks import nano
from peer import Peer, clamped, iou, moved

from sam2_serving.masks import tight_box
from sam2_serving.model import Box, Point, Prompts, segment_many
from sam2_serving.scenes import draw_scene


@pytest.fixture(scope="module")
def model():
    return nano()


@pytest.fixture(scope="module")
def scene():
    return draw_scene(7, size=(320, 240))


def prompts_of(scene) -> list[Prompts]:
    """Boxes, clicks, both, and masks, mixed."""
    prompts = []
    for number, mask in enumerate(scene.masks):
        if not mask.any():
            continue
        box = Box(*tight_box(mask))
        ys, xs = np.nonzero(mask)
        inside = Point(int(xs[len(xs) // 2]), int(ys[len(ys) // 2]))
        beside = Point(int(box.x0), int(box.y0), False)
        prompts += [
            Prompts(box=box),
            Prompts((inside,)),
            Prompts((inside, beside)),
            Prompts((inside, beside), box),
        ]
        if number % 2:
            prompts.append(Prompts((inside,), box, np.roll(mask, 3, 1)))
    return prompts


@pytest.mark.parametrize("refine", ["two_pass", "single"])
def test_same_masks_as_one_by_one(model, scene, refine):
    prompts = prompts_of(scene)
    assert len(prompts) > 12
    embedding, peer = model.embed(scene.image), Peer(model, scene.image)
    answers = segment_many(model, embedding, prompts, refine)
    seen = 0
    for one, answer in zip(prompts, answers, strict=True):
        mask, logits = peer.segment(one, refine)
        assert np.abs(clamped(answer) - logits).max() <= 1e-3
        assert iou(model.to_mask(answer, embedding.image_size), mask) >= 0.999
        wrong = segment_many(model, embedding, [moved(one)], refine)[0]
        seen += bool(np.abs(clamped(wrong) - logits).max() > 1e-3)
    assert seen >= 0.9 * len(prompts), "prompts that are off by a pixel are not seen"


def test_the_order_and_the_others_do_not_matter(model, scene):
    prompts = prompts_of(scene)
    embedding = model.embed(scene.image)
    together = segment_many(model, embedding, prompts)
    backward = segment_many(model, embedding, prompts[::-1])[::-1]
    for one, other, prompt in zip(together, backward, prompts, strict=True):
        alone = segment_many(model, embedding, [prompt])[0]
        assert np.array_equal(one.logits, other.logits)
        assert np.array_equal(one.logits, alone.logits)


def test_nothing_and_nonsense(model, scene):
    embedding = model.embed(scene.image)
    assert segment_many(model, embedding, []) == []
    with pytest.raises(ValueError, match="nothing to segment"):
        segment_many(model, embedding, [Prompts(box=Box(1, 1, 9, 9)), Prompts()])
