"""An image encoder that is machine code; `compiled.py` makes and loads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from sam2_serving.model.encoding import Maps
from sam2_serving.model.parts import Parts


@dataclass(frozen=True)
class CompiledEncoder:
    """Machine code in place of `SegmentationModel.feature_maps`.

    Attributes:
        digest: SHA-256 of its file.
        code: gives the maps of 1 x 3 x S x S pixels on the device.
    """

    digest: str
    code: Callable[[Tensor], Sequence[Tensor]]

    def encode(self, pixels: Tensor) -> Parts[Maps]:
        """Run it: one part, for nothing can come in between."""
        yield
        fine, middle, coarsest = self.code(pixels)
        return fine, middle, coarsest
