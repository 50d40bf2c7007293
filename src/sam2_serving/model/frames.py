"""Frames of a video on their way through the image encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from sam2_serving.model.image import PIXEL_MEAN, PIXEL_STD


@dataclass(frozen=True)
class PreparedFrame:
    """A frame in the form that the encoder takes.

    Attributes:
        pixels: 1 x 3 x S x S float32 on the CPU, normalised.
        image_size: (height, width) of the frame in pixels.
    """

    pixels: torch.Tensor
    image_size: tuple[int, int]


@dataclass(frozen=True)
class EncodedFrame:
    """A frame's features, shared by all its objects.

    Attributes:
        maps: per level, finest first: (HW) x 1 x C.
        position: encoding of the coarsest level's positions, alike.
        sizes: (height, width) of each level.
        image_size: (height, width) of the frame in pixels.
    """

    maps: list[torch.Tensor]
    position: torch.Tensor
    sizes: list[tuple[int, int]]
    image_size: tuple[int, int]


def prepare_frame(frame: npt.NDArray[np.uint8], side: int) -> PreparedFrame:
    """Resize a frame as upstream's video loader does (PIL, bicubic), and normalise it.

    Args:
        frame: uint8 HxWx3, RGB.
        side: S, the width and height that the network takes.
    """
    resized = np.asarray(Image.fromarray(frame).resize((side, side)))
    channels = np.ascontiguousarray(resized.transpose(2, 0, 1))
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    normal = (channels / np.float32(255) - mean) / std
    return PreparedFrame(torch.from_numpy(normal)[None], (frame.shape[0], frame.shape[1]))
