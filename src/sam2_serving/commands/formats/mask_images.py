"""A folder for each image with a PNG for each mask, and a table of them.

The layout of Meta's own command for automatic masks. Masks may overlap, so one picture with a
number for each object could not hold them.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sam2_serving.commands.results import SegmentedImage, SegmentedObject
from sam2_serving.commands.run_folder import RunFolder
from sam2_serving.masks import Box, decode_rle

TABLE = "metadata.csv"
COLUMNS = (
    "id", "area", "bbox_x0", "bbox_y0", "bbox_w", "bbox_h", "point_input_x", "point_input_y",
    "predicted_iou", "stability_score", "crop_box_x0", "crop_box_y0", "crop_box_w", "crop_box_h",
    "category", "annotation_id",
)  # fmt: skip


class MaskImages:
    """`photo.jpg` becomes the folder `photo.jpg`: 0.png, 1.png, ... (0 and 255), metadata.csv."""

    def __init__(self, run: RunFolder) -> None:
        """Write into the run's folder."""
        self._run = run

    def place(self, name: str) -> Path:
        """Return the image's folder."""
        return self._run.out / name

    def write(self, image: SegmentedImage) -> None:
        """Write the image's folder."""

        def fill(folder: Path) -> None:
            for number, one in enumerate(image.objects):
                mask = decode_rle(one.shape.rle).astype(np.uint8) * 255
                Image.fromarray(mask).save(folder / f"{number}.png", compress_level=1)
            with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(COLUMNS)
                table.writerows(_row(number, one) for number, one in enumerate(image.objects))

        self._run.write_folder(self.place(image.file.name), fill)

    def finish(self, names: Sequence[str]) -> Path:
        """Return the folder: nothing is about all images."""
        del names
        return self._run.out


def _row(number: int, one: SegmentedObject) -> list[object]:
    x, y = one.point or ("", "")
    score = "" if one.stability_score is None else one.stability_score
    crop = _xywh(one.crop_box) if one.crop_box else [""] * 4
    shape = one.shape
    return [
        number, shape.area, *_xywh(shape.box), x, y, one.predicted_iou, score, *crop,
        one.category.name, "" if one.id is None else one.id,
    ]  # fmt: skip


def _xywh(box: Box) -> list[object]:
    return [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0]
