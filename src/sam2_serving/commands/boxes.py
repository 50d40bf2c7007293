"""What `--boxes` names: COCO or the platform's JSON, told apart by what is in it."""

from __future__ import annotations

from pathlib import Path

from sam2_serving.commands.box_files import BoxList, read_json
from sam2_serving.commands.coco_boxes import coco_boxes
from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.supervisely_boxes import supervisely_boxes, supervisely_folder


def read_boxes(path: Path) -> BoxList:
    """Return the boxes of a COCO file, of an annotation of the platform, or of a folder of those.

    Raises:
        UsageError: it cannot be read, is neither, or makes no sense.
    """
    if path.is_dir():
        return supervisely_folder(path)
    content, said = read_json(path)
    if isinstance(said, dict) and "images" in said:
        return coco_boxes(path, content, said)
    if isinstance(said, dict) and "objects" in said:
        return supervisely_boxes(path, content, said)
    raise UsageError(
        f"The boxes {str(path)!r} are neither a COCO file (images, annotations, categories) nor an "
        "annotation of the platform (size, objects)."
    )
