"""What the mask decoder says of tracked objects."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Heads:
    """What the mask decoder gives for B objects.

    Attributes:
        low: B x 1 x S/4 x S/4 logits.
        high: B x 1 x S x S logits.
        pointers: B x C.
        scores: B x 1 object scores.
        ious: B x M predicted IoU, of each mask that was decoded.
    """

    low: torch.Tensor
    high: torch.Tensor
    pointers: torch.Tensor
    scores: torch.Tensor
    ious: torch.Tensor
