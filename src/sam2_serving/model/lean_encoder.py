"""The image encoder with less work, for processors: the same weights, the same function.

The backbone's blocks are run as they are, on windows (`lean_trunk`). Beside them,

- positions of the patches are computed once and not for every image;
- positions of the levels, copies as large as the maps, are not made: one is read, by the tracker;
- the two finest levels go through two linear maps in a row, nothing between them: they are
  multiplied together beforehand: no maps of C channels are made where C/8 and C/4 are read;
- 1 x 1 convolutions are matrix products on cells, which is the order the backbone has them in.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.backbones.image_encoder import FpnNeck
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from sam2_serving.model.encoding import Maps
from sam2_serving.model.lean_trunk import walk_windows
from sam2_serving.model.parts import Parts


class LeanEncoder:
    """The encoder of a network, for float32 on a processor."""

    def __init__(self, network: SAM2Base) -> None:
        """Share the weights of `network`, whose encoder `suits`."""
        encoder, decoder = network.image_encoder, network.sam_mask_decoder
        self._trunk = encoder.trunk
        projections = [level.conv for level in encoder.neck.convs][::-1]
        with torch.inference_mode():
            self._fine = _together(projections[0], decoder.conv_s0)
            self._middle = _together(projections[1], decoder.conv_s1)
        self._coarse, self._coarsest = projections[2:]
        self._places: dict[tuple[int, int], Tensor] = {}

    @staticmethod
    def suits(network: SAM2Base) -> bool:
        """Tell whether the encoder is put together as those of all published networks are."""
        encoder = network.image_encoder
        neck = encoder.neck
        return (
            isinstance(neck, FpnNeck)
            and (encoder.scalp, neck.fuse_type, neck.fpn_interp_model) == (1, "sum", "nearest")
            and sorted(neck.fpn_top_down_levels) == [2, 3]
            and all(level.conv.kernel_size == (1, 1) for level in neck.convs)
            and len(neck.convs) == 4
            and bool(network.use_high_res_features_in_sam)
        )

    def encode(self, pixels: Tensor) -> Parts[Maps]:
        """Return the maps that the decoder reads of 1 x 3 x S x S pixels, finest first."""
        # not named here: nobody needs the first cells once there are others
        levels = yield from walk_windows(self._trunk, self._first_cells(pixels))
        coarsest = _linear(levels[3], self._coarsest)
        coarse = _linear(levels[2], self._coarse)
        # each of the coarsest cells is added to the four that lie in it
        coarse.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).add_(
            coarsest[:, :, None, :, None].to(coarse.dtype)
        )
        fine, middle = F.linear(levels[0], *self._fine), F.linear(levels[1], *self._middle)
        first, second, third = (
            level.permute(0, 3, 1, 2).contiguous() for level in (fine, middle, coarse)
        )
        return first, second, third

    def _first_cells(self, pixels: Tensor) -> Tensor:
        cells: Tensor = self._trunk.patch_embed(pixels)
        size = (cells.shape[1], cells.shape[2])
        if size not in self._places:
            self._places[size] = self._trunk._get_pos_embed(size)
        return cells + self._places[size]


def _linear(cells: Tensor, convolution: nn.Conv2d) -> Tensor:
    return F.linear(cells, convolution.weight.flatten(1), convolution.bias)


def _together(first: nn.Conv2d, second: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return weights and bias of two 1 x 1 convolutions in a row."""
    inner, outer = (one.weight.flatten(1).double() for one in (first, second))
    assert first.bias is not None
    assert second.bias is not None
    bias = outer @ first.bias.double() + second.bias.double()
    return (outer @ inner).float(), bias.float()
