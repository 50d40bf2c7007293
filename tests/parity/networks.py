"""Networks whose answers show a wrong prompt: nano, and others that are made louder."""

from __future__ import annotations

from functools import cache

import torch

from sam2_serving.model import SegmentationModel, build_network, load_model
from sam2_serving.pretrained import REPOSITORY

TINY = "sam2.1_hiera_t.yaml"


@cache
def nano() -> SegmentationModel:
    return load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")


@cache
def loud_nano() -> SegmentationModel:
    """Nano with logits far beyond +-32: masks must be cut from them before they are clamped."""
    network = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32").network
    with torch.no_grad():
        for head in network.sam_mask_decoder.output_hypernetworks_mlps:
            head.layers[-1].weight.mul_(8)
            head.layers[-1].bias.mul_(8)
    return SegmentationModel(network, "nano.yaml", torch.device("cpu"))


@cache
def pointed_nano() -> SegmentationModel:
    """Nano whose object pointers count: of the shipped ones the tracker hardly takes notice."""
    network = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32").network
    with torch.no_grad():
        for parameter in network.obj_ptr_proj.layers[-1].parameters():
            parameter.mul_(60)
        # such pointers may confuse the tracker, but objects must stay: else no mask could differ
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.add_(100)
    return SegmentationModel(network, "nano.yaml", torch.device("cpu"))


@cache
def tiny_with_random_weights(image_size: int = 1024) -> SegmentationModel:
    """A tiny whose prompts matter.

    As initialised, its answers hardly depend on what is asked: the prompts' embeddings are made
    louder, so that a wrong coordinate shows.
    """
    torch.manual_seed(7)
    network = build_network(TINY, image_size=image_size)
    with torch.no_grad():
        network.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.mul_(3)
        for layer in network.sam_mask_decoder.output_hypernetworks_mlps:
            layer.layers[-1].weight.mul_(8)
        network.sam_mask_decoder.output_upscaling[-2].weight.mul_(4)
    return SegmentationModel(network, TINY, torch.device("cpu"))
