"""A JSON file for each image, with COCO's run-length codes: the layout of the SA-1B data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam2_serving.commands.results import SegmentedImage, SegmentedObject
from sam2_serving.commands.run_folder import RunFolder
from sam2_serving.masks import Box


class RleJson:
    """`photo.jpg` becomes `photo.jpg.json`, in the same folders as the images."""

    def __init__(self, run: RunFolder, folder: Path) -> None:
        """Write into `folder`, with the means of the run."""
        self._run = run
        self._folder = folder

    def place(self, name: str) -> Path:
        """Return the image's file."""
        return self._folder / f"{name}.json"

    def write(self, image: SegmentedImage) -> None:
        """Write the image's file."""
        self._run.write_file(self.place(image.file.name), json.dumps(image_record(image)).encode())

    def finish(self, names: Sequence[str]) -> Path:
        """Return the folder: nothing is about all images."""
        del names
        return self._folder


def image_record(image: SegmentedImage) -> dict[str, Any]:
    """Return `image` and its `annotations`; ids are those of the boxes file, or left out."""
    height, width = image.size
    about: dict[str, Any] = {"file_name": image.file.name, "width": width, "height": height}
    if image.id is not None:
        about = {"id": image.id, **about}
    return {"image": about, "annotations": [_annotation(one) for one in image.objects]}


def _annotation(one: SegmentedObject) -> dict[str, Any]:
    record: dict[str, Any] = {} if one.id is None else {"id": one.id}
    record |= {
        "category_id": one.category.id,
        "category": one.category.name,
        "segmentation": one.shape.rle,
        "bbox": _xywh(one.shape.box),
        "area": one.shape.area,
        "iscrowd": 0,
        "predicted_iou": one.predicted_iou,
    }
    if one.stability_score is not None:
        record["stability_score"] = one.stability_score
    if one.point is not None:
        record["point_coords"] = [list(one.point)]
    if one.crop_box is not None:
        record["crop_box"] = _xywh(one.crop_box)
    if one.prompt_box is not None:
        record["prompt_box"] = _xywh(one.prompt_box)
    return record


def _xywh(box: Box) -> list[float]:
    return [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0]
