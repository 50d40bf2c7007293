"""Builds nano and starts its weights where learning is quick.

With sam2's default initialisation a model this small stays blind to its prompts: constants with a
standard deviation of 1 drown image features of 0.1, and nothing ties a click to a place. So:

- positions are encoded with chosen frequencies instead of random ones (a buffer, kept in the file);
- constants that stand for "nothing" start small;
- cross-attention starts as a positional matcher: what a token looks at is where its click is;
- features are scaled to known standard deviations on a batch of images, the fine ones low: what the
  prompt says must not drown in edges on its way through the mask decoder's upscaling;
- memory attention starts by looking at the same place of the remembered frame (when its stage
  begins: see `prepare_memory`).
"""

from __future__ import annotations

import math
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

CONFIG = "nano.yaml"
IMAGE_SIZE = 256
_MATCH_GAIN = 2.0
_CONSTANT_SCALE = 0.1
_FINE_SPREAD = 0.2
_UPSCALING_GAIN = 2.0
_MASK_GAIN = 3.0
_SAME_PLACE = 3.0
_MEMORY_GAIN = 8.0
_MASK_PROMPT_GAIN = 4.0


def build(config: Path | None = None) -> Any:
    """The network of a config, made of sam2's own classes, on the CPU.

    Args:
        config: a YAML file; the packaged `nano.yaml` if None.
    """
    import hydra
    from omegaconf import OmegaConf

    # Not files("sam2_serving.model"): that would import what the recipe does not need.
    path = config or files("sam2_serving") / "model" / "configs" / CONFIG
    return hydra.utils.instantiate(OmegaConf.create(path.read_text()).model, _recursive_=True)


def adopt(model: Any, weights: dict[str, Tensor]) -> None:
    """Begin with the weights of a network that may have fewer blocks in the encoder's stages.

    A block that the weights lack starts as one that changes nothing, so that the deeper network
    begins with the answers of the shallower one.

    Args:
        model: a network from `build`.
        weights: state dict; all widths must be those of the model.

    Raises:
        RuntimeError: a width differs, or the weights have more blocks than the model.
    """
    trunk = model.image_encoder.trunk
    prefix = "image_encoder.trunk.blocks."
    numbers = {int(k.removeprefix(prefix).split(".")[0]) for k in weights if k.startswith(prefix)}
    # A stage begins with the block that changes the width; only such blocks have a projection.
    starts = [0, *(n for n in sorted(numbers) if f"{prefix}{n}.proj.weight" in weights)]
    ends = [*starts[1:], len(numbers)]
    firsts = [0, *(end + 1 for end in trunk.stage_ends[:-1])]
    room = [
        stop - first for first, stop in zip(firsts, [*firsts[1:], len(trunk.blocks)], strict=True)
    ]
    needed = [end - start for start, end in zip(starts, ends, strict=True)]
    if len(needed) != len(room) or any(n > r for n, r in zip(needed, room, strict=True)):
        raise RuntimeError(f"the weights have {needed} blocks in their stages, the network {room}")
    place = {
        old: first + old - start
        for start, end, first in zip(starts, ends, firsts, strict=True)
        for old in range(start, end)
    }
    moved = {
        re.sub(rf"^{re.escape(prefix)}(\d+)\.", lambda m: f"{prefix}{place[int(m[1])]}.", key): v
        for key, v in weights.items()
    }
    with torch.no_grad():
        for number in set(range(len(trunk.blocks))) - set(place.values()):
            block = trunk.blocks[number]
            for layer in (block.attn.proj, block.mlp.layers[-1]):
                layer.weight.zero_()
                layer.bias.zero_()
    missing, unexpected = model.load_state_dict(moved, strict=False)
    new = [k for k in missing if not k.startswith(prefix)]
    if new or unexpected:
        raise RuntimeError(f"the weights lack {new} and have {unexpected}, which fit nothing here")


def initialise(model: Any, images: Tensor) -> None:
    """Give a new network the start described above.

    Args:
        model: a network from `build`.
        images: normalised images B x 3 x 256 x 256 to measure features on.
    """
    with torch.no_grad():
        _position_frequencies(model)
        _quiet_constants(model)
        _match_positions(model)
        _standardise(model, images)


