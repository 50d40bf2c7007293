"""Enlarged in windows and strips, a mask is what upstream's whole image would be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_serving.model import enlarging
from sam2_serving.model.enlarging import Enlarger, enlarge_mask

SIZES = [(240, 320), (333, 1001), (64, 64), (40, 50), (1, 700), (1500, 90)]


def logits_of(seed: int, side: int = 64) -> np.ndarray:
    """A blob or two somewhere, smooth, within about +-8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    total = np.full((side, side), -6.0)
    for _ in range(rng.integers(1, 3)):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.05, 0.4)
        total = np.maximum(total, 8 - 8 * ((x - cx) ** 2 + (y - cy) ** 2) / r**2)
    return np.clip(total + rng.normal(0, 0.5, total.shape), -8, 8).astype(np.float32)


def whole(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    tensor = torch.from_numpy(logits)[None, None]
    enlarged = torch.nn.functional.interpolate(tensor, size, mode="bilinear", align_corners=False)
    return enlarged[0, 0].numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0.0, 1.0, 3.0])
def test_the_mask_and_its_stability_are_those_of_the_whole_image(size, offset):
    for seed in range(6):
        logits = logits_of(seed)
        values = whole(logits, size)
        found = Enlarger(64, size, offset).mask(logits)
        if not (values > 0).any():
            assert found is None
            continue
        x0, y0, x1, y1 = (int(side) for side in found.box)
        mask = np.zeros(size, bool)
        mask[y0:y1, x0:x1] = found.pixels
        # a value that is zero but for rounding may fall on either side
        assert (mask != (values > 0)).sum() <= np.isclose(values, 0, atol=1e-5).sum()
        np.testing.assert_array_equal(enlarge_mask(logits, size), mask)
        stability = (values > offset).sum() / (values > -offset).sum()
        assert found.stability == pytest.approx(stability, abs=1e-3)


def test_the_box_is_tight_and_pixels_outside_it_are_not_in_the_mask():
    logits = np.full((64, 64), -5, np.float32)
    logits[10:20, 30:50] = 5
    found = Enlarger(64, (640, 640), 1.0).mask(logits)
    assert found.pixels.any(axis=0).all()
    assert found.pixels.any(axis=1).all()
    assert (whole(logits, (640, 640)) > 0).sum() == found.pixels.sum()


def test_an_empty_or_unstable_mask_is_none():
    logits = np.full((64, 64), -0.5, np.float32)
    assert Enlarger(64, (99, 99), 1.0).mask(logits) is None
    logits[5:9, 5:9] = 0.5
    enlarger = Enlarger(64, (99, 99), 1.0)
    assert enlarger.mask(logits) is not None
    assert enlarger.mask(logits, min_stability=0.5) is None


def test_strips_do_not_change_the_mask(monkeypatch):
    logits = logits_of(1)
    one = Enlarger(64, (480, 640), 1.0).mask(logits)
    monkeypatch.setattr(enlarging, "STRIP_PIXELS", 999)
    other = Enlarger(64, (480, 640), 1.0).mask(logits)
    assert one.box == other.box
    assert one.stability == other.stability
    np.testing.assert_array_equal(one.pixels, other.pixels)
