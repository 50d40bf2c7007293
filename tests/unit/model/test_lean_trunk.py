"""The backbone's blocks on windows give what they give on maps."""

from __future__ import annotations

import pytest
import torch
from sam2.modeling.backbones.hieradet import Hiera

from sam2_serving.model import lean_trunk
from sam2_serving.model.encoding import walk
from sam2_serving.model.lean_trunk import walk_windows
from sam2_serving.model.parts import finish


@pytest.mark.parametrize("side", [64, 96], ids=["windows fit", "windows need padding"])
@pytest.mark.parametrize("at_once", [1, 2**10, 2**21])
@torch.inference_mode()
def test_the_same_to_the_last_bit(monkeypatch, side, at_once):
    monkeypatch.setattr(lean_trunk, "NUMBERS_AT_ONCE", at_once)
    torch.manual_seed(3)
    # windows that change within a stage, that shrink with their stage, and a look at everything
    trunk = Hiera(
        embed_dim=8,
        stages=(2, 3, 3, 2),
        global_att_blocks=(6,),
        window_spec=(8, 4, 8, 4),
        window_pos_embed_bkg_spatial_size=(4, 4),
    ).eval()
    cells = torch.randn(1, side, side, 8)

    theirs, ours = finish(walk(trunk, cells)), finish(walk_windows(trunk, cells))

    assert [one.shape for one in ours] == [one.shape for one in theirs]
    # how many windows a block is given may change the order of a sum
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
    if at_once > 2**20:
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert len({float(one.std()) for one in ours}) == 4