def _position_frequencies(model: Any) -> None:
    """Frequencies from a quarter to 2.5 periods over half the image, in all directions."""
    matrix = model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    count = matrix.shape[1]
    index = torch.arange(count, dtype=torch.float32)
    size = 0.22 * (2.5 / 0.22) ** ((index * 0.618034) % 1.0)
    angle = index * (math.pi / 2.0) + (index // 2) * (math.pi * 0.618034 / 2.0)
    matrix.copy_(torch.stack([size * torch.cos(angle), size * torch.sin(angle)]))


def _quiet_constants(model: Any) -> None:
    encoder, decoder = model.sam_prompt_encoder, model.sam_mask_decoder
    tables = [encoder.no_mask_embed, encoder.not_a_point_embed, *encoder.point_embeddings]
    for table in tables:
        table.weight.mul_(_CONSTANT_SCALE * 2.0)
    for table in (decoder.mask_tokens, decoder.iou_token, decoder.obj_score_token):
        table.weight.mul_(0.3)
    model.no_mem_embed.mul_(_CONSTANT_SCALE)
    encoder.mask_downscaling[-1].weight.mul_(_MASK_PROMPT_GAIN)
    encoder.mask_downscaling[-1].bias.zero_()
    # The object score is a threshold for tracked masks: start by calling objects present.
    decoder.pred_obj_score_head.layers[-1].bias.fill_(2.0)


def _match_positions(model: Any) -> None:
    transformer = model.sam_mask_decoder.transformer
    for number, layer in enumerate(transformer.layers):
        _match(layer.cross_attn_token_to_image, number)
        _match(layer.cross_attn_image_to_token, number)
        layer.norm1.weight.fill_(0.5)
        layer.norm4.weight.fill_(0.5)
    _match(transformer.final_attn_token_to_image, len(transformer.layers))


def _match(attention: Any, turn: int) -> None:
    """Equal query and key projections that pick sine-cosine pairs of the position encoding."""
    width = attention.embedding_dim
    pairs = attention.internal_dim // 2
    weight = torch.zeros_like(attention.q_proj.weight)
    chosen = (torch.arange(pairs) * 2 + turn) % (width // 2)
    rows = torch.arange(pairs) * 2
    weight[rows, chosen] = _MATCH_GAIN
    weight[rows + 1, chosen + width // 2] = _MATCH_GAIN
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight.copy_(weight + 0.02 * torch.randn_like(weight))
        projection.bias.zero_()


def _scale_to_unit(layer: nn.Conv2d, output: Tensor, spread: float) -> None:
    mean, std = output.mean(dim=(0, 2, 3)), output.std(dim=(0, 2, 3)).clamp_min(1e-4)
    layer.weight.mul_((spread / std)[:, None, None, None])
    if layer.bias is not None:
        layer.bias.sub_(mean).mul_(spread / std)


def _standardise(model: Any, images: Tensor) -> None:
    neck, decoder = model.image_encoder.neck, model.sam_mask_decoder
    levels = model.image_encoder.trunk(images)
    for conv, level in zip(neck.convs, reversed(levels), strict=True):
        _scale_to_unit(conv.conv, conv(level), 1.0 / math.sqrt(2.0))
    features, _ = neck(levels)
    _scale_to_unit(decoder.conv_s0, decoder.conv_s0(features[0]), _FINE_SPREAD)
    _scale_to_unit(decoder.conv_s1, decoder.conv_s1(features[1]), _FINE_SPREAD)
    for layer in (decoder.output_upscaling[0], decoder.output_upscaling[3]):
        layer.weight.mul_(_UPSCALING_GAIN)
    for mlp in decoder.output_hypernetworks_mlps:
        mlp.layers[-1].weight.mul_(_MASK_GAIN)


def _remember_in_place(model: Any) -> None:
    """Rotary attention whose queries and keys are one constant peaks at equal positions."""
    for layer in model.memory_attention.layers:
        for attention in (layer.self_attn, layer.cross_attn_image):
            half = attention.internal_dim // 2
            constant = torch.zeros(attention.internal_dim)
            fast = half // 4  # the fastest rotations of each axis, as (even, odd) pairs
            constant[:fast] = _SAME_PLACE
            constant[half : half + fast] = _SAME_PLACE
            for projection in (attention.q_proj, attention.k_proj):
                projection.weight.mul_(0.3)
                projection.bias.copy_(constant)
        layer.self_attn.out_proj.weight.mul_(0.1)
        layer.linear2.weight.mul_(0.1)


def strengthen_mask_prompts(model: Any) -> None:
    """Make mask prompts louder before they are asked to speak alone.

    While clicks come first the image features grow large and mask prompts do not.
    """
    with torch.no_grad():
        model.sam_prompt_encoder.mask_downscaling[-1].weight.mul_(_MASK_PROMPT_GAIN)


def prepare_memory(model: Any, features: Tensor) -> None:
    """Bring the untrained memory parts to the scale of the trained features.

    Memory attention's last norm is fitted to give back what it got; the memory encoder sees
    features of a standard deviation of 1, and what is remembered weighs enough to be noticed.

    Args:
        model: the network.
        features: image features B x d x h x w as the mask decoder knows them.
    """
    with torch.no_grad():
        _remember_in_place(model)
        x = features.permute(0, 2, 3, 1).flatten(0, 2)
        norm = model.memory_attention.norm
        normed = nn.functional.layer_norm(x, norm.normalized_shape)
        centred = normed - normed.mean(dim=0)
        slope = (centred * x).sum(dim=0) / centred.square().sum(dim=0).clamp_min(1e-6)
        norm.weight.copy_(slope)
        norm.bias.copy_(x.mean(dim=0) - slope * normed.mean(dim=0))
        model.memory_encoder.pix_feat_proj.weight.div_(x.std())
        for layer in model.memory_attention.layers:
            layer.cross_attn_image.out_proj.weight.mul_(_MEMORY_GAIN)
