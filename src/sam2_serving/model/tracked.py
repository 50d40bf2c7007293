"""What a tracker finds on a frame, stage after stage."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from sam2_serving.model.enlarging import enlarge_mask
from sam2_serving.model.frames import EncodedFrame
from sam2_serving.model.heads import Heads
from sam2_serving.model.memory import ObjectMemory


@dataclass(frozen=True)
class TrackedMask:
    """One object on one frame.

    Attributes:
        logits: 1 x S/4 x S/4 float32.
        object_score: logit; below zero the object is not there.
        predicted_iou: the network's estimate of the mask's quality; 1 for a mask prompt.
    """

    logits: torch.Tensor
    object_score: float
    predicted_iou: float

    def mask(self, image_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Resize bilinearly to (height, width) and threshold: bool HxW."""
        if self.logits.device.type == "cpu":
            return enlarge_mask(self.logits[0].numpy(), image_size)
        logits = F.interpolate(self.logits[None], image_size, mode="bilinear", align_corners=False)
        mask: npt.NDArray[np.bool_] = (logits[0, 0] > 0).cpu().numpy()
        return mask


@dataclass(frozen=True)
class Group:
    """B objects with equally long memories: they go through the network together."""

    names: tuple[Hashable, ...]
    memories: tuple[ObjectMemory, ...]


@dataclass(frozen=True)
class Attended:
    """What `VideoTracker.attend` gives: objects that were looked for on a frame, no masks yet.

    Attributes:
        index: of the frame.
        frame: as it was given.
        groups: G of them.
        features: of each group, B x C x h x w.
    """

    index: int
    frame: EncodedFrame
    groups: tuple[Group, ...]
    features: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Found:
    """What `VideoTracker.decode` gives: objects on a frame, not remembered yet.

    Attributes:
        index: of the frame.
        frame: as it was given.
        masks: of each object.
        groups: G of them.
        heads: of each group.
    """

    index: int
    frame: EncodedFrame
    masks: dict[Hashable, TrackedMask]
    groups: tuple[Group, ...]
    heads: tuple[Heads, ...]


def tracked_masks(heads: Heads) -> list[TrackedMask]:
    """Return the mask of each object."""
    # two transfers from the device for all objects, not two for each
    scores, ious = heads.scores[:, 0].tolist(), heads.ious.amax(dim=1).tolist()
    return [
        TrackedMask(logits, score, iou)
        for logits, score, iou in zip(heads.low.float(), scores, ious, strict=True)
    ]
