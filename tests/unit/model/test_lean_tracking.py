"""The tracker's lean heads and memory encoder give what upstream's modules give."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from sam2_serving.model import load_model
from sam2_serving.model.lean_memory_encoder import LeanMemoryEncoder
from sam2_serving.pretrained import REPOSITORY

OBJECTS = 3


@pytest.fixture(scope="module")
def model():
    return load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")


def of_a_frame(seed: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(1, 16, 64, 64), torch.randn(1, 32, 32, 32), torch.randn(256, 1, 128)


def test_the_best_mask_is_upstreams(model):
    fine, middle, _ = of_a_frame()
    features = torch.randn(OBJECTS, 128, 16, 16)
    with torch.inference_mode():
        heads = model.lean.heads.find(features, model.lean.decoder.fine_maps(fine, middle))
        _, _, ious, low, high, pointers, scores = model.network._forward_sam_heads(
            features,
            high_res_features=[part.expand(OBJECTS, -1, -1, -1) for part in (fine, middle)],
            multimask_output=True,
        )
    ours = heads.ious, heads.low, heads.high, heads.pointers, heads.scores
    for mine, theirs in zip(ours, (ious, low, high, pointers, scores), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("there", [True, False])
def test_an_object_that_is_gone_has_no_mask_and_its_own_pointer(model, there):
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        bias = network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
        bias.fill_(100.0 if there else -100.0)
    fine, middle, _ = of_a_frame()
    lean = type(model)(network, "nano.yaml", torch.device("cpu")).lean
    with torch.inference_mode():
        heads = lean.heads.find(torch.randn(1, 128, 16, 16), lean.decoder.fine_maps(fine, middle))
    assert bool((heads.low == -1024).all()) is not there
    assert torch.equal(heads.pointers, network.no_obj_ptr.expand_as(heads.pointers)) is not there


@pytest.mark.parametrize("from_prompts", [True, False])
def test_memories_are_upstreams(model, from_prompts):
    network = model.network
    _, _, features = of_a_frame()
    masks = F.interpolate(8 * torch.randn(OBJECTS, 1, 16, 16), (256, 256), mode="bilinear")
    scores = torch.tensor([[-1.0], [0.0], [2.0]])
    lean = LeanMemoryEncoder(network)
    assert lean.suits(network)
    with torch.inference_mode():
        theirs, _ = network._encode_new_memory(
            [features.expand(-1, OBJECTS, -1)], [(16, 16)], masks, scores, from_prompts
        )
        ours = lean.encode(features, masks, scores, from_prompts)
        other = lean.encode(features, masks, scores, not from_prompts)
    theirs = theirs.flatten(2).transpose(1, 2)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert (other - theirs).abs().max() > 1e-2, "who made the mask would not be seen"
