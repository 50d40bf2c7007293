"""Frames of a video that came with the request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam2_serving.images import decode_image

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FrameLimits:
    """What a frame may be at most: bytes of its file, pixels."""

    bytes: int
    pixels: int


@dataclass(frozen=True)
class FileFrames:
    """Picture files by frame index. Implements the engine's `Frames`; decodes when asked."""

    files: Mapping[int, bytes]
    limits: FrameLimits

    def frame(self, index: int) -> Frame:
        """Decode one frame, uint8 HxWx3, RGB; raises UnreadableImage or ImageTooLarge."""
        return decode_image(self.files[index], self.limits.pixels)

    def run(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Decode frames one after the other."""
        return (self.frame(index) for index in indices)
