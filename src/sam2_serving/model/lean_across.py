"""Attention between few tokens and the many cells of an image, with less work.

How, and why it is the same function, is told in `sam2_serving.model.lean_decoder`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sam2.modeling.sam.transformer import Attention
from torch import Tensor


@dataclass(frozen=True)
class FirstLayer:
    """The first layer's projections of an image's cells.

    Attributes:
        keys: H x d x N.
        values: H x N x d.
        queries: H x d x N, scaled.
    """

    keys: Tensor
    values: Tensor
    queries: Tensor


class Across:
    """An attention between tokens and cells, its weights by heads."""

    def __init__(self, module: Attention) -> None:
        heads, scale = module.num_heads, (module.internal_dim // module.num_heads) ** -0.5
        self.module, self.heads = module, heads
        self.q = (module.q_proj.weight * scale).unflatten(0, (heads, -1))  # H x d x C
        self.q_bias = (module.q_proj.bias * scale).unflatten(0, (heads, -1))
        self.k = (module.k_proj.weight * scale).unflatten(0, (heads, -1))
        self.v = module.v_proj.weight.unflatten(0, (heads, -1)).transpose(1, 2).contiguous()
        self.out = module.out_proj.weight.T.unflatten(0, (heads, -1)).contiguous()
        self.scale = scale

    def split(self, tokens: Tensor) -> Tensor:
        """B x T x I to H x BT x d."""
        return torch.unflatten(tokens.flatten(0, 1), 1, (self.heads, -1)).transpose(0, 1)

    def by_head(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """B x T x I and H x d x C to B x HT x C."""
        batch, length, _ = tokens.shape
        spread = torch.unflatten(torch.bmm(self.split(tokens), weights), 1, (batch, length))
        return spread.transpose(0, 1).reshape(batch, self.heads * length, -1)

    def to_cells(self, queries: Tensor, placed: Tensor, cells: Tensor) -> Tensor:
        """Let tokens, B x T x C, look at cells, B x N x C (`placed`: with their positions)."""
        batch, length, _ = queries.shape
        asked = self.by_head(self.module.q_proj(queries), self.k)
        mixed = torch.bmm(torch.bmm(asked, placed.transpose(1, 2)).softmax(-1), cells)
        by_head = mixed.unflatten(1, (self.heads, length)).transpose(0, 1).flatten(1, 2)
        found = torch.bmm(by_head, self.v).unflatten(1, (batch, length))
        found = found.permute(1, 2, 0, 3).flatten(2) + self.module.v_proj.bias
        given: Tensor = self.module.out_proj(found)
        return given

    def to_first(self, queries: Tensor, first: FirstLayer) -> Tensor:
        """Let tokens, B x T x C, look at cells that are the same for all."""
        batch, length, _ = queries.shape
        asked = self.split(self.module.q_proj(queries) * self.scale)
        found = torch.bmm(torch.bmm(asked, first.keys).softmax(-1), first.values)
        found = found.transpose(0, 1).reshape(batch, length, -1)
        given: Tensor = self.module.out_proj(found)
        return given

    def to_tokens(
        self, cells: Tensor, placed: Tensor | FirstLayer, keys: Tensor, values: Tensor
    ) -> Tensor:
        """Let cells, B x N x C, look at tokens, B x T x C; returns what they become."""
        batch, length, _ = keys.shape
        keys, values = self.module.k_proj(keys), self.module.v_proj(values)
        if isinstance(placed, FirstLayer):
            scores = torch.bmm(self.split(keys), placed.queries).unflatten(1, (batch, length))
            scores = scores.transpose(0, 1)
        else:
            offsets = torch.bmm(self.split(keys), self.q_bias[..., None])
            offsets = offsets.unflatten(1, (batch, length)).transpose(0, 1).flatten(1, 2)
            asked = self.by_head(keys, self.q)
            scores = torch.baddbmm(offsets, asked, placed.transpose(1, 2))
            scores = scores.unflatten(1, (self.heads, length))
        weights = scores.softmax(2).reshape(batch, self.heads * length, -1)
        # the weights of a head add up to one: its share of the bias goes with its values
        given = self.by_head(values, self.out) + self.module.out_proj.bias / self.heads
        return torch.baddbmm(cells.expand(batch, -1, -1), weights.transpose(1, 2), given)
