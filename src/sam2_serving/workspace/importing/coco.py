"""COCO files: images with their figures; frames and slices as this workspace exports them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pycocotools.mask

from sam2_serving.masks import encode_bitmap
from sam2_serving.workspace.importing.bundle import Bundle
from sam2_serving.workspace.importing.incoming import MOST_PIXELS
from sam2_serving.workspace.importing.labels import Found, Item, Label


def find_coco(bundle: Bundle) -> list[PurePosixPath]:
    """Return the JSON files of a bundle that lie where COCO's do, near its top."""
    return [
        name for name in bundle.names if name.suffix.lower() == ".json" and len(name.parts) <= 3
    ]


def read_coco(bundle: Bundle) -> Found:
    """Read the COCO files of a bundle.

    Raises:
        ValueError: there is none, or one cannot be read.
    """
    found = Found()
    known = False
    for name in find_coco(bundle):
        content = bundle.json(name)
        if not isinstance(content, dict) or "images" not in content:
            continue
        known = True
        try:
            _read(bundle, name, content, found)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{name}: not as COCO has it ({error!r})") from error
    if not known:
        raise ValueError("no project of the platform and no COCO file is in it")
    return found


def _read(bundle: Bundle, file: PurePosixPath, content: dict[str, Any], found: Found) -> None:
    titles = {one["id"]: str(one["name"]) for one in content.get("categories", [])}
    found.classes |= {title: None for title in titles.values() if title not in found.classes}
    of_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for one in content.get("annotations", []):
        of_image[one["image_id"]].append(one)
    items = {item.path: item for item in found.items}
    for image in content["images"]:
        path, place = _medium(image)
        entry = _entry(bundle, file, path) if not place else None
        if path not in items:
            items[path] = Item(path, entry)
            found.items.append(items[path])
        size = int(image["height"]), int(image["width"])
        if not 0 < size[0] * size[1] <= MOST_PIXELS:
            raise ValueError(f"{file}: {path} has {size[1]} x {size[0]} pixels")
        for one in of_image[image["id"]]:
            labels = list(_labels(one, place, titles[one["category_id"]], size))
            items[path].labels.extend(labels)
            if not labels:
                found.warn(f"{path}: annotation {one.get('id')} covers nothing, and is left out.")


def _medium(image: dict[str, Any]) -> tuple[PurePosixPath, str]:
    if "video" in image:
        return PurePosixPath(str(image["video"])), f"frame:{int(image['frame_index'])}"
    if "volume" in image:
        return PurePosixPath(str(image["volume"])), str(image["slice"])
    return PurePosixPath(str(image["file_name"])), ""


def _entry(bundle: Bundle, file: PurePosixPath, path: PurePosixPath) -> PurePosixPath | None:
    """Find an image: beside its COCO file, in `images/` there or beside, or by its name alone."""
    around = (file.parent, file.parent.parent)
    places = [folder / inner / path for folder in around for inner in ("", "images")]
    near = next((one for one in places if one in bundle), None)
    alike = [one for one in bundle.names if one.name == path.name] if near is None else []
    return near or (alike[0] if len(alike) == 1 else None)


def _labels(one: dict[str, Any], place: str, title: str, size: tuple[int, int]) -> Iterator[Label]:
    thing = one.get("object_id") if place else None
    segmentation = one.get("segmentation")
    if isinstance(segmentation, dict):
        bitmap = encode_bitmap(_mask(segmentation, size))
        if bitmap is not None:
            origin, data = bitmap
            yield Label(
                place, title, "bitmap", {"bitmap": {"origin": [*origin], "data": data}}, thing
            )
    elif segmentation:
        for ring in segmentation:
            corners = np.floor(np.array(ring, float).reshape(-1, 2)).astype(int)
            corners = np.clip(corners, 0, [size[1] - 1, size[0] - 1])
            points = {"exterior": corners.tolist(), "interior": []}
            yield Label(place, title, "polygon", {"points": points}, thing)
    elif one.get("bbox"):
        x, y, width, height = (float(side) for side in one["bbox"])
        last = [min(int(x + width), size[1]) - 1, min(int(y + height), size[0]) - 1]
        first = [max(int(x), 0), max(int(y), 0)]
        if first[0] <= last[0] and first[1] <= last[1]:
            points = {"exterior": [first, last], "interior": []}
            yield Label(place, title, "rectangle", {"points": points}, thing)


def _mask(
    segmentation: dict[str, Any], size: tuple[int, int]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Decode a run-length code, compressed or not; bool H x W."""
    if tuple(segmentation["size"]) != size:
        raise TypeError("a run-length code is of another size than its image")
    code = segmentation
    if isinstance(code["counts"], list):
        code = pycocotools.mask.frPyObjects(code, *size)
    elif isinstance(code["counts"], str):
        code = {**code, "counts": code["counts"].encode()}
    return np.asarray(pycocotools.mask.decode(code), bool)
