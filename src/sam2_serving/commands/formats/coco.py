"""One COCO file for all images.

Each image's part is kept by itself until all are done; then the file is put together, one image in
memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from sam2_serving.commands.formats.rle_json import RleJson
from sam2_serving.commands.results import Category, SegmentedImage
from sam2_serving.commands.run_folder import RunFolder


class CocoFile:
    """`annotations.json`, which pycocotools loads."""

    def __init__(self, run: RunFolder, categories: Sequence[Category], numeric_path: str) -> None:
        """Prepare.

        Args:
            run: where to write.
            categories: all classes.
            numeric_path: told in the file.
        """
        self._run = run
        self._categories = categories
        self._numeric_path = numeric_path
        self._parts = RleJson(run, run.hidden / "images")

    def place(self, name: str) -> Path:
        """Return the image's part."""
        return self._parts.place(name)

    def write(self, image: SegmentedImage) -> None:
        """Write the image's part."""
        self._parts.write(image)

    def finish(self, names: Sequence[str]) -> Path:
        """Put the file together; numbers that no boxes file gave count from 1 in this order."""
        target = self._run.out / "annotations.json"
        with self._run.new_file(target) as partial, partial.open("w", encoding="ascii") as file:
            about = {"description": "Segment Anything 2.1", "numeric_path": self._numeric_path}
            file.write(f'{{"info": {json.dumps(about)}, "licenses": [],\n"categories": ')
            classes = [asdict(one) for one in self._categories]
            for one in classes:
                if one["supercategory"] is None:
                    del one["supercategory"]
            file.write(f'{json.dumps(classes)},\n"images": [')
            _write_list(file, (image for image, _ in self._read(names)))
            file.write('],\n"annotations": [')
            _write_list(file, self._annotations(names))
            file.write("]}\n")
        return target

    def _read(self, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        for number, name in enumerate(names, start=1):
            part = json.loads(self.place(name).read_bytes())
            yield {"id": number, **part["image"]}, part["annotations"]

    def _annotations(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        number = 0
        for image, objects in self._read(names):
            for one in objects:
                number += 1
                del one["category"]
                yield {"id": number, "image_id": image["id"], **one}


def _write_list(file: TextIO, items: Iterator[dict[str, Any]]) -> None:
    for at, item in enumerate(items):
        file.write(("," if at else "") + "\n" + json.dumps(item))
