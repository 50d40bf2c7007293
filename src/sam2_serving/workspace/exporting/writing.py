"""Writes an export in the form that is asked for."""

from __future__ import annotations

from collections.abc import Callable

from sam2_serving.workspace.context import Workspace
from sam2_serving.workspace.exporting.archive import Archive
from sam2_serving.workspace.exporting.coco import write_coco
from sam2_serving.workspace.exporting.jobs import Export, Form
from sam2_serving.workspace.exporting.mask_images import write_masks
from sam2_serving.workspace.exporting.source import Source
from sam2_serving.workspace.exporting.supervisely import write_supervisely

_WRITERS: dict[Form, Callable[[Source, Archive], None]] = {
    "coco": write_coco,
    "supervisely": write_supervisely,
    "masks": write_masks,
}


def write_export(here: Workspace, export: Export, archive: Archive) -> None:
    """Write all of an export; it is told how far it is.

    Raises:
        Cancelled: it is not wanted any more.
        OSError: it cannot be written.
    """
    source = Source(here, export)
    export.total = source.count()
    _WRITERS[export.wish.form](source, archive)
