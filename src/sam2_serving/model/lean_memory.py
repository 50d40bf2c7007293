"""Memory attention with less work, for processors: the same weights, the same function.

- The first layer's look at the frame itself comes before any memory: it is the same for all
  objects of a frame, and done once.
- Memories have M numbers where queries and keys have C, four times as many: where attention is
  long, memories are mixed as they are, and the mixture is projected, in place of each of them.
"""

from __future__ import annotations

import torch
from sam2.modeling.memory_attention import MemoryAttentionLayer
from sam2.modeling.position_encoding import apply_rotary_enc
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

LONG = 1024
"""Cells of a frame from which the mixture is projected; below, torch's own attention is as fast."""
QUERIES_AT_ONCE = 256


class LeanMemoryAttention:
    """The memory attention of a network, for float32 on a processor."""

    def __init__(self, network: SAM2Base) -> None:
        """Share the weights of `network`, whose memory attention `suits`."""
        self._attention = network.memory_attention

    @staticmethod
    def suits(network: SAM2Base) -> bool:
        """Tell whether it is put together as that of all published networks is."""
        attention = network.memory_attention
        return bool(attention.batch_first) and all(
            isinstance(layer.cross_attn_image, RoPEAttention)
            and layer.cross_attn_image.num_heads == 1
            and layer.cross_attn_image.rope_k_repeat
            and layer.pos_enc_at_cross_attn_keys
            and not layer.pos_enc_at_cross_attn_queries
            for layer in attention.layers
        )

    def start(self, cells: Tensor, position: Tensor) -> Tensor:
        """Do what the objects of a frame share: N x 1 x C cells and positions to 1 x N x C."""
        if self._attention.pos_enc_at_input:
            cells = cells + 0.1 * position
        layer = self._attention.layers[0]
        begun: Tensor = layer._forward_sa(cells.transpose(0, 1), position.transpose(0, 1))
        return begun

    def attend(
        self, begun: Tensor, position: Tensor, memory: Tensor, places: Tensor, pointer_tokens: int
    ) -> Tensor:
        """Bring B objects' memories to a frame.

        Args:
            begun: of `start`.
            position: N x 1 x C.
            memory: L x B x M.
            places: positions of the memory, L x B x M or L x 1 x M.
            pointer_tokens: how many tokens at the end are pointers, which have no place.

        Returns:
            N x B x C.
        """
        memory, places = memory.transpose(0, 1), places.transpose(0, 1)
        cells = begun.expand(len(memory), -1, -1)
        for at, layer in enumerate(self._attention.layers):
            if at > 0:
                cells = layer._forward_sa(cells, position.transpose(0, 1))
            if cells.shape[1] < LONG:
                cells = layer._forward_ca(cells, memory, None, places, pointer_tokens)
            else:
                cells = cells + _look_back(layer, cells, memory, places, pointer_tokens)
            hidden = layer.activation(layer.linear1(layer.norm3(cells)))
            cells = cells + layer.linear2(hidden)
        fused: Tensor = self._attention.norm(cells)
        return fused.transpose(0, 1)


def _look_back(
    layer: MemoryAttentionLayer, cells: Tensor, memory: Tensor, places: Tensor, pointer_tokens: int
) -> Tensor:
    """Let cells, B x N x C, look at memories, B x L x M."""
    attention = layer.cross_attn_image
    queries = attention.q_proj(layer.norm2(cells))[:, None]
    keys = attention.k_proj(memory + places)[:, None]
    side = round(queries.shape[2] ** 0.5)
    if attention.freqs_cis.shape[0] != queries.shape[2]:
        attention.freqs_cis = attention.compute_cis(end_x=side, end_y=side)
    placed = keys.shape[2] - pointer_tokens
    queries, keys[:, :, :placed] = apply_rotary_enc(
        queries, keys[:, :, :placed], freqs_cis=attention.freqs_cis, repeat_freqs_k=True
    )
    queries = queries[:, 0] * keys.shape[3] ** -0.5
    turned = keys[:, 0].transpose(1, 2)
    mixed = torch.cat(
        [
            torch.bmm(torch.bmm(part, turned).softmax(-1), memory)
            for part in queries.split(QUERIES_AT_ONCE, dim=1)
        ],
        dim=1,
    )
    found: Tensor = attention.out_proj(attention.v_proj(mixed))
    return found
