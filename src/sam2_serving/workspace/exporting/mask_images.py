"""A folder for each picture with a PNG for each figure, and a table of them.

Figures may overlap, so one picture with a number for each could not hold them.
"""

from __future__ import annotations

import csv
import io

import numpy as np

from sam2_serving.masks import tight_box
from sam2_serving.workspace.exporting.archive import Archive
from sam2_serving.workspace.exporting.copies import add_picture
from sam2_serving.workspace.exporting.source import BoolMask, Picture, Source
from sam2_serving.workspace.pictures import encode_png
from sam2_serving.workspace.tables import Figure

TABLE = "metadata.csv"
COLUMNS = ("id", "file", "class", "object", "area", "bbox_x0", "bbox_y0", "bbox_w", "bbox_h")


def write_masks(source: Source, archive: Archive) -> None:
    """Write `masks/<picture>/<figure>.png` (0 and 255) and `metadata.csv` beside them."""
    titles = {one.id: one.title for one in source.classes()}
    for entity in source.media():
        for picture in source.pictures(entity):
            archive.check()
            _write_picture(source, archive, picture, titles)
            if source.wish.media:
                add_picture(source, archive, picture)
            source.step()


def _write_picture(
    source: Source, archive: Archive, picture: Picture, titles: dict[int, str]
) -> None:
    folder = f"masks/{picture.name}"
    rows = []
    for figure, mask in source.masks(picture):
        name = f"{figure.id}.png"
        archive.add_bytes(f"{folder}/{name}", encode_png(mask.astype(np.uint8) * 255))
        rows.append(_row(figure, name, titles.get(figure.class_id, ""), mask))
    if rows:
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(COLUMNS)
        table.writerows(rows)
        archive.add_bytes(f"{folder}/{TABLE}", text.getvalue().encode(), packed=True)


def _row(figure: Figure, name: str, title: str, mask: BoolMask) -> list[object]:
    box = tight_box(mask)
    assert box is not None  # only masks that cover something come here
    x0, y0, x1, y1 = (int(side) for side in box)
    thing = "" if figure.object_id is None else figure.object_id
    return [figure.id, name, title, thing, int(mask.sum()), x0, y0, x1 - x0, y1 - y0]
