"""Changes of figures: done as a whole or not at all, undone and redone as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import Change, Figure, MediaObject, ObjectClass

KEPT = 500
"""So many changes can be undone; older ones are forgotten."""


@dataclass(frozen=True)
class Wish:
    """What a change does.

    Attributes:
        remove: figures that go.
        add: figures that come. One of a frame or a slice that has no object yet becomes the first
            of a new one.
        classify: the new class of figures. All figures of an object are of one class: where a
            figure has an object, that gets the class, and with it all its figures.
    """

    remove: Sequence[int] = ()
    add: Sequence[Figure] = ()
    classify: Mapping[int, int] = field(default_factory=dict)


def find_change(store: Store, key: str) -> Change | None:
    """Return a change by the page's name for it."""
    with store.reading() as session:
        return session.scalars(select(Change).where(Change.key == key)).first()


def make_change(store: Store, key: str, wish: Wish, on_objects: frozenset[int]) -> Change:
    """Do a change; one that was done under this key already is returned as it is.

    A class that gets a figure of another shape than its own holds any shape from then on.

    Args:
        store: where.
        key: the page's name for it.
        wish: what to do.
        on_objects: media whose figures belong to objects.

    Raises:
        LookupError: a figure that would go or get a class is not there.
    """
    with store.writing() as session:
        known = session.scalars(select(Change).where(Change.key == key)).first()
        if known is not None:
            return known
        going = _figures(session, wish.remove)
        classified = _figures(session, list(wish.classify))
        change = Change(
            key=key,
            figure_ids=list(wish.remove),
            others=[_row(one) for one in going],
            classes={},
            added=[],
            entity_ids=sorted({one.entity_id for one in [*going, *classified, *wish.add]}),
        )
        session.add(change)
        session.execute(delete(Figure).where(Figure.id.in_(wish.remove)))
        had: dict[str, int] = {}
        for one in classified:
            had |= _classify(session, one, wish.classify[one.id])
        change.classes = had
        _add(session, wish.add, on_objects)
        change.added = [one.id for one in wish.add]
        change.figure_ids = [*change.figure_ids, *change.added]
        _forget_old(session)
    return change


def set_done(store: Store, key: str, done: bool) -> Change | None:
    """Undo or redo a change; nothing happens if it is as it should be.

    What became of its figures since then is kept for the way back: nothing a person did is lost.

    Returns:
        The change, or None when it is not known (any more).

    Raises:
        LookupError: a class that its figures had is gone.
    """
    with store.writing() as session:
        change = session.scalars(select(Change).where(Change.key == key)).first()
        if change is None or change.done == done:
            return change
        _check_classes(session, change)
        here = session.scalars(select(Figure).where(Figure.id.in_(change.figure_ids)))
        rows = [_row(one) for one in here]
        session.execute(delete(Figure).where(Figure.id.in_(change.figure_ids)))
        if change.others:
            session.execute(insert(Figure), change.others)
        change.others = rows
        change.classes = _swap_classes(session, change.classes)
        change.done = done
    return change


def _figures(session: Session, ids: Sequence[int]) -> list[Figure]:
    found = list(session.scalars(select(Figure).where(Figure.id.in_(ids))))
    missing = set(ids) - {one.id for one in found}
    if missing:
        raise LookupError(f"There is no figure {min(missing)} any more.")
    return found


def _row(figure: Figure) -> dict[str, Any]:
    return {column.key: getattr(figure, column.key) for column in Figure.__table__.columns}


def _add(session: Session, figures: Sequence[Figure], on_objects: frozenset[int]) -> None:
    for figure in figures:
        if figure.entity_id in on_objects and figure.object_id is None:
            thing = MediaObject(entity_id=figure.entity_id, class_id=figure.class_id)
            session.add(thing)
            session.flush()
            figure.object_id = thing.id
    session.add_all(figures)
    session.flush()
    for figure in figures:
        _widen(session, figure)


def _widen(session: Session, figure: Figure) -> None:
    """Let the class of a figure hold its shape."""
    owner = session.get_one(ObjectClass, figure.class_id)
    if owner.shape not in (figure.geometry_type, "any"):
        owner.shape = "any"


def _classify(session: Session, figure: Figure, class_id: int) -> dict[str, int]:
    """Give a figure, or its object with all its figures, a class; return what had another."""
    if figure.object_id is None:
        return _swap_classes(session, {f"figure:{figure.id}": class_id})
    of_object = select(Figure.id).where(Figure.object_id == figure.object_id)
    wanted = {f"figure:{one}": class_id for one in session.scalars(of_object)}
    return _swap_classes(session, {f"object:{figure.object_id}": class_id, **wanted})


def _swap_classes(session: Session, wanted: Mapping[str, int]) -> dict[str, int]:
    """Give figures and objects classes; return those that they had."""
    had: dict[str, int] = {}
    for name, class_id in wanted.items():
        kind, _, number = name.partition(":")
        one: Figure | MediaObject | None
        if kind == "figure":
            one = session.get(Figure, int(number))
        else:
            one = session.get(MediaObject, int(number))
        if one is None:
            continue  # deleted since then
        had[name], one.class_id = one.class_id, class_id
        if isinstance(one, Figure):
            _widen(session, one)
    return had


def _check_classes(session: Session, change: Change) -> None:
    there = set(session.scalars(select(ObjectClass.id)))
    if not {row["class_id"] for row in change.others} | set(change.classes.values()) <= there:
        raise LookupError("A class of these figures was deleted meanwhile.")


def _forget_old(session: Session) -> None:
    session.flush()
    newest = select(Change.id).order_by(Change.id.desc()).limit(KEPT)
    session.execute(delete(Change).where(Change.id.not_in(newest)))
