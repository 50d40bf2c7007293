"""One of the masks that were found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sam2_serving.masks import Box, decode_rle, encode_rle
from sam2_serving.masks.rle import Rle
from sam2_serving.model.automatic_settings import OutputMode


@dataclass(frozen=True)
class FoundMask:
    """A mask of the whole image, held as a run-length code of its box.

    Attributes:
        image_size: (height, width).
        box: the smallest round its pixels.
        code: COCO run-length code of the box's pixels.
        area: pixels of the mask.
        predicted_iou: the network's estimate of the mask's quality, 0 to 1.
        stability_score: how little the mask changes when the threshold moves, 0 to 1.
        point: (x, y), the point that the network was asked about.
        crop_box: the crop that it was found in.
    """

    image_size: tuple[int, int]
    box: Box
    code: Rle
    area: int
    predicted_iou: float
    stability_score: float
    point: tuple[float, float]
    crop_box: Box

    def part(self) -> npt.NDArray[np.bool_]:
        """Return the mask inside its box, bool, of the box's size."""
        return decode_rle(self.code)

    def mask(self) -> npt.NDArray[np.bool_]:
        """Return the mask, bool HxW."""
        mask = np.zeros(self.image_size, bool, order="F")
        x0, y0, x1, y1 = (int(side) for side in self.box)
        mask[y0:y1, x0:x1] = self.part()
        return mask

    def rle(self) -> Rle:
        """Return the COCO run-length code of the whole image."""
        return encode_rle(self.mask())

    def record(self, mode: OutputMode = "binary_mask") -> dict[str, Any]:
        """Return the dictionary that Meta's generator gives for a mask.

        `bbox` is x, y and the distance to the last column and row, as there: one less than the
        mask's width and height.
        """
        x0, y0, x1, y1 = (int(side) for side in self.box)
        crop = self.crop_box
        return {
            "segmentation": self._segmentation(mode),
            "area": self.area,
            "bbox": [x0, y0, x1 - 1 - x0, y1 - 1 - y0],
            "predicted_iou": self.predicted_iou,
            "point_coords": [list(self.point)],
            "stability_score": self.stability_score,
            "crop_box": [crop.x0, crop.y0, crop.x1 - crop.x0, crop.y1 - crop.y0],
        }

    def _segmentation(self, mode: OutputMode) -> object:
        if mode == "coco_rle":
            return self.rle()
        if mode == "binary_mask":
            return self.mask()
        return {"size": list(self.image_size), "counts": run_lengths(self.mask())}


def run_lengths(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return how long the runs of a mask (bool HxW) are, column by column, the first one false."""
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    ends = np.concatenate([[0] if pixels[0] else [], changes, [pixels.size]]).astype(np.int64)
    return [int(length) for length in np.diff(ends, prepend=0)]
