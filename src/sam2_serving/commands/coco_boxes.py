"""Boxes from a COCO file: images, annotations with `bbox` [x, y, width, height], categories."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, StrictStr

from sam2_serving.commands.box_files import BoxList, BoxPrompt, ListedImage, check, digest_of
from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.results import Category
from sam2_serving.masks import Box

Side = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Image(BaseModel):
    id: StrictInt
    file_name: Annotated[StrictStr, Field(min_length=1)]
    width: StrictInt | None = None
    height: StrictInt | None = None


class _Annotation(BaseModel):
    id: StrictInt | None = None
    image_id: StrictInt
    category_id: StrictInt
    bbox: Annotated[list[Side], Field(min_length=4, max_length=4)]


class _Category(BaseModel):
    id: StrictInt
    name: Annotated[StrictStr, Field(min_length=1)]
    supercategory: StrictStr | None = None


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def coco_boxes(path: Path, content: bytes, said: Any) -> BoxList:
    """Read the boxes.

    Args:
        path: named in errors.
        content: of the file.
        said: the JSON in it.

    Raises:
        UsageError: it makes no sense; numbers that are given twice, or belong to nothing.
    """
    coco = check(_Coco, said, path)
    _once("image id", (image.id for image in coco.images), path)
    _once("file name", (image.file_name for image in coco.images), path)
    _once("category id", (category.id for category in coco.categories), path)
    _once("annotation id", (one.id for one in coco.annotations if one.id is not None), path)
    categories = {one.id: Category(one.id, one.name, one.supercategory) for one in coco.categories}
    boxes: dict[int, list[BoxPrompt]] = defaultdict(list)
    images = {image.id for image in coco.images}
    numbered = all(one.id is not None for one in coco.annotations)  # else they would be told twice
    for at, one in enumerate(coco.annotations):
        if one.image_id not in images or one.category_id not in categories:
            what = "image" if one.image_id not in images else "category"
            raise UsageError(f"The boxes {str(path)!r}: annotations.{at} is of an unknown {what}.")
        x, y, width, height = one.bbox
        box = Box(x, y, x + width, y + height)
        number = one.id if numbered else None
        boxes[one.image_id].append(BoxPrompt(box, categories[one.category_id], number))
    listed = tuple(
        ListedImage(image.file_name, _size(image), image.id, tuple(boxes[image.id]))
        for image in coco.images
    )
    return BoxList(listed, tuple(categories.values()), digest_of([content]))


def _size(image: _Image) -> tuple[int, int] | None:
    return (image.width, image.height) if image.width and image.height else None


def _once(what: str, values: Iterable[object], path: Path) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise UsageError(f"The boxes {str(path)!r} have the {what} {twice[0]!r} more than once.")
