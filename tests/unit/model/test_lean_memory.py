"""Lean memory attention gives what upstream's gives."""

from __future__ import annotations

import pytest
import torch

from sam2_serving.model import lean_memory, load_model
from sam2_serving.model.lean_memory import LeanMemoryAttention
from sam2_serving.pretrained import REPOSITORY


@pytest.fixture(scope="module")
def network():
    return load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32").network


@pytest.mark.parametrize("times_alike", [True, False])
def test_same_features_as_upstream(network, monkeypatch, times_alike):
    monkeypatch.setattr(lean_memory, "QUERIES_AT_ONCE", 100)
    torch.manual_seed(3)
    batch, pointers = 3, 4
    length = 3 * 256 + pointers
    cells, position = 0.1 * torch.randn(2, 256, 1, 128)
    memory = 0.1 * torch.randn(length, batch, 64)
    places = 0.1 * torch.randn(length, 1 if times_alike else batch, 64)
    lean = LeanMemoryAttention(network)
    assert lean.suits(network)
    with torch.inference_mode():
        ours = lean.attend(lean.start(cells, position), position, memory, places, pointers)
        theirs = network.memory_attention(
            curr=[cells.expand(-1, batch, -1)],
            curr_pos=[position.expand(-1, batch, -1)],
            memory=memory,
            memory_pos=places,
            num_obj_ptr_tokens=pointers,
        )
        other = lean.attend(lean.start(cells, position), position, memory, places, pointers + 256)
    # features are up to 115; float64 is 3e-4 away from upstream, too
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)
    assert (other - theirs).abs().max() > 1e-2, "a wrong number of pointers would not be seen"
