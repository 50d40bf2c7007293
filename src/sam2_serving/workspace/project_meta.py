"""The project's meta in the store: its classes, its tags, its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import (
    Figure,
    MediaObject,
    ObjectClass,
    Project,
    TagMeta,
    VideoTag,
)

_CLASS_FIELDS = ("shape", "color", "hotkey", "description", "geometry_config")
_TAG_FIELDS = ("value_type", "color", "values", "more")


def tag_metas(store: Store) -> list[TagMeta]:
    """Return the kinds of tags in the order of their ids."""
    with store.reading() as session:
        return list(session.scalars(select(TagMeta).order_by(TagMeta.id)))


def replace_meta(
    store: Store,
    classes: Sequence[ObjectClass],
    tags: Sequence[TagMeta],
    settings: dict[str, Any],
) -> None:
    """Make these the project's classes (matched by title) and tags (by name); all or nothing.

    Raises:
        ValueError: a class or a tag that is used would go, or a used tag's values would change
            their type.
    """
    with store.writing() as session:
        _replace_classes(session, classes)
        _replace_tags(session, tags)
        session.get_one(Project, store.project_id).meta_settings = settings


def _replace_classes(session: Session, wanted: Sequence[ObjectClass]) -> None:
    known = {entry.title: entry for entry in session.scalars(select(ObjectClass))}
    used = set(session.scalars(select(Figure.class_id).distinct()))
    of_objects = set(session.scalars(select(MediaObject.class_id).distinct()))
    titles = {entry.title for entry in wanted}
    for title, entry in known.items():
        if title in titles:
            continue
        if entry.id in used or entry.id in of_objects:
            by = "figures" if entry.id in used else "objects"
            raise ValueError(f"The class {title!r} is used by {by}.")
        session.delete(entry)
    for entry in wanted:
        _put(session, known.get(entry.title), entry, _CLASS_FIELDS)


def _replace_tags(session: Session, wanted: Sequence[TagMeta]) -> None:
    known = {entry.name: entry for entry in session.scalars(select(TagMeta))}
    used = set(session.scalars(select(VideoTag.tag_id).distinct()))
    by_name = {entry.name: entry for entry in wanted}
    for name, entry in known.items():
        new = by_name.get(name)
        if entry.id in used and (new is None or new.value_type != entry.value_type):
            raise ValueError(f"The tag {name!r} is used.")
        if new is None:
            session.delete(entry)
    for entry in wanted:
        _put(session, known.get(entry.name), entry, _TAG_FIELDS)


def _put(session: Session, known: Any, wanted: Any, fields: Sequence[str]) -> None:
    if known is None:
        session.add(wanted)
        return
    for field in fields:
        setattr(known, field, getattr(wanted, field))
