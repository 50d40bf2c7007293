"""Folders of drawn scenes, and what the command line made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from sam2_serving.masks import decode_rle, tight_box
from sam2_serving.scenes import Scene, draw_scene

SIZE = (160, 120)
AUTO = ["--auto", "--points-per-side", "5", "--pred-iou-thresh", "0.5"]
AUTO += ["--stability-score-thresh", "0.6", "--device", "cpu", "--model", "nano"]
"""Settings at which nano finds some masks in a scene, quickly."""

NAMES = ("b.png", "a b.png", "sub/b.png", "sub/d\u00e9j\u00e0 vu #1 [x].png", "other/deep/b.png")
"""One base name in three folders, and odd characters."""


def draw_folder(folder: Path, names: tuple[str, ...] = NAMES) -> dict[str, Scene]:
    """Draw a different scene into each file."""
    scenes = {}
    for seed, name in enumerate(names):
        scenes[name] = draw_scene(seed, size=SIZE)
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scenes[name].image).save(file)
    return scenes


def coco_masks(file: Path) -> dict[str, list[np.ndarray]]:
    """Return the masks of each image of a COCO file, without pycocotools' own reader."""
    said = json.loads(file.read_text())
    names = {image["id"]: image["file_name"] for image in said["images"]}
    assert len(names) == len(said["images"]) == len(set(names.values())), "each image once"
    masks: dict[str, list[np.ndarray]] = {name: [] for name in names.values()}
    for one in said["annotations"]:
        masks[names[one["image_id"]]].append(decode_rle(one["segmentation"]))
    return masks


def same_masks(one: dict[str, list[np.ndarray]], other: dict[str, list[np.ndarray]]) -> bool:
    """Tell whether all images have the same masks in the same order."""
    return one.keys() == other.keys() and all(
        len(one[name]) == len(other[name])
        and all(np.array_equal(*pair) for pair in zip(one[name], other[name], strict=True))
        for name in one
    )


def coco_boxes_of(scenes: dict[str, Scene]) -> dict[str, object]:
    """Return COCO JSON of the scenes' true boxes; numbers begin anywhere, as in real files."""
    images, annotations = [], []
    for at, (name, scene) in enumerate(scenes.items()):
        images.append({"id": 70 + at, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        for number, mask in enumerate(scene.masks):
            box = tight_box(mask)
            if box is None:
                continue
            annotations.append(
                {
                    "id": 1000 * at + number + 500,
                    "image_id": 70 + at,
                    "category_id": (3, 9)[number % 2],
                    "bbox": [float(s) for s in (box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)],
                }
            )
    categories = [
        {"id": 3, "name": "thing", "supercategory": "all"},
        {"id": 9, "name": "st\u00fcck"},
    ]
    return {"images": images, "annotations": annotations, "categories": categories}
