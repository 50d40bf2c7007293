"""The mask decoder with less work, for processors: the same weights, the same function.

Few tokens (T, about nine) meet many cells of the image (N). Upstream's transformer projects every
cell to keys, values and queries, for each prompt and layer anew. Here

- the first layer's projections, which no prompt has touched yet, are made once an image;
- in later layers the tokens' side of a product is multiplied out instead: with queries
  q = x Wq, keys k = y Wk, the scores q k' are (q Wk') y', and a mix of values a (y Wv) is (a y) Wv.
  That takes H * T rows of C numbers in place of N rows, H heads;
- biases of keys are left out: they move all scores of a row alike, which softmax does not see;
- maps are enlarged as matrix products on cells, in the order of the cells; only the logits are
  brought into rows and columns.

Answers differ from upstream's in the last bits (`tests/parity` holds the two side by side).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import TwoWayAttentionBlock
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from sam2_serving.model.lean_across import Across, FirstLayer

Kind = TypeVar("Kind", bound=nn.Module)

NUMBERS_AT_ONCE = 2**19
"""Of the image's maps, in one step: 2 MiB of float32, sixteen prompts of nano or one of the others.
More would leave the cache before the next step."""
LEAST_AT_ONCE = 4
"""Prompts that share a pass through the transformer, however large their maps are: the tokens' own
layers read all of their weights, and take as long for one prompt as for several."""


@dataclass(frozen=True)
class FineMaps:
    """The high-resolution maps in the order of the cells, with the biases of what is added to them.

    Attributes:
        middle: 1 x N x 4 C/4, the 2 x 2 cells of each cell.
        fine: 1 x 4N x 4 C/8, alike.
    """

    middle: Tensor
    fine: Tensor


@dataclass(frozen=True)
class ImageSide:
    """All of an image that no prompt has a say in.

    Attributes:
        cells: 1 x N x C, with the embedding that says there is no mask.
        first: their projections.
        maps: the high-resolution maps.
    """

    cells: Tensor
    first: FirstLayer
    maps: FineMaps


@dataclass(frozen=True)
class Tokens:
    """What the transformer gives for B prompts.

    Attributes:
        out: B x (outputs) x C: object score (if there is one), IoU, masks.
        cells: B x N x C.
    """

    out: Tensor
    cells: Tensor


class LeanDecoder(MaskDecoder):  # type: ignore[misc]
    """A `MaskDecoder` over another's weights, for float32 on a processor."""

    _layers: list[tuple[Across, Across]]
    _final: Across

    @classmethod
    def of(cls, network: SAM2Base) -> LeanDecoder:
        """Share the decoder of `network`."""
        prompts, decoder = network.sam_prompt_encoder, network.sam_mask_decoder
        lean = _over(decoder, cls)
        transformer = decoder.transformer
        with torch.inference_mode():
            lean._places = _by_cell(prompts.get_dense_pe()).contiguous()
            lean._no_mask = prompts.no_mask_embed.weight
            lean._layers = [
                (Across(layer.cross_attn_token_to_image), Across(layer.cross_attn_image_to_token))
                for layer in transformer.layers
            ]
            lean._final = Across(transformer.final_attn_token_to_image)
            outputs = [decoder.iou_token.weight, decoder.mask_tokens.weight]
            if decoder.pred_obj_scores:
                outputs.insert(0, decoder.obj_score_token.weight)
            lean._outputs = torch.cat(outputs)
            enlarge, lean._norm, _, enlarge_more, _ = decoder.output_upscaling
            lean._enlarge, lean._enlarge_more = _as_product(enlarge), _as_product(enlarge_more)
            lean._biases = enlarge.bias, enlarge_more.bias
            lean._heads = [
                (
                    torch.stack([head.layers[at].weight.T for head in heads]),
                    torch.stack([head.layers[at].bias for head in heads])[:, None],
                )
                for heads in [decoder.output_hypernetworks_mlps]
                for at in range(len(heads[0].layers))
            ]
        return lean

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,  # noqa: ARG002
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        repeat_image: bool,  # noqa: ARG002
        high_res_features: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Do what the class above does; `image_pe` is known."""
        assert high_res_features is not None
        middle, fine = (level[:1] for level in high_res_features[::-1])
        return self.answer(
            self.masked_cells(image_embeddings, dense_prompt_embeddings),
            None,
            self.fine_maps(fine, middle),
            sparse_prompt_embeddings,
        )

    def fine_maps(self, fine: Tensor, middle: Tensor) -> FineMaps:
        """Bring 1 x C/8 x 4h x 4w and 1 x C/4 x 2h x 2w into the order of the cells."""
        cells = middle.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 3, 5, 1)
        finer = fine.unflatten(3, (-1, 2, 2)).unflatten(2, (-1, 2, 2))
        finer = finer.permute(0, 2, 5, 3, 6, 4, 7, 1)
        return FineMaps(
            (cells + self._biases[0]).flatten(3).flatten(1, 2),
            (finer + self._biases[1]).flatten(5).flatten(1, 4),
        )

    def image_side(self, features: Tensor, fine: Tensor, middle: Tensor) -> ImageSide:
        """Do what all prompts of an image share."""
        cells = self.unmasked_cells(features)
        asks, answers = (across.module for across in self._layers[0])
        placed = (cells + self._places)[0]
        heads, scale = asks.num_heads, self._layers[0][1].scale

        def split(numbers: Tensor) -> Tensor:
            return torch.unflatten(numbers.T, 0, (heads, -1)).contiguous()

        first = FirstLayer(
            split(asks.k_proj(placed)),
            split(asks.v_proj(cells[0])).transpose(1, 2),
            split(answers.q_proj(placed) * scale),
        )
        return ImageSide(cells, first, self.fine_maps(fine, middle))

    def unmasked_cells(self, features: Tensor) -> Tensor:
        """Return B x N x C of features, B x C x h x w, with the embedding: there is no mask."""
        cells: Tensor = _by_cell(features) + self._no_mask
        return cells

    def masked_cells(self, features: Tensor, dense: Tensor) -> Tensor:
        """Return B x N x C of an image's features and B mask prompts, B x C x h x w."""
        return _by_cell(features + dense)

    def choose(self, masks: Tensor, ious: Tensor, multimask: bool) -> tuple[Tensor, Tensor]:
        """Return which of an answer's masks and IoUs are given out: three, or one."""
        if multimask:
            return masks[:, 1:], ious[:, 1:]
        if self.dynamic_multimask_via_stability:
            chosen: tuple[Tensor, Tensor] = self._dynamic_multimask_via_stability(masks, ious)
            return chosen
        return masks[:, :1], ious[:, :1]

    def answer(
        self, cells: Tensor, first: FirstLayer | None, maps: FineMaps, sparse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decode B prompts.

        Args:
            cells: B x N x C, or 1 x N x C if they are the same for all.
            first: of those.
            maps: of the image.
            sparse: B x n x C, the prompts' tokens.

        Returns:
            (masks B x M x 4h x 4w, predicted IoUs B x M, mask tokens B x M x C,
            object scores B x 1), M masks.
        """
        parts = []
        for start in range(0, len(sparse), self.at_once(cells)):
            which = slice(start, start + self.at_once(cells))
            one = cells if len(cells) == 1 else cells[which]
            found = self.transform(one, first, sparse[which])
            tokens = found.out[:, -self.num_mask_tokens :]
            parts.append((self.masks(found.cells, tokens, maps), found.out))
        masks = parts[0][0] if len(parts) == 1 else torch.cat([part for part, _ in parts])
        out = torch.cat([part for _, part in parts])
        tokens = out[:, -self.num_mask_tokens :]
        ious = self.iou_prediction_head(out[:, -self.num_mask_tokens - 1])
        scores = (
            self.pred_obj_score_head(out[:, 0])
            if self.pred_obj_scores
            else 10.0 * ious.new_ones(len(ious), 1)  # upstream's way to say that it is there
        )
        return masks, ious, tokens, scores

    def transform(
        self,
        cells: Tensor,
        first: FirstLayer | None,
        sparse: Tensor,
        outputs: Sequence[int] | None = None,
    ) -> Tokens:
        """Run the transformer: arguments as of `answer`.

        `outputs` are the numbers of those that are wanted, in the order in which they are given;
        None: all.
        """
        batch = len(sparse)
        asked = torch.cat([self._outputs.expand(batch, -1, -1), sparse], dim=1)
        queries = asked
        shared = first if len(cells) == 1 else None
        placed = None if shared is not None else cells + self._places
        for layer, (asks, answers) in zip(self.transformer.layers, self._layers, strict=True):
            queries = _among_tokens(layer, queries, asked)
            placed_queries = queries + asked
            if shared is not None:
                seen = asks.to_first(placed_queries, shared)
            else:
                assert placed is not None
                seen = asks.to_cells(placed_queries, placed, cells)
            queries = layer.norm2(queries + seen)
            queries = layer.norm3(queries + layer.mlp(queries))
            source = placed if shared is None else shared
            assert source is not None
            cells = answers.to_tokens(cells, source, queries + asked, queries)
            cells = layer.norm4(cells)
            shared, placed = None, cells + self._places
        assert placed is not None
        wanted = list(range(len(self._outputs)) if outputs is None else outputs)
        queries, asked = queries[:, wanted], asked[:, wanted]
        seen = self._final.to_cells(queries + asked, placed, cells)
        return Tokens(self.transformer.norm_final_attn(queries + seen), cells)

    @property
    def outputs_of_many(self) -> list[int]:
        """The predicted IoU and the three masks of a prompt that leaves a choice."""
        iou = int(self.pred_obj_scores)
        return [iou, *range(iou + 2, iou + 1 + self.num_mask_tokens)]

    def masks(self, cells: Tensor, tokens: Tensor, maps: FineMaps, first: int = 0) -> Tensor:
        """Make logits, B x M x 4h x 4w, of B x N x C cells and B x M x C mask tokens.

        The tokens are those of the outputs from `first` on.
        """
        return self.draw(cells, self.mask_weights(tokens, first), maps)

    def draw(self, cells: Tensor, weights: Tensor, maps: FineMaps) -> Tensor:
        """Make logits, B x M x 4h x 4w, of B x N x C cells and B x M x C/8 of `mask_weights`."""
        batch, count, _ = cells.shape
        step = max(1, NUMBERS_AT_ONCE // cells[0].numel())
        grown = zip(weights.split(step), cells.split(step), strict=True)
        logits = torch.cat(
            [torch.bmm(some, self._grown(of, maps).transpose(1, 2)) for some, of in grown]
        )
        side = round(count**0.5)
        # the last axis is two neighbours in a row: moved as one number, not one by one
        pairs = logits.view(torch.float64).view(batch, -1, side, side, 2, 2, 2)
        rows = pairs.permute(0, 1, 2, 4, 6, 3, 5).reshape(batch, -1, 4 * side, 2 * side)
        return rows.view(torch.float32)

    def _grown(self, cells: Tensor, maps: FineMaps) -> Tensor:
        """Enlarge B x N x C cells to B x 16N x C/8."""
        _, _, activate, _, activate_more = self.output_upscaling
        batch, count, _ = cells.shape
        norm = self._norm
        grown = (cells @ self._enlarge).add_(maps.middle).view(batch, 4 * count, -1)
        grown = activate(F.layer_norm(grown, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        large: Tensor = activate_more((grown @ self._enlarge_more).add_(maps.fine))
        return large.view(batch, 16 * count, -1)

    def mask_weights(self, tokens: Tensor, first: int) -> Tensor:
        """B x M x C mask tokens to B x M x C/8: each through its own small network."""
        numbers = tokens.transpose(0, 1)
        for at, (weights, bias) in enumerate(self._heads):
            numbers = torch.baddbmm(bias[first:], numbers, weights[first:])
            if at < len(self._heads) - 1:
                numbers = numbers.relu_()
        return numbers.transpose(0, 1)

    def at_once(self, cells: Tensor) -> int:
        """Return how many prompts go through the transformer together on such an image."""
        return max(LEAST_AT_ONCE, NUMBERS_AT_ONCE // cells[0].numel())


class LeanPrompts(PromptEncoder):  # type: ignore[misc]
    """A `PromptEncoder` over another's weights that knows where the cells are."""

    @classmethod
    def of(cls, prompts: PromptEncoder) -> LeanPrompts:
        """Share the weights of `prompts`."""
        lean = _over(prompts, cls)
        with torch.inference_mode():
            lean._dense = prompts.get_dense_pe()
        return lean

    def get_dense_pe(self) -> Tensor:
        """Return the positions of the cells, 1 x C x h x w."""
        dense: Tensor = self._dense
        return dense


def _over(module: nn.Module, kind: type[Kind]) -> Kind:
    """Return a module of another kind with the parts and weights of `module`, which stays as is."""
    other = kind.__new__(kind)
    # a module keeps parts and weights in dictionaries of their own, which must not be shared
    other.__dict__ |= module.__dict__
    other._modules, other._parameters = dict(module._modules), dict(module._parameters)
    return other


def _among_tokens(layer: TwoWayAttentionBlock, queries: Tensor, asked: Tensor) -> Tensor:
    """Let tokens look at each other."""
    if layer.skip_first_layer_pe:
        seen = layer.self_attn(q=queries, k=queries, v=queries)
    else:
        placed = queries + asked
        seen = queries + layer.self_attn(q=placed, k=placed, v=queries)
    normal: Tensor = layer.norm1(seen)
    return normal


def _by_cell(maps: Tensor) -> Tensor:
    """B x C x h x w to B x N x C; one order in memory, whatever it was: sums depend on it."""
    return maps.flatten(2).transpose(1, 2).contiguous()


def _as_product(enlarge: nn.ConvTranspose2d) -> Tensor:
    """Return the weights of a transposed convolution, kernel and stride 2, as C x 4 C'."""
    return enlarge.weight.permute(0, 2, 3, 1).flatten(1).contiguous()
