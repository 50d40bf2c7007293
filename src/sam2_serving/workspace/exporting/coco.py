"""One COCO file for all pictures, with run-length codes: holes and islands are exact."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from sam2_serving.masks import encode_rle, tight_box
from sam2_serving.workspace.exporting.archive import Archive
from sam2_serving.workspace.exporting.copies import add_picture
from sam2_serving.workspace.exporting.source import BoolMask, Picture, Source
from sam2_serving.workspace.tables import Figure

NAME = "annotations.json"


def write_coco(source: Source, archive: Archive) -> None:
    """Write `annotations.json`, and the pictures under `images/` if media are wanted."""
    # A zip takes one entry at a time, so both lists wait on the disk until all is known.
    with _list_on_disk(source) as images, _list_on_disk(source) as annotations:
        for entity in source.media():
            for picture in source.pictures(entity):
                archive.check()
                _add(source, archive, picture, images, annotations)
                source.step()
        _put_together(source, archive, images, annotations)


def _add(
    source: Source, archive: Archive, picture: Picture, images: _List, annotations: _List
) -> None:
    image_id = images.count + 1
    images.add(_image(picture, image_id))
    for figure, mask in source.masks(picture):
        annotations.add(_annotation(figure, mask, image_id, annotations.count + 1))
    if source.wish.media:
        add_picture(source, archive, picture)


def _image(picture: Picture, image_id: int) -> dict[str, Any]:
    place = picture.place
    about = {
        "id": image_id,
        "file_name": picture.name,
        "width": place.width,
        "height": place.height,
    }
    if place.entity.kind == "video":
        return about | {"video": place.entity.path, "frame_index": place.meta["frame"]}
    if place.entity.kind == "volume":
        return about | {"volume": place.entity.path, "slice": place.key}
    return about


def _annotation(figure: Figure, mask: BoolMask, image_id: int, number: int) -> dict[str, Any]:
    box = tight_box(mask)
    assert box is not None  # only masks that cover something come here
    x0, y0, x1, y1 = (int(side) for side in box)
    objects = {} if figure.object_id is None else {"object_id": figure.object_id}
    return {
        "id": number,
        "image_id": image_id,
        "category_id": figure.class_id,
        "segmentation": encode_rle(mask),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "figure_id": figure.id,
        "geometry": figure.geometry_type,
        **objects,
    }


def _put_together(source: Source, archive: Archive, images: _List, annotations: _List) -> None:
    categories = [{"id": one.id, "name": one.title} for one in source.classes()]
    with archive.entry(NAME, packed=True) as entry:
        about = {"description": source.here.store.project().name}
        entry.write(f'{{"info": {json.dumps(about)}, "licenses": [],\n'.encode())
        entry.write(f'"categories": {json.dumps(categories)},\n"images": ['.encode())
        archive.copy(images.read(), entry)
        entry.write(b'],\n"annotations": [')
        archive.copy(annotations.read(), entry)
        entry.write(b"]}\n")


@dataclass
class _List:
    file: IO[bytes]
    count: int = field(default=0)

    def add(self, item: dict[str, Any]) -> None:
        self.file.write((",\n" if self.count else "\n").encode() + json.dumps(item).encode())
        self.count += 1

    def read(self) -> IO[bytes]:
        self.file.seek(0)
        return self.file


@contextmanager
def _list_on_disk(source: Source) -> Iterator[_List]:
    with tempfile.TemporaryFile(dir=source.export.folder) as file:
        yield _List(file)
