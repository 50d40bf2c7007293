"""A network whose parts do the same with less work, on a processor."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from sam2.modeling.sam2_base import SAM2Base

from sam2_serving.model.lean_decoder import LeanDecoder, LeanPrompts
from sam2_serving.model.lean_encoder import LeanEncoder
from sam2_serving.model.lean_memory import LeanMemoryAttention


@dataclass(frozen=True)
class LeanParts:
    """The parts, over the weights of one network, which stays as it is.

    Attributes:
        network: the same network with another prompt encoder and mask decoder, for what calls them
            itself.
        decoder: its mask decoder.
        encoder: the image encoder.
        memory_attention: of the tracker.
    """

    network: SAM2Base
    decoder: LeanDecoder
    encoder: LeanEncoder
    memory_attention: LeanMemoryAttention

    @classmethod
    def of(cls, network: SAM2Base) -> LeanParts | None:
        """Share the weights of `network`; None if it is put together in another way than usual."""
        if not (LeanEncoder.suits(network) and LeanMemoryAttention.suits(network)):
            return None
        decoder = LeanDecoder.of(network)
        twin = copy.copy(network)
        # a module keeps its parts in a dictionary, which the copy shares
        twin._modules = dict(network._modules)
        twin.sam_prompt_encoder = LeanPrompts.of(network.sam_prompt_encoder)
        twin.sam_mask_decoder = decoder
        return cls(twin, decoder, LeanEncoder(network), LeanMemoryAttention(network))
