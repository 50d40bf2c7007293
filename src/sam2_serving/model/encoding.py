"""Upstream's image encoder, block by block: what it computes, with a stop after each block."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol, TypeVar

from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from sam2_serving.model.parts import Parts

AnyModule = TypeVar("AnyModule", bound=nn.Module)
Maps = tuple[Tensor, Tensor, Tensor]
"""1 x C/8 x S/4 x S/4, 1 x C/4 x S/8 x S/8 and 1 x C x S/16 x S/16."""


class Encoder(Protocol):
    """An image encoder, however it computes."""

    def encode(self, pixels: Tensor) -> Parts[Maps]:
        """Return the maps that the decoder reads of 1 x 3 x S x S pixels, finest first."""


class _Done(nn.Module):
    """Stands in for a backbone whose work has been done: gives what it is given."""

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Return the levels."""
        return levels


class BlockwiseEncoder:
    """Shares the weights of a network; everything but the loop over the blocks is upstream's."""

    def __init__(self, network: SAM2Base) -> None:
        """Take the encoder of `network`, which stays as it is."""
        self._network = network
        self._trunk = network.image_encoder.trunk
        encoder = _twin(network.image_encoder)
        encoder.trunk = _Done()
        self._behind_trunk = _twin(network)
        self._behind_trunk.image_encoder = encoder

    def encode(self, pixels: Tensor) -> Parts[Maps]:
        """Return the maps that the decoder reads of 1 x 3 x S x S pixels, finest first.

        A backbone that is built in another way than published ones is one part.
        """
        if isinstance(self._trunk, Hiera) and self._trunk.return_interm_layers:
            # not named here: nobody needs the first cells once there are others
            levels = yield from walk(self._trunk, self._first_cells(pixels))
            given = [level.permute(0, 3, 1, 2) for level in levels]
            maps: Sequence[Tensor] = self._behind_trunk.forward_image(given)["backbone_fpn"]
        else:
            maps = self._network.forward_image(pixels)["backbone_fpn"]
        fine, middle, coarsest = maps[-3:]
        return fine, middle, coarsest

    def _first_cells(self, pixels: Tensor) -> Tensor:
        cells: Tensor = self._trunk.patch_embed(pixels)
        places: Tensor = self._trunk._get_pos_embed(cells.shape[1:3])
        return cells + places


def walk(trunk: Hiera, cells: Tensor) -> Parts[list[Tensor]]:
    """Run a backbone's blocks.

    Args:
        trunk: the backbone.
        cells: 1 x S/4 x S/4 x C, with their positions.

    Returns:
        what each stage ends with, 1 x h x w x C, finest first.
    """
    levels = []
    for at, block in enumerate(trunk.blocks):
        yield
        cells = block(cells)
        if at in trunk.stage_ends:
            levels.append(cells)
    yield
    return levels


def _twin(module: AnyModule) -> AnyModule:
    """Return the same module, of which parts can be replaced."""
    twin = copy.copy(module)
    # a module keeps its parts in a dictionary, which the copy shares
    twin._modules = dict(module._modules)
    return twin
