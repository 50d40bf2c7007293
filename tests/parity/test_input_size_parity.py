"""A model that is given smaller images is what Meta's package builds for images of that size."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import tiny_with_random_weights
from peer import Peer, moved
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.build_sam import build_sam2
from skimage import data
from test_automatic_parity import LOOSE, difference
from test_image_parity import KINDS, LOGIT_TOLERANCE, clamped, prompts_of
from video_peer import check_same, drawn_clip, frames_from, prompts_for, track

from sam2_serving.model import SegmentationModel, build_network, find_all, load_model, segment
from sam2_serving.model.network import feature_sizes
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

NANO = REPOSITORY / "checkpoints/nano/nano.pt"
TINY = "configs/sam2.1/sam2.1_hiera_t.yaml"
CPU = torch.device("cpu")


def smaller_nano(side: int) -> tuple[SegmentationModel, SegmentationModel]:
    """Ours, and a network that was built for that size, with the same weights."""
    ours = load_model(NANO, "cpu", "float32", input_size=side)
    network = build_network("nano.yaml", image_size=side)
    network.load_state_dict(torch.load(NANO, weights_only=True)["model"])
    return ours, SegmentationModel(network, "nano.yaml", CPU)


def smaller_tiny(side: int, folder: Path) -> tuple[SegmentationModel, SegmentationModel]:
    """The same for a tiny whose prompts matter, built by Meta's own builder."""
    state, file = tiny_with_random_weights().network.state_dict(), folder / "tiny.pt"
    torch.save(state, file)
    ours = load_model(file, "cpu", "float32", input_size=side)
    network = build_sam2(TINY, device="cpu", hydra_overrides_extra=[f"++model.image_size={side}"])
    network.load_state_dict(state)
    return ours, SegmentationModel(network, ours.config_name, CPU)


@pytest.fixture(
    scope="module",
    params=["nano 128", "nano 192", pytest.param("tiny 512", marks=pytest.mark.long)],
)
def both(request, tmp_path_factory):
    name, side = request.param.split()
    if name == "nano":
        return smaller_nano(int(side))
    return smaller_tiny(int(side), tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("kind", KINDS)
def test_same_logits_as_upstream(both, kind):
    ours, upstream = both
    image = data.coffee()
    embedding, peer = ours.embed(image), Peer(upstream, image)
    rng, seen = np.random.default_rng(KINDS.index(kind)), 0
    for _ in range(3):
        prompts = prompts_of(kind, rng, *image.shape[:2])
        found = segment(ours, embedding, prompts)
        _, logits = peer.segment(prompts, "two_pass")
        assert found.logits.shape[-1] == ours.input_size // 4
        assert np.abs(clamped(found) - logits).max() <= LOGIT_TOLERANCE
        elsewhere = segment(ours, embedding, moved(prompts, 8, 8))
        seen += np.abs(clamped(elsewhere) - logits).max() > LOGIT_TOLERANCE
    assert seen, "the comparison would not see a wrong prompt"


def test_tracks_as_upstream():
    model, _ = smaller_nano(192)
    clip = replace(drawn_clip(5), _encoded={}, _peers={})  # what is kept there is of another size
    asked = {0: {0: prompts_for("mask", clip.masks[0, 0])}}
    theirs = clip.peer(model).track(asked, 0, 4)
    check_same(track(model, clip, asked, frames_from(0, 4)), theirs)


def test_finds_as_upstream():
    ours, upstream = smaller_nano(192)
    image, settings = draw_scene(3, size=(240, 180)).image, replace(LOOSE, points_per_side=8)
    generator = SAM2AutomaticMaskGenerator(upstream.network, **asdict(settings))
    generator.predictor._bb_feat_sizes = feature_sizes(upstream.network)
    records = generator.generate(image)
    assert records
    assert difference(list(find_all(ours, image, settings)), records) == ""
