"""What is found in an image, before it takes the form of a file."""

from __future__ import annotations

from dataclasses import dataclass

from sam2_serving.commands.inputs import ImageFile
from sam2_serving.masks import Box, encode_rle, tight_box
from sam2_serving.masks.boxes import BoolMask
from sam2_serving.masks.rle import Rle


@dataclass(frozen=True)
class Category:
    """A class of objects, as COCO names it."""

    id: int
    name: str
    supercategory: str | None = None


@dataclass(frozen=True)
class Shape:
    """A mask that is not empty.

    Attributes:
        rle: COCO run-length code of the whole image.
        box: the smallest round its pixels.
        area: in pixels.
    """

    rle: Rle
    box: Box
    area: int

    @classmethod
    def of(cls, mask: BoolMask) -> Shape | None:
        """Return the shape of a mask (bool HxW); None if it is empty."""
        box = tight_box(mask)
        return None if box is None else cls(encode_rle(mask), box, int(mask.sum()))


@dataclass(frozen=True)
class SegmentedObject:
    """An object of an image.

    Attributes:
        shape: its mask.
        category: its class.
        predicted_iou: the network's estimate of the mask's quality, 0 to 1.
        id: of the annotation whose box was asked about, if it has one.
        prompt_box: that box.
        stability_score: how little the mask changes when the threshold moves; automatic masks only.
        point: (x, y) that the network was asked about; automatic masks only.
        crop_box: the crop that it was found in; automatic masks only.
    """

    shape: Shape
    category: Category
    predicted_iou: float
    id: int | None = None
    prompt_box: Box | None = None
    stability_score: float | None = None
    point: tuple[float, float] | None = None
    crop_box: Box | None = None


@dataclass(frozen=True)
class SegmentedImage:
    """All objects of an image.

    Attributes:
        file: the image.
        size: (height, width) in pixels.
        objects: in the order in which they were found, or asked about.
        id: the number that a boxes file gives the image, if it does.
        notes: what a person should know: boxes that gave no mask.
    """

    file: ImageFile
    size: tuple[int, int]
    objects: tuple[SegmentedObject, ...]
    id: int | None = None
    notes: tuple[str, ...] = ()
