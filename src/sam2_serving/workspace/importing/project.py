"""Projects in the platform's format: of images, of videos, of volumes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from sam2_serving.project_folders import RESERVED, ROOT_DATASET
from sam2_serving.workspace.importing.bundle import Bundle
from sam2_serving.workspace.importing.labels import Found, Item, Label
from sam2_serving.workspace.volumes import NORMALS

_META = "meta.json"
_ITEMS = {"img": "image", "video": "video", "volume": "volume"}
_COLOR = re.compile("#[0-9a-fA-F]{6}")
_SHAPES = ("bitmap", "polygon", "rectangle", "point")


def is_project(bundle: Bundle) -> bool:
    """Whether a bundle holds a project of the platform."""
    return any(name.name == _META for name in bundle.names)


def read_projects(bundle: Bundle) -> Found:
    """Read all projects of a bundle: media and figures.

    Raises:
        ValueError: a file of a project cannot be read.
    """
    found = Found()
    roots = [name.parent for name in bundle.names if name.name == _META]
    for root in roots:
        try:
            for one in _list(bundle.json(root / _META), "classes"):
                found.classes.setdefault(str(one["title"]), _color(one))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{root / _META}: not as the format has it ({error!r})") from error
        for name in bundle.names:
            if name.parent.name in _ITEMS and name.is_relative_to(root):
                _read_item(bundle, root, name, found)
    return found


def _read_item(bundle: Bundle, root: PurePosixPath, name: PurePosixPath, found: Found) -> None:
    dataset = name.parent.parent
    item = Item(_place(dataset.relative_to(root)) / name.name, name)
    found.items.append(item)
    ann = dataset / "ann" / f"{name.name}.json"
    if ann not in bundle:
        return
    content = bundle.json(ann)
    try:
        kind = _ITEMS[name.parent.name]
        if kind == "image":
            labels = [_label("", one["classTitle"], one, one) for one in _list(content, "objects")]
        else:
            labels = _of_objects(content, kind)
        if content.get("spatialFigures"):
            found.warn(f"{item.path}: masks in three dimensions are left out, those on slices not.")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{ann}: not as the format has it ({error!r})") from error
    for label in labels:
        if label.geometry_type in _SHAPES:
            item.labels.append(label)
        else:
            found.warn(f"{item.path}: a figure of the shape {label.geometry_type} is left out.")


def _of_objects(content: dict[str, Any], kind: str) -> list[Label]:
    titles = {one["key"]: str(one["classTitle"]) for one in _list(content, "objects")}
    if kind == "video":
        places = [(f"frame:{one['index']}", one) for one in _list(content, "frames")]
    else:
        places = [
            (f"{_plane(plane)}:{one['index']}", one)
            for plane in _list(content, "planes")
            for one in _list(plane, "slices")
        ]
    return [
        _label(place, titles[figure["objectKey"]], figure, figure["geometry"], figure["objectKey"])
        for place, one in places
        for figure in _list(one, "figures")
    ]


def _label(
    place: str, title: str, figure: dict[str, Any], geometry: dict[str, Any], thing: Any = None
) -> Label:
    kind = figure.get("geometryType") or ("bitmap" if "bitmap" in geometry else "polygon")
    key = "bitmap" if kind == "bitmap" else "points"
    return Label(
        place,
        str(title),
        kind,
        {key: geometry[key]} if kind in _SHAPES else {},
        thing,
        str(figure.get("description") or ""),
        figure.get("smartToolInput"),
        bool(figure.get("nnCreated", False)),
        bool(figure.get("nnUpdated", False)),
    )


def _plane(plane: dict[str, Any]) -> str:
    x, y, z = (int(plane["normal"][axis]) for axis in "xyz")
    return {one: name for name, one in NORMALS.items()}[x, y, z]


def _color(one: dict[str, Any]) -> str | None:
    color = one.get("color")
    return color.upper() if isinstance(color, str) and _COLOR.fullmatch(color) else None


def _place(dataset: PurePosixPath) -> PurePosixPath:
    """Return the folder of a dataset: what `project_folders.dataset_folder` made of it.

    >>> str(_place(PurePosixPath("cats/datasets/small")))
    'cats/small'
    """
    if dataset == PurePosixPath(ROOT_DATASET):
        return PurePosixPath()
    inside = dataset.parts[::2] if set(dataset.parts[1::2]) == {"datasets"} else dataset.parts
    return PurePosixPath(*(_plain(part) for part in inside))


def _plain(part: str) -> str:
    bare = part.rstrip("_")
    return part[:-1] if part != bare and bare in RESERVED else part


def _list(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = content.get(name) or []
    if not isinstance(value, list):
        raise TypeError(f"{name} is no list")
    return value
