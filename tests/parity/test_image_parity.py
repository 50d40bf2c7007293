"""Our masks are Meta's masks: same weights, same pixels, same calls (float32)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import loud_nano, nano, tiny_with_random_weights
from peer import Peer, clamped, exact_logits, iou, moved, same
from skimage import data

from sam2_serving.masks import Box
from sam2_serving.model import (
    Point,
    Prompts,
    segment,
)
from sam2_serving.scenes import draw_scene

KINDS = ("point", "points", "box", "box and points", "mask", "mask and points")
LOGIT_TOLERANCE = 1e-3


def photographs() -> list[np.ndarray]:
    return [data.coffee(), data.chelsea(), data.rocket()]


def pictures() -> list[np.ndarray]:
    return [*photographs(), *(draw_scene(seed, size=(320, 240)).image for seed in (1, 2))]


def prompts_of(kind: str, rng: np.random.Generator, height: int, width: int) -> Prompts:
    """Return prompts of a kind at random places, on whole pixels as a person's clicks are."""

    def point(positive: bool = True) -> Point:
        return Point(int(rng.integers(4, width - 4)), int(rng.integers(4, height - 4)), positive)

    a, b = point(), point()
    box = Box.from_inclusive(a.x, a.y, b.x + 3, b.y + 3)
    mask = np.zeros((height, width), bool)
    mask[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = True
    several = (point(), point(False), point())
    return {
        "point": Prompts(points=(point(),)),
        "points": Prompts(points=several),
        "box": Prompts(box=box),
        "box and points": Prompts(points=several[: int(rng.integers(1, 4))], box=box),
        "mask": Prompts(mask=mask),
        "mask and points": Prompts(points=several[:2], mask=mask),
    }[kind]


MODELS = {
    "nano": (nano, pictures),
    "loud nano": (loud_nano, lambda: pictures()[-2:]),
    "tiny": (lambda: tiny_with_random_weights(512), lambda: [data.coffee()]),
    "tiny, full size": (tiny_with_random_weights, lambda: [data.coffee()]),
}
"""Networks and their pictures. A network of 1024 pixels takes its time: 512 are checked daily."""


@pytest.fixture(
    scope="module",
    params=["nano", "loud nano", "tiny", pytest.param("tiny, full size", marks=pytest.mark.long)],
)
def case(request):
    """(model, [(embedding, peer, image)]) with every picture embedded by both sides."""
    network, images = MODELS[request.param]
    model = network()
    return model, [(model.embed(image), Peer(model, image), image) for image in images()]


def check_same_masks(case, kind, refine, count, seed):
    model, embedded = case
    rng = np.random.default_rng(seed)
    for number in range(count):
        embedding, peer, image = embedded[number % len(embedded)]
        prompts = prompts_of(kind, rng, *image.shape[:2])
        ours = segment(model, embedding, prompts, refine)
        mask, logits = peer.segment(prompts, refine)
        assert same(model.to_mask(ours, embedding.image_size), mask), prompts
        difference = np.abs(clamped(ours) - logits).max()
        if difference > LOGIT_TOLERANCE and refine == "two_pass":
            # a loud first pass, fed back, grows rounding: then ours must be the better rounded one
            exact = exact_logits(model, embedding, prompts)
            assert np.abs(clamped(ours) - exact).max() < np.abs(logits - exact).max()
        else:
            assert difference <= LOGIT_TOLERANCE


def few(case) -> int:
    """How many prompts of a kind an everyday run tries: a tiny takes its time."""
    return 10 if case[0].config_name == "nano.yaml" else 3


@pytest.mark.parametrize("refine", ["single", "two_pass"])
@pytest.mark.parametrize("kind", KINDS)
def test_same_masks_as_upstream(case, kind, refine):
    check_same_masks(case, kind, refine, count=few(case), seed=KINDS.index(kind))


@pytest.mark.long
@pytest.mark.parametrize("refine", ["single", "two_pass"])
@pytest.mark.parametrize("kind", KINDS)
def test_same_masks_as_upstream_for_many_prompts(case, kind, refine):
    check_same_masks(case, kind, refine, count=100, seed=100 + KINDS.index(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_comparison_sees_prompts_that_are_off_by_one_pixel(case, kind):
    """What the test above must be able to find: here it must fail."""
    model, embedded = case
    rng = np.random.default_rng(KINDS.index(kind))
    by_mask = by_logits = 0
    count = few(case)
    for number in range(count):
        embedding, peer, image = embedded[number % len(embedded)]
        prompts = prompts_of(kind, rng, *image.shape[:2])
        ours = segment(model, embedding, moved(prompts))
        mask, logits = peer.segment(prompts, "two_pass")
        by_mask += iou(model.to_mask(ours, embedding.image_size), mask) < 0.999
        by_logits += np.abs(clamped(ours) - logits).max() > LOGIT_TOLERANCE
    assert by_logits >= 0.9 * count, f"logits of {by_logits} of {count} moved prompts differ"
    # a trained network rightly hardly cares about one pixel; the loud random one must
    assert by_mask >= 0.9 * count or model.config_name == "nano.yaml"


def test_the_two_refine_settings_differ(case):
    """Else the two-pass rows above would prove nothing."""
    model, embedded = case
    embedding, _, image = embedded[0]
    prompts = prompts_of("box and points", np.random.default_rng(3), *image.shape[:2])
    prompts = replace(prompts, points=(*prompts.points, Point(10, 10, positive=False)))
    one = segment(model, embedding, prompts, "single")
    two = segment(model, embedding, prompts, "two_pass")
    assert np.abs((one.logits - two.logits).numpy()).max() > LOGIT_TOLERANCE


def test_loud_logits_are_loud(case):
    """Else the comparison of masks beyond +-32 would prove nothing."""
    model, embedded = case
    embedding, _, image = embedded[0]
    prompts = prompts_of("box", np.random.default_rng(3), *image.shape[:2])
    loudest = segment(model, embedding, prompts).logits.abs().max()
    assert loudest > 32 or model.fingerprint != loud_nano().fingerprint


def test_embeddings_are_upstreams(case):
    _, embedded = case
    for embedding, peer, _ in embedded:
        features = peer.predictor._features
        torch.testing.assert_close(embedding.features, features["image_embed"], atol=1e-5, rtol=0)
        for ours, theirs in zip(embedding.high_res, features["high_res_feats"], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
