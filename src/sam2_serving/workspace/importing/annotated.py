"""Brings media with their annotations into the workspace."""

from __future__ import annotations

import shutil
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from sam2_serving.workspace.answers import BadRequest, Refusal
from sam2_serving.workspace.api.figures import LabelContent, new_figure
from sam2_serving.workspace.browser_figures import MaskLabel
from sam2_serving.workspace.changes import Wish, make_change
from sam2_serving.workspace.context import Caller, Workspace
from sam2_serving.workspace.importing.bundle import Bundle
from sam2_serving.workspace.importing.coco import read_coco
from sam2_serving.workspace.importing.incoming import Incoming
from sam2_serving.workspace.importing.labels import Found, Item
from sam2_serving.workspace.importing.names import plain_path
from sam2_serving.workspace.importing.project import is_project, read_projects
from sam2_serving.workspace.places import place_of
from sam2_serving.workspace.tables import Entity, Figure, MediaObject, ObjectClass
from sam2_serving.workspace.video_labels import add_objects

_COLORS = ("#4F5BD5", "#1FA463", "#E07A1F", "#B03FC4", "#D93A3A", "#1B9AAA", "#C2A000", "#7A5C3E")


@dataclass
class Brought:
    """What became of a bundle.

    Attributes:
        media: new files in the media folder.
        known: files that were there already.
        figures: that were added.
        warnings: what was left out, in sentences.
    """

    media: int = 0
    known: int = 0
    figures: int = 0
    warnings: list[str] = field(default_factory=list)


def bring(
    file: BinaryIO, key: str, base: PurePosixPath, caller: Caller, here: Workspace, most_bytes: int
) -> Brought:
    """Bring in what a zip holds: a project of the platform, or images with a COCO file.

    Media that have figures already keep them, and get none. All figures come in one change.

    Args:
        file: the zip.
        key: names the change, to be undone by.
        base: the folder for the media, relative to the media folder.
        caller: who brings it.
        here: the workspace.
        most_bytes: that it may unpack to.

    Raises:
        BadRequest: nothing in it can be used; nothing is changed then.
    """
    try:
        with Bundle(file, most_bytes) as bundle:
            found = read_projects(bundle) if is_project(bundle) else read_coco(bundle)
            return _Bringing(bundle, found, base, caller, here).run(key)
    except ValueError as error:
        raise BadRequest(str(error)) from error


@dataclass
class _Bringing:
    bundle: Bundle
    found: Found
    base: PurePosixPath
    caller: Caller
    here: Workspace
    told: Brought = field(default_factory=Brought)

    def run(self, key: str) -> Brought:
        paths = [self._keep(item) for item in self.found.items]
        self.here.sync.run()
        store = self.here.store
        seen = [one.id for one in store.datasets() if self.caller.sees(one.id)]
        media = {one.path: one for one in store.entities(seen, kind=None)}
        classes = self._classes()
        counts = store.figure_counts()
        figures: list[Figure] = []
        for item, path in zip(self.found.items, paths, strict=True):
            entity = media.get(path) if path is not None else None
            if not item.labels:
                continue
            if entity is None:
                self.found.warn(
                    f"{item.path}: this medium is not there, so its figures are left out."
                )
            elif counts.get(entity.id):
                self.found.warn(f"{item.path}: it has figures already, and keeps those.")
            else:
                figures += self._figures(item, entity, classes)
        if figures:
            make_change(store, key, Wish(add=figures), frozenset())
        self.told.figures = len(figures)
        self.told.warnings = self.found.warnings
        return self.told

    def _keep(self, item: Item) -> str | None:
        """Put an item's file into the media folder; return where it lies."""
        if item.entry is None:
            inside = self.base / item.path
            there = (self.here.media.root / inside).is_file()
            return str(inside if there else item.path)
        try:
            with Incoming(self.here.media, self.base / plain_path(str(item.path))) as incoming:
                with self.bundle.open(item.entry) as entry:
                    shutil.copyfileobj(entry, incoming.file, 1 << 20)
                kept = incoming.keep()
        except (ValueError, OSError) as error:
            self.found.warn(f"{item.path}: not taken ({error}).")
            return None
        if kept.new:
            self.told.media += 1
        else:
            self.told.known += 1
        return kept.path

    def _classes(self) -> dict[str, ObjectClass]:
        """Return classes by title, as ones of any shape; those that are missing are added."""
        store = self.here.store
        there = {one.title for one in store.classes()}
        for number, (title, color) in enumerate(self.found.classes.items()):
            if title not in there:
                store.add_class(title, "any", color or _COLORS[number % len(_COLORS)])
        return {
            one.title: ObjectClass(id=one.id, title=one.title, color=one.color, shape="any")
            for one in store.classes()
        }

    def _figures(self, item: Item, entity: Entity, classes: dict[str, ObjectClass]) -> list[Figure]:
        figures = []
        objects: dict[Hashable, int] = {}
        has_objects = entity.kind in ("video", "volume")
        for number, one in enumerate(item.labels):
            try:
                label = MaskLabel(
                    description=one.description,
                    nnCreated=one.nn_created,
                    nnUpdated=one.nn_updated,
                    smartToolInput=one.prompt,
                )
                content = LabelContent(one.geometry_type, one.geometry, label)
                owner = classes[one.class_title]
                place = place_of(entity, one.place, None)
                figure = new_figure(self.caller, place, owner, content, str(item.path), True)
            except (Refusal, KeyError, ValueError) as error:
                words: Any = getattr(error, "detail", error)
                self.found.warn(f"{item.path}: a figure is left out: {words}")
                continue
            if has_objects:
                thing = number if one.thing is None else ("object", one.thing, owner.id)
                if thing not in objects:
                    new = MediaObject(entity_id=entity.id, class_id=owner.id)
                    (objects[thing],) = add_objects(self.here.store, [new])
                figure.object_id = objects[thing]
            figures.append(figure)
        return figures
