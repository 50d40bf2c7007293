"""COCO run-length codes, by pycocotools."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco


class Rle(TypedDict):
    """A compressed COCO run-length code, ready for JSON."""

    size: list[int]
    counts: str


def encode_rle(mask: npt.NDArray[np.bool_]) -> Rle:
    """Encode a mask (bool HxW); `size` is [height, width]."""
    code = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}


def decode_rle(rle: Rle) -> npt.NDArray[np.bool_]:
    """Decode to bool HxW."""
    return np.asarray(coco.decode(dict(rle)), dtype=bool)
