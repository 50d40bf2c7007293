"""A network whose parts do the same with less work, on a processor."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from sam2_serving.model.lean_decoder import FineMaps, LeanDecoder, LeanPrompts
from sam2_serving.model.lean_encoder import LeanEncoder
from sam2_serving.model.lean_heads import LeanHeads
from sam2_serving.model.lean_memory import LeanMemoryAttention
from sam2_serving.model.lean_memory_encoder import LeanMemoryEncoder


@dataclass(frozen=True)
class FrameSide:
    """What all tracked objects of a frame share.

    Attributes:
        attention: the first look of memory attention at the frame, 1 x N x C.
        fine_maps: of the mask decoder.
    """

    attention: Tensor
    fine_maps: FineMaps


@dataclass(frozen=True)
class LeanParts:
    """The parts, over the weights of one network, which stays as it is.

    Attributes:
        network: the same network with another prompt encoder and mask decoder, for what calls them
            itself.
        decoder: its mask decoder.
        encoder: the image encoder.
        memory_attention: of the tracker.
        heads: of the tracker, for objects without prompts.
        memory_encoder: of the tracker, for several objects at once.
    """

    network: SAM2Base
    decoder: LeanDecoder
    encoder: LeanEncoder
    memory_attention: LeanMemoryAttention
    heads: LeanHeads
    memory_encoder: LeanMemoryEncoder

    @classmethod
    def of(cls, network: SAM2Base) -> LeanParts | None:
        """Share the weights of `network`; None if it is put together in another way than usual."""
        parts = (LeanEncoder, LeanMemoryAttention, LeanHeads, LeanMemoryEncoder)
        if not all(part.suits(network) for part in parts):
            return None
        decoder = LeanDecoder.of(network)
        twin = copy.copy(network)
        # a module keeps its parts in a dictionary, which the copy shares
        twin._modules = dict(network._modules)
        twin.sam_prompt_encoder = LeanPrompts.of(network.sam_prompt_encoder)
        twin.sam_mask_decoder = decoder
        return cls(
            twin,
            decoder,
            LeanEncoder(network),
            LeanMemoryAttention(network),
            LeanHeads(network, decoder),
            LeanMemoryEncoder(network),
        )

    def frame_side(
        self, cells: Tensor, position: Tensor, fine: Tensor, middle: Tensor
    ) -> FrameSide:
        """Do what the objects of a frame share.

        Args:
            cells: N x 1 x C.
            position: of the cells, N x 1 x C.
            fine: 1 x C/8 x 4h x 4w.
            middle: 1 x C/4 x 2h x 2w.
        """
        return FrameSide(
            self.memory_attention.start(cells, position),
            self.decoder.fine_maps(fine, middle),
        )
