"""The memory encoder with less work, for processors: the same weights, the same function.

It pays for several objects at once. For one it is no faster than upstream's, whose order of sums
makes fewer memories round to another bfloat16.

- The frame's own features are projected once, not for each object.
- Where a cell has more than a few numbers, they lie side by side: norms and linear maps read them
  as they are, and 1 x 1 convolutions are matrix products.
- The scale of a block's answer is multiplied into its last linear map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.memory_encoder import CXBlock, MemoryEncoder
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import Tensor, nn

FEW = 16
"""Numbers of a cell; of fewer, torch's norm of what lies side by side is the slower one."""


@dataclass(frozen=True)
class _Block:
    """A block of the fuser, with its last linear map scaled."""

    block: CXBlock
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, block: CXBlock) -> _Block:
        last = block.pwconv2
        scale = torch.ones_like(last.bias) if block.gamma is None else block.gamma
        return cls(block, scale[:, None] * last.weight, scale * last.bias)

    def __call__(self, maps: Tensor) -> Tensor:
        """Add what the block finds to B x C x h x w."""
        block = self.block
        cells = _norm(block.dwconv(maps).permute(0, 2, 3, 1).contiguous(), block.norm)
        found = F.linear(block.act(block.pwconv1(cells)), self.weight, self.bias)
        return maps + found.permute(0, 3, 1, 2)


class LeanMemoryEncoder:
    """The memory encoder of a network, for float32 on a processor."""

    def __init__(self, network: SAM2Base) -> None:
        """Share the weights of `network`, whose memory encoder `suits`."""
        self._network = network
        encoder: MemoryEncoder = network.memory_encoder
        self._encoder = encoder
        *steps, self._last = encoder.mask_downsampler.encoder
        self._steps = [steps[at : at + 3] for at in range(0, len(steps), 3)]
        with torch.inference_mode():
            self._blocks = [_Block.of(block) for block in encoder.fuser.layers]

    @staticmethod
    def suits(network: SAM2Base) -> bool:
        """Tell whether it is put together as that of all published networks is."""
        encoder = network.memory_encoder
        downsampler = list(encoder.mask_downsampler.encoder)
        kinds = (nn.Conv2d, LayerNorm2d, nn.GELU)
        return (
            not network.non_overlap_masks_for_mem_enc
            and len(downsampler) % 3 == 1
            and all(isinstance(part, kinds[at % 3]) for at, part in enumerate(downsampler))
            and isinstance(encoder.fuser.proj, nn.Identity)
            and all(isinstance(block, CXBlock) for block in encoder.fuser.layers)
            and isinstance(encoder.out_proj, nn.Conv2d)
        )

    def encode(self, features: Tensor, masks: Tensor, scores: Tensor, from_prompts: bool) -> Tensor:
        """Make memories of B objects on one frame.

        Args:
            features: of the frame, N x 1 x C.
            masks: B x 1 x S x S logits.
            scores: B x 1 object scores.
            from_prompts: whether a person made the masks.

        Returns:
            B x N x M.
        """
        network = self._network
        if network.binarize_mask_from_pts_for_mem_enc and from_prompts:
            level = (masks > 0).to(masks.dtype)
        else:
            level = masks.sigmoid()
        level.mul_(network.sigmoid_scale_for_mem_enc).add_(network.sigmoid_bias_for_mem_enc)
        for convolution, norm, activate in self._steps:
            level = activate(_norm_maps(convolution(level), norm))
        cells = _linear(level.permute(0, 2, 3, 1), self._last)
        begun = _linear(features.transpose(0, 1), self._encoder.pix_feat_proj)
        maps = cells.add_(begun.view(1, *cells.shape[1:])).permute(0, 3, 1, 2)
        for block in self._blocks:
            maps = block(maps)
        memory = _linear(maps.permute(0, 2, 3, 1).flatten(1, 2), self._encoder.out_proj)
        if network.no_obj_embed_spatial is not None:
            gone = (scores <= 0).to(memory.dtype)
            memory.add_(gone[..., None] * network.no_obj_embed_spatial)
        return memory


def _linear(cells: Tensor, convolution: nn.Conv2d) -> Tensor:
    return F.linear(cells, convolution.weight.flatten(1), convolution.bias)


def _norm_maps(maps: Tensor, norm: LayerNorm2d) -> Tensor:
    """Normalise over channels; what comes out has them side by side, if they are not few."""
    if maps.shape[1] < FEW:
        normal: Tensor = norm(maps)
        return normal
    return _norm(maps.permute(0, 2, 3, 1).contiguous(), norm).permute(0, 3, 1, 2)


def _norm(cells: Tensor, norm: LayerNorm2d) -> Tensor:
    """Normalise over the last axis."""
    return F.layer_norm(cells, norm.weight.shape, norm.weight, norm.bias, norm.eps)
