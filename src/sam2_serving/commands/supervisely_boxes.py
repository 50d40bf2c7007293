"""Boxes from annotations of the platform: rectangles of one JSON file, or of a folder of them.

A file is named after its image: `photo.jpg.json`. In a folder they may lie as in a project, where
`ann/` stands beside `img/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, StrictStr

from sam2_serving.commands.box_files import (
    BoxList,
    BoxPrompt,
    ListedImage,
    check,
    digest_of,
    read_json,
)
from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.results import Category
from sam2_serving.masks import Box

RECTANGLE = "rectangle"
NO_ANNOTATIONS = {"meta.json", "obj_class_to_machine_color.json"}
"""Files of a project that stand beside its annotations."""

Side = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Corner = Annotated[list[Side], Field(min_length=2, max_length=2)]


class _Size(BaseModel):
    height: StrictInt
    width: StrictInt


class _Points(BaseModel):
    exterior: list[Corner] = []


class _Object(BaseModel):
    classTitle: Annotated[StrictStr, Field(min_length=1)]
    id: StrictInt | None = None
    classId: StrictInt | None = None
    geometryType: StrictStr | None = None
    shape: StrictStr | None = None
    points: _Points | None = None

    @property
    def is_rectangle(self) -> bool:
        return (self.geometryType or self.shape) == RECTANGLE


class _Annotation(BaseModel):
    size: _Size
    objects: list[_Object]


def supervisely_boxes(path: Path, content: bytes, said: Any) -> BoxList:
    """Read the boxes of one annotation; errors as of `supervisely_folder`."""
    annotation = check(_Annotation, said, path)
    return _boxes([(path, path.name, annotation)], [content])


def supervisely_folder(folder: Path) -> BoxList:
    """Read the annotations in a folder and below.

    Raises:
        UsageError: there are none, or one makes no sense.
    """
    annotations, contents = [], []
    for path in sorted(folder.rglob("*.json")):
        below = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in below.parts[:-1])
        if hidden or path.name in NO_ANNOTATIONS or not path.is_file():
            continue
        content, said = read_json(path)
        name = below.as_posix()
        annotations.append((path, name, check(_Annotation, said, path)))
        contents += [name.encode(errors="surrogateescape"), content]
    if not annotations:
        raise UsageError(f"There are no annotations (*.json) in the folder {str(folder)!r}.")
    return _boxes(annotations, contents)


def _boxes(annotations: Sequence[tuple[Path, str, _Annotation]], contents: list[bytes]) -> BoxList:
    everything = [one for _, _, annotation in annotations for one in annotation.objects]
    rectangles = [one for one in everything if one.is_rectangle]
    categories = _categories(rectangles)
    ids = Counter(one.id for one in rectangles)
    unique = None not in ids and all(count == 1 for count in ids.values())
    listed = [
        ListedImage(
            _image_name(name),
            (annotation.size.width, annotation.size.height),
            None,
            tuple(
                BoxPrompt(_box(one, path), categories[one.classTitle], one.id if unique else None)
                for one in annotation.objects
                if one.is_rectangle
            ),
        )
        for path, name, annotation in annotations
    ]
    passed_over = len(everything) - len(rectangles)
    return BoxList(tuple(listed), tuple(categories.values()), digest_of(contents), passed_over)


def _categories(objects: Sequence[_Object]) -> dict[str, Category]:
    """Return the classes by name, with the platform's numbers if all have different ones."""
    numbers = {(one.classTitle, one.classId) for one in objects}
    titles = sorted({one.classTitle for one in objects})
    given = {title: number for title, number in numbers if number is not None}
    if len(numbers) == len(titles) == len(set(given.values())):
        return {title: Category(given[title], title) for title in titles}
    return {title: Category(at, title) for at, title in enumerate(titles, start=1)}


def _box(one: _Object, path: Path) -> Box:
    corners = one.points.exterior if one.points else []
    if len(corners) != 2:
        raise UsageError(
            f"The boxes {str(path)!r}: a rectangle of class {one.classTitle!r} has "
            f"{len(corners)} corners in points.exterior; it needs 2."
        )
    return Box.from_inclusive(*corners[0], *corners[1])


def _image_name(name: str) -> str:
    """Return `dataset/photo.jpg` for `dataset/ann/photo.jpg.json`."""
    place = PurePosixPath(name.removesuffix(".json"))
    inside = place.parent.parent if place.parent.name == "ann" else place.parent
    return (inside / place.name).as_posix()
