"""What the network says of tracked objects that nobody prompts on a frame, with less work.

Upstream draws three masks of each object, enlarges all of them to the network's input, and keeps
the one of the highest predicted IoU. That is known before a mask is drawn: here one is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import NO_OBJ_SCORE, SAM2Base
from torch import Tensor

from sam2_serving.model.heads import Heads
from sam2_serving.model.lean_decoder import FineMaps, LeanDecoder


class LeanHeads:
    """Mask, pointer and scores of tracked objects, for float32 on a processor."""

    def __init__(self, network: SAM2Base, decoder: LeanDecoder) -> None:
        """Share the weights of `network`, which `suits`, and of its lean decoder."""
        self._network, self._decoder = network, decoder
        with torch.inference_mode():
            nobody = torch.zeros(1, 1, 2), -torch.ones(1, 1, dtype=torch.int32)
            points = tuple(part.to(decoder.iou_token.weight.device) for part in nobody)
            self._sparse, _ = network.sam_prompt_encoder(points=points, boxes=None, masks=None)

    @staticmethod
    def suits(network: SAM2Base) -> bool:
        """Tell whether objects without prompts get three masks, as in all published networks."""
        return bool(
            network.multimask_output_in_sam
            and network.multimask_output_for_tracking
            and network.multimask_min_pt_num == 0
            and network.use_obj_ptrs_in_encoder
        )

    def find(self, features: Tensor, maps: FineMaps) -> Heads:
        """Decode B objects.

        Args:
            features: the frame's, B x C x h x w, each conditioned on what is remembered.
            maps: of the frame.
        """
        decoder, network = self._decoder, self._network
        cells = decoder.unmasked_cells(features)
        parts = []
        for some in cells.split(decoder.at_once(cells)):
            found = decoder.transform(some, None, self._sparse.expand(len(some), -1, -1))
            ious = decoder.iou_prediction_head(found.out[:, -decoder.num_mask_tokens - 1])[:, 1:]
            tokens = found.out[:, 1 - decoder.num_mask_tokens :]
            rows, best = torch.arange(len(some)), ious.argmax(dim=1)
            weights = decoder.mask_weights(tokens, first=1)[rows, best]
            masks = decoder.draw(found.cells, weights[:, None], maps)
            token = tokens[rows, best]
            if not decoder.use_multimask_token_for_obj_ptr:
                token = found.out[:, -decoder.num_mask_tokens]
            parts.append((masks, ious, token, found.out[:, 0]))
        low, ious, tokens, first = (torch.cat(part) for part in zip(*parts, strict=True))
        pointers = network.obj_ptr_proj(tokens)
        if not network.pred_obj_scores:
            scores = 10.0 * ious.new_ones(len(ious), 1)  # upstream's way to say that it is there
            return Heads(low, self.enlarged(low), pointers, scores, ious)
        scores = decoder.pred_obj_score_head(first)
        there = scores > 0
        low = torch.where(there[:, None, None], low, NO_OBJ_SCORE)
        return Heads(low, self.enlarged(low), self._marked(pointers, scores), scores, ious)

    def enlarged(self, low: Tensor) -> Tensor:
        """Enlarge B x 1 x S/4 x S/4 logits to B x 1 x S x S."""
        side = self._network.image_size
        # as one picture with B channels: torch is slower with many of a single one
        together = low.transpose(0, 1).contiguous()
        large = F.interpolate(together, (side, side), mode="bilinear", align_corners=False)
        return large.transpose(0, 1)

    def _marked(self, pointers: Tensor, scores: Tensor) -> Tensor:
        """Let pointers, B x C, tell whether the object is there."""
        network = self._network
        share = scores.sigmoid() if network.soft_no_obj_ptr else (scores > 0).float()
        if network.fixed_no_obj_ptr:
            pointers = share * pointers
        marked: Tensor = pointers + (1 - share) * network.no_obj_ptr
        return marked
