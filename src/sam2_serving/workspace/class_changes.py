"""Changes of classes: added, renamed, put in order, deleted with their figures, and undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from sam2_serving.workspace.changes import among, forget_old, row_of, swap_fields
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import Change, Figure, MediaObject, ObjectClass, Table

MOST_FIGURES = 20_000
"""Figures that go with their class in one step: all of them are kept for the way back."""


@dataclass(frozen=True)
class Uses:
    """What a class is used for: figures, objects of videos and volumes, and the media of both."""

    figures: int
    objects: int
    entity_ids: frozenset[int]


def uses_of(store: Store, class_id: int) -> Uses:
    """Count what is of a class."""
    with store.reading() as session:
        return _uses(session, class_id)


def add_class(store: Store, key: str, title: str, color: str) -> ObjectClass:
    """Add a class of masks, as a change that can be undone; done once under its key.

    Raises:
        ValueError: there is a class of this name.
    """
    with store.writing() as session:
        known = session.scalars(select(Change).where(Change.key == key)).first()
        ids = known.things.get("class", {}).get("ids", []) if known else []
        there = session.get(ObjectClass, ids[0]) if ids else None
        if there is not None:
            return there
        _check_title(session, title)
        added = ObjectClass(title=title, shape="bitmap", color=color)
        session.add(added)
        session.flush()
        _keep(session, key, things={"class": {"ids": [added.id], "others": []}})
    return added


def alter_class(store: Store, key: str, class_id: int, news: dict[str, Any]) -> None:
    """Give a class another `title` or `color`.

    Raises:
        ValueError: there is another class of this name.
        LookupError: there is no such class.
    """
    with store.writing() as session:
        if session.get(ObjectClass, class_id) is None:
            raise LookupError(f"There is no class {class_id}.")
        if "title" in news:
            _check_title(session, news["title"], but=class_id)
        _keep(session, key, fields=swap_fields(session, {f"class:{class_id}": news}))


def order_classes(store: Store, key: str, ids: Sequence[int]) -> None:
    """Put the classes in an order.

    Raises:
        LookupError: these are not the classes that there are.
    """
    with store.writing() as session:
        there = set(session.scalars(select(ObjectClass.id)))
        if len(ids) != len(there) or set(ids) != there:
            raise LookupError("Other classes came or went meanwhile: look again.")
        # Classes that come later have higher ids, and are last.
        wanted = {
            f"class:{one}": {"position": index} for index, one in enumerate(ids, 1 - len(ids))
        }
        _keep(session, key, fields=swap_fields(session, wanted))


def delete_class(store: Store, key: str, class_id: int, figures: int) -> None:
    """Delete a class with its figures and objects.

    Args:
        store: where.
        key: the page's name for the change.
        class_id: which class.
        figures: as many as the person was told that it has.

    Raises:
        LookupError: there is no such class.
        ValueError: it has another number of figures, or more than can be kept for the way back.
    """
    with store.writing() as session:
        found = session.get(ObjectClass, class_id)
        if found is None:
            raise LookupError(f"There is no class {class_id}.")
        uses = _uses(session, class_id)
        if uses.figures != figures:
            raise ValueError(
                f"The class {found.title!r} has {uses.figures} figures: say that they go with it."
            )
        if uses.figures > MOST_FIGURES:
            raise ValueError(
                f"The class {found.title!r} has {uses.figures} figures, and {MOST_FIGURES} at most "
                "go in one step: delete some first."
            )
        gone = select(Figure).where(Figure.class_id == class_id).order_by(Figure.id)
        rows = _rows(session.scalars(gone))
        objects = _rows(session.scalars(_objects(class_id)))
        session.execute(delete(Figure).where(Figure.class_id == class_id))
        session.execute(delete(MediaObject).where(MediaObject.class_id == class_id))
        classes = _rows(session.scalars(among(ObjectClass, [class_id])))
        session.delete(found)
        things = {
            "class": {"ids": [class_id], "others": classes},
            "object": {"ids": [row["id"] for row in objects], "others": objects},
        }
        _keep(session, key, things=things, rows=rows, entity_ids=sorted(uses.entity_ids))


def _objects(class_id: int) -> Any:
    return select(MediaObject).where(MediaObject.class_id == class_id).order_by(MediaObject.id)


def _uses(session: Session, class_id: int) -> Uses:
    of_class = Figure.class_id == class_id
    figures = session.execute(select(func.count(Figure.id)).where(of_class)).scalar_one()
    objects = list(session.scalars(_objects(class_id)))
    media = set(session.scalars(select(Figure.entity_id).where(of_class).distinct()))
    return Uses(figures, len(objects), frozenset(media | {one.entity_id for one in objects}))


def _rows(found: Iterable[Table]) -> list[dict[str, Any]]:
    return [row_of(one) for one in found]


def _check_title(session: Session, title: str, but: int | None = None) -> None:
    same = select(ObjectClass).where(ObjectClass.title == title, ObjectClass.id != (but or 0))
    if session.scalars(same).first() is not None:
        raise ValueError(f"There is a class {title!r} already.")


def _keep(
    session: Session,
    key: str,
    fields: dict[str, Any] | None = None,
    things: dict[str, Any] | None = None,
    rows: Sequence[dict[str, Any]] = (),
    entity_ids: Sequence[int] = (),
) -> None:
    """Remember a change, so that it can be undone."""
    change = Change(
        key=key,
        entity_ids=list(entity_ids),
        figure_ids=[row["id"] for row in rows],
        others=list(rows),
        added=[],
        classes={},
        fields=fields or {},
        things=things or {},
    )
    session.add(change)
    forget_old(session)
