"""What the lean decoder leaves out or takes apart does not change what is left."""

from __future__ import annotations

import pytest
import torch

from sam2_serving.model import SegmentationModel, lean_decoder, load_model
from sam2_serving.model.lean_decoder import ImageSide, LeanDecoder
from sam2_serving.pretrained import REPOSITORY

PROMPTS = 5


@pytest.fixture(scope="module")
def decoder() -> LeanDecoder:
    model: SegmentationModel = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu")
    assert model.lean is not None
    return model.lean.decoder


@pytest.fixture(scope="module")
def side(decoder: LeanDecoder) -> ImageSide:
    chance = torch.Generator().manual_seed(5)
    maps = [
        torch.randn(1, 128 // share, 16 * size, 16 * size, generator=chance)
        for share, size in ((1, 1), (8, 4), (4, 2))
    ]
    with torch.inference_mode():
        return decoder.image_side(*maps)


@pytest.fixture(scope="module")
def sparse() -> torch.Tensor:
    return torch.randn(PROMPTS, 2, 128, generator=torch.Generator().manual_seed(6))


@torch.inference_mode()
def test_outputs_are_the_same_when_fewer_are_asked_for(decoder, side, sparse):
    every = decoder.transform(side.cells, side.first, sparse)
    some = decoder.transform(side.cells, side.first, sparse, decoder.outputs_of_many)
    assert torch.equal(some.cells, every.cells)
    iou = every.out[:, -decoder.num_mask_tokens - 1]
    masks = every.out[:, 1 - decoder.num_mask_tokens :]
    torch.testing.assert_close(some.out[:, 0], iou, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(some.out[:, 1:], masks, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_masks_are_the_same_when_they_are_drawn_in_steps(decoder, side, sparse, monkeypatch):
    found = decoder.transform(side.cells, side.first, sparse)
    tokens = found.out[:, 1 - decoder.num_mask_tokens :]
    together = decoder.masks(found.cells, tokens, side.maps, first=1)
    monkeypatch.setattr(lean_decoder, "NUMBERS_AT_ONCE", 2 * found.cells[0].numel())
    in_steps = decoder.masks(found.cells, tokens, side.maps, first=1)
    assert together.shape == (PROMPTS, 3, 64, 64)
    torch.testing.assert_close(in_steps, together, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_cell_is_drawn_where_it_lies(decoder, side, sparse):
    """The 4 x 4 logits of a cell follow that cell's numbers, and no other's."""
    found = decoder.transform(side.cells, side.first, sparse[:1])
    tokens = found.out[:, 1 - decoder.num_mask_tokens :]
    before = decoder.masks(found.cells, tokens, side.maps, first=1)
    row, column = 3, 11
    moved = found.cells.clone()
    moved[:, row * 16 + column] += 1
    moved[:, row * 16 + column, ::2] -= 3
    changed = (decoder.masks(moved, tokens, side.maps, first=1) != before).any(dim=1)[0]
    expected = torch.zeros(64, 64, dtype=torch.bool)
    expected[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = True
    assert torch.equal(changed, expected)
