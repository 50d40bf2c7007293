"""Memory attention with less work, for processors: the same weights, the same function.

- The first layer's look at the frame itself comes before any memory: it is the same for all
  objects of a frame, and done once. So are the queries that follow it.
- Memories have M numbers where queries and keys have C, two or four times as many: memories are
  mixed as they are, and the mixture is projected, in place of each of them.
- Keys and queries are turned (RoPE) where they lie, all memories by one table.
- The long steps take one object after the other: what one of them leaves is still in the cache when
  the next one begins, and no page of memory is new.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.memory_attention import MemoryAttentionLayer
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

QUERIES_AT_ONCE = 256


class LeanMemoryAttention:
    """The memory attention of a network, for float32 on a processor."""

    def __init__(self, network: SAM2Base) -> None:
        """Share the weights of `network`, whose memory attention `suits`."""
        self._attention = network.memory_attention
        self._turns: dict[int, Tensor] = {}

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
        memory = memory.transpose(0, 1).contiguous()
        placed = memory + places.transpose(0, 1)
        cells = begun
        for at, layer in enumerate(self._attention.layers):
            if at > 0:
                cells = layer._forward_sa(cells, position.transpose(0, 1))
            cells = cells + self._look_back(layer, cells, memory, placed, pointer_tokens)
            for each in cells:
                hidden = layer.linear1(layer.norm3(each))
                each.add_(layer.linear2(_activate(layer, hidden)))
        fused: Tensor = self._attention.norm(cells)
        return fused.transpose(0, 1)

    def _look_back(
        self,
        layer: MemoryAttentionLayer,
        cells: Tensor,
        memory: Tensor,
        placed: Tensor,
        pointer_tokens: int,
    ) -> Tensor:
        """Let cells, B x N x C or 1 x N x C, look at memories, B x L x M.

        `placed` are the memories with their places.
        """
        attention = layer.cross_attn_image
        queries = attention.q_proj(layer.norm2(cells))
        turn = self._turn(attention, queries.shape[1])
        _turn(queries, turn)
        queries = queries.mul_(queries.shape[2] ** -0.5).expand(len(memory), -1, -1)
        mixed = cells.new_empty(*queries.shape[:2], memory.shape[2])
        for each, of_each in enumerate(memory):
            keys = attention.k_proj(placed[each])
            _turn(keys[None, : len(keys) - pointer_tokens], turn)
            for start in range(0, queries.shape[1], QUERIES_AT_ONCE):
                which = slice(start, start + QUERIES_AT_ONCE)
                weights = (queries[each, which] @ keys.T).softmax(-1)
                torch.mm(weights, of_each, out=mixed[each, which])
        found: Tensor = attention.out_proj(attention.v_proj(mixed))
        return found

    def _turn(self, attention: RoPEAttention, count: int) -> Tensor:
        """Return what the numbers of `count` cells, in pairs, are turned by: N x C/2 complex."""
        if count not in self._turns:
            side = round(count**0.5)
            self._turns[count] = attention.compute_cis(end_x=side, end_y=side)
        return self._turns[count]


def _activate(layer: MemoryAttentionLayer, hidden: Tensor) -> Tensor:
    activated: Tensor = hidden.relu_() if layer.activation is F.relu else layer.activation(hidden)
    return activated


def _turn(numbers: Tensor, turn: Tensor) -> None:
    """Turn B x (k N) x C where they lie, N x C/2 for N."""
    pairs = numbers.unflatten(2, (-1, 2)).unflatten(1, (-1, len(turn)))
    torch.view_as_complex(pairs).mul_(turn)
