"""Runs nano's parts on windows of the 256-pixel frame.

A 128-pixel window of the frame costs a quarter of the whole. It is encoded exactly as that part of
a whole frame would be (same position codes), so weights trained on windows fit whole images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from train_nano.network import IMAGE_SIZE

STRIDE = 16
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@dataclass(frozen=True)
class Window:
    """A square part of the frame, in pixels; x and y are multiples of 32, side of 64."""

    x: int = 0
    y: int = 0
    side: int = IMAGE_SIZE


@dataclass(frozen=True)
class Prompt:
    """Prompts of one form for P objects.

    Attributes:
        coords: P x K x 2, (x, y) pixels of the window. Boxes are two points and come first.
        labels: P x K: 1 positive, 0 negative, 2 and 3 the corners of a box, -1 no point.
        dense: P x d x h x w, the encoded mask prompt, or None.
    """

    coords: Tensor
    labels: Tensor
    dense: Tensor | None = None

    def on(self, device: torch.device) -> Prompt:
        """The same prompts on a device."""
        dense = None if self.dense is None else self.dense.to(device)
        return Prompt(self.coords.to(device), self.labels.to(device), dense)


@dataclass(frozen=True)
class Answer:
    """What the decoder says to P prompts: token 0 is the single mask, 1 to 3 the alternatives.

    Attributes:
        logits: P x 4 x side/4 x side/4.
        ious: P x 4, predicted.
        presence: P x 1, object score (a logit).
    """

    logits: Tensor
    ious: Tensor
    presence: Tensor

    def best(self, alternatives: bool) -> Tensor:
        """The logits a user gets, P x 1 x h x w: best of three by predicted IoU, or the single."""
        if not alternatives:
            return self.logits[:, :1]
        choice = self.ious[:, 1:].argmax(dim=1) + 1
        rows = torch.arange(len(choice), device=choice.device)
        return self.logits[rows, choice].unsqueeze(1)


def normalised(images: npt.NDArray[np.uint8]) -> Tensor:
    """RGB uint8 B x H x W x 3 as the network's input B x 3 x H x W."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    return (pixels / 255.0 - _MEAN) / _STD


def encode(model: Any, images: Tensor, window: Window) -> list[Tensor]:
    """Features of strides 4, 8 and 16, as the mask decoder takes them, on the network's device."""
    trunk = model.image_encoder.trunk
    cells = IMAGE_SIZE // 4
    codes = trunk._get_pos_embed((cells, cells))
    x0, y0, side = window.x // 4, window.y // 4, window.side // 4
    x = trunk.patch_embed(images.to(model.device)) + codes[:, y0 : y0 + side, x0 : x0 + side]
    levels = []
    for number, block in enumerate(trunk.blocks):
        x = block(x)
        if number in trunk.stage_ends:
            levels.append(x.permute(0, 3, 1, 2))
    fine, middle, coarse = model.image_encoder.neck(levels)[0][:3]
    decoder = model.sam_mask_decoder
    return [decoder.conv_s0(fine), decoder.conv_s1(middle), coarse]


def encode_mask(model: Any, logits: Tensor) -> Tensor:
    """Mask prompt P x 1 x side/4 x side/4 (logits) as dense features P x d x side/16 x side/16."""
    dense: Tensor = model.sam_prompt_encoder.mask_downscaling(logits)
    return dense


def no_mask(model: Any) -> Tensor:
    """The dense feature that stands for "no mask prompt", 1 x d x 1 x 1."""
    feature: Tensor = model.sam_prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    return feature


def decode(
    model: Any, features: list[Tensor], owner: Tensor, prompt: Prompt, window: Window
) -> Answer:
    """Masks for prompts.

    Args:
        model: the network.
        features: from `encode`, without the no-memory embedding.
        owner: P, the image of each prompt.
        prompt: the prompts, on any device.
        window: the part of the frame that the images show.
    """
    owner, prompt = owner.to(model.device), prompt.on(model.device)
    fine, middle, coarse = (level[owner] for level in features)
    coarse = coarse + model.no_mem_embed.view(1, -1, 1, 1)
    corner = torch.tensor([window.x, window.y], dtype=prompt.coords.dtype).to(model.device)
    if prompt.coords.shape[1]:
        sparse, _ = model.sam_prompt_encoder((prompt.coords + corner, prompt.labels), None, None)
    else:
        sparse = coarse.new_zeros(len(owner), 0, coarse.shape[1])
    cells, x0, y0 = window.side // STRIDE, window.x // STRIDE, window.y // STRIDE
    dense = prompt.dense if prompt.dense is not None else no_mask(model)
    dense = dense.expand(len(owner), -1, cells, cells)
    codes = model.sam_prompt_encoder.get_dense_pe()[:, :, y0 : y0 + cells, x0 : x0 + cells]
    logits, ious, _, presence = model.sam_mask_decoder.predict_masks(
        coarse, codes, sparse, dense, False, [fine, middle]
    )
    return Answer(logits, ious, presence)
