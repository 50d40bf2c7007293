"""What a person tells the model: points, a box, a mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sam2_serving.masks.boxes import Box

MASK_PROMPT_LOGIT = 10.0
"""Logit of a pixel inside a mask prompt; outside it is the negative of this."""


class Point(NamedTuple):
    """A click on pixel (x, y) of the original image; positive means "this is the object"."""

    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True)
class Prompts:
    """All prompts of one object on one image, in pixels of the original image.

    Attributes:
        points: clicks, each kind in the order in which they were made; the first positive one
            makes the first pass of two, the order of the others does not matter.
        box: exclusive x1, y1, as the network takes it.
        mask: bool HxW of the image's size: the mask that is being edited.
    """

    points: tuple[Point, ...] = ()
    box: Box | None = None
    mask: npt.NDArray[np.bool_] | None = None

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to segment."""
        return not self.points and self.box is None and self.mask is None

    @property
    def is_ambiguous(self) -> bool:
        """One click alone may mean a part or a whole: then the best of three masks is taken."""
        return len(self.points) == 1 and self.box is None and self.mask is None

    def first_pass(self) -> Prompts:
        """Return the prompts of the first pass of two: the box and the first positive click.

        The wire tells no order between positive and negative clicks, so this choice must not
        depend on one. Without a box or a positive click, all prompts are the first pass.
        """
        first = next((point for point in self.points if point.positive), None)
        if first is not None:
            return replace(self, points=(first,), mask=None)
        if self.box is not None:
            return replace(self, points=(), mask=None)
        return replace(self, mask=None)


def mask_to_logits(mask: npt.NDArray[np.bool_], side: int) -> npt.NDArray[np.float32]:
    """Turn a mask into the low-resolution logits that the prompt encoder takes.

    The share of each low-resolution cell that the mask covers is mapped linearly from
    [0, 1] to [-10, +10].

    Args:
        mask: bool HxW.
        side: height and width of the logits: a quarter of the network's input size.

    Returns:
        float32 1 x side x side.
    """
    height, width = mask.shape
    # area averaging is exact only where it shrinks, so a shorter side is stretched first
    stretched = cv2.resize(mask.astype(np.float32), (max(width, side), max(height, side)))
    share = cv2.resize(stretched, (side, side), interpolation=cv2.INTER_AREA)
    return ((share * 2 - 1) * MASK_PROMPT_LOGIT)[None].astype(np.float32)
