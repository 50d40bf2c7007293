"""Copies of pictures beside their masks."""

from __future__ import annotations

from sam2_serving.workspace.answers import Refusal
from sam2_serving.workspace.exporting.archive import Archive
from sam2_serving.workspace.exporting.source import Picture, Source


def add_picture(source: Source, archive: Archive, picture: Picture) -> None:
    """Add a picture to a zip under `images/`: files as they are, frames and slices as PNG."""
    entity, name = picture.place.entity, f"images/{picture.name}"
    try:
        if entity.kind in ("image", "cloud"):
            archive.add_file(name, source.here.file_of(picture.photo or entity))
        else:
            archive.add_bytes(name, source.content(picture))
    except Refusal as error:
        source.warn(f"{picture.name}: {error.detail}")
