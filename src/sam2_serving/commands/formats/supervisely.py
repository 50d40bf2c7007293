"""A project of the platform: `meta.json`, and a data set for each folder of images.

A data set has `img/` with copies of the images and `ann/` with `<image>.json` for each. The images
of a folder inside a folder are a data set inside a data set, under `datasets/`.
"""

from __future__ import annotations

import colorsys
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from sam2_serving.commands.results import Category, SegmentedImage, SegmentedObject
from sam2_serving.commands.run_folder import RunFolder
from sam2_serving.masks import decode_rle, encode_bitmap, find_polygons
from sam2_serving.project_folders import dataset_folder

Geometry = Literal["bitmap", "polygon"]


@dataclass(frozen=True)
class SuperviselyProject:
    """Writes a project.

    Attributes:
        run: where to write.
        categories: all classes.
        geometry: of the objects; a mask of several parts becomes several polygons.
        tolerance: pixels that a polygon may leave the mask's edge by, if that saves corners.
        with_images: whether the images are copied; without them `img/` stays empty.
    """

    run: RunFolder
    categories: Sequence[Category]
    geometry: Geometry
    tolerance: float
    with_images: bool

    def place(self, name: str) -> Path:
        """Return the image's annotation."""
        path = PurePosixPath(name)
        return self._dataset(path.parent) / "ann" / f"{path.name}.json"

    def write(self, image: SegmentedImage) -> None:
        """Write the image's copy and its annotation."""
        annotation = self.place(image.file.name)
        pictures = annotation.parent.parent / "img"
        pictures.mkdir(parents=True, exist_ok=True)
        if self.with_images:
            with self.run.new_file(pictures / image.file.path.name) as partial:
                shutil.copyfile(image.file.path, partial)
        self.run.write_file(annotation, json.dumps(self._annotation(image)).encode())

    def finish(self, names: Sequence[str]) -> Path:
        """Write what the project's classes are; a folder round folders is a data set, too."""
        titles = dict.fromkeys(one.name for one in self.categories)
        meta = {
            "classes": [
                {
                    "title": title,
                    "shape": self.geometry,
                    "color": _color(title),
                    "geometry_config": {},
                    "hotkey": "",
                }
                for title in titles
            ],
            "tags": [],
            "projectType": "images",
        }
        self.run.write_file(self.run.out / "meta.json", json.dumps(meta, indent=1).encode())
        inner = {folder for name in names for folder in PurePosixPath(name).parents[:-1]}
        for folder in inner:
            for part in ("img", "ann"):
                (self._dataset(folder) / part).mkdir(parents=True, exist_ok=True)
        return self.run.out

    def _dataset(self, folder: PurePosixPath) -> Path:
        return self.run.out / dataset_folder(folder)

    def _annotation(self, image: SegmentedImage) -> dict[str, Any]:
        height, width = image.size
        figures = (
            _object(one, geometry) for one in image.objects for geometry in self._geometries(one)
        )
        return {
            "description": "",
            "tags": [],
            "size": {"height": height, "width": width},
            "objects": list(figures),
        }

    def _geometries(self, one: SegmentedObject) -> Iterator[dict[str, Any]]:
        mask = decode_rle(one.shape.rle)
        if self.geometry == "bitmap":
            bitmap = encode_bitmap(mask)
            assert bitmap is not None  # shapes are not empty
            (x, y), data = bitmap
            yield {"bitmap": {"origin": [x, y], "data": data}}
            return
        for polygon in find_polygons(mask, self.tolerance):
            holes = [hole.tolist() for hole in polygon.holes]
            yield {"points": {"exterior": polygon.exterior.tolist(), "interior": holes}}


def _object(one: SegmentedObject, geometry: dict[str, Any]) -> dict[str, Any]:
    kind = "bitmap" if "bitmap" in geometry else "polygon"
    # several polygons may be one object: they cannot share its number
    numbered = one.id is not None and kind == "bitmap"
    return ({"id": one.id} if numbered else {}) | {
        "classTitle": one.category.name,
        "description": "",
        "tags": [],
        "geometryType": kind,
        "shape": kind,
        "nnCreated": True,
        "nnUpdated": True,
        **geometry,
    }


def _color(title: str) -> str:
    """Return a bright colour that a class has in every run, as #RRGGBB."""
    hue = hashlib.sha256(title.encode(errors="surrogateescape")).digest()[0] / 256
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.8, 0.9)
    return "#" + "".join(f"{round(255 * one):02X}" for one in (red, green, blue))
