"""Changes of figures: done as a whole or not at all, undone and redone as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import Change, Figure, MediaObject, ObjectClass, Table

TABLES: dict[str, type[Table]] = {"class": ObjectClass, "object": MediaObject, "figure": Figure}
"""What a change is about, by name."""

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
        alter: fields of figures that become something else, for example their geometry.
        order: figures of one place, what is on top last: they share out the layers that they have.
    """

    remove: Sequence[int] = ()
    add: Sequence[Figure] = ()
    classify: Mapping[int, int] = field(default_factory=dict)
    alter: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    order: Sequence[int] = ()


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
        LookupError: a figure that would go or become something else is not there, or those that
            would get an order are not on one picture.
    """
    with store.writing() as session:
        known = session.scalars(select(Change).where(Change.key == key)).first()
        if known is not None:
            return known
        going = _figures(session, wish.remove)
        named = [*wish.classify, *wish.alter, *wish.order]
        classified = _figures(session, list(wish.classify))
        change = Change(
            key=key,
            figure_ids=list(wish.remove),
            others=[row_of(one) for one in going],
            classes={},
            added=[],
            entity_ids=sorted(
                {one.entity_id for one in [*going, *_figures(session, named), *wish.add]}
            ),
        )
        session.add(change)
        fields = {f"figure:{number}": dict(news) for number, news in wish.alter.items()}
        for number, layer in _layers(session, wish.order).items():
            fields.setdefault(f"figure:{number}", {})["layer"] = layer
        change.fields = swap_fields(session, fields)
        session.execute(delete(Figure).where(Figure.id.in_(wish.remove)))
        had: dict[str, int] = {}
        for one in classified:
            had |= _classify(session, one, wish.classify[one.id])
        change.classes = had
        _add(session, wish.add, on_objects)
        change.added = [one.id for one in wish.add]
        change.figure_ids = [*change.figure_ids, *change.added]
        forget_old(session)
    return change


def set_done(store: Store, key: str, done: bool) -> Change | None:
    """Undo or redo a change; nothing happens if it is as it should be.

    What became of its figures since then is kept for the way back: nothing a person did is lost.

    Returns:
        The change, or None when it is not known (any more).

    Raises:
        LookupError: a class that its figures had is gone, or one that would go is used by now.
    """
    try:
        with store.writing() as session:
            change = session.scalars(select(Change).where(Change.key == key)).first()
            if change is None or change.done == done:
                return change
            _check_classes(session, change)
            _swap_rows(session, change)
            change.classes = _swap_classes(session, change.classes)
            change.fields = swap_fields(session, change.fields)
            change.done = done
        return change
    except IntegrityError as error:
        raise LookupError(_clash(error)) from error


def _swap_rows(session: Session, change: Change) -> None:
    """Let what came go, and what went come back: what is referred to comes first, and goes last."""
    wanted = {
        "class": change.things.get("class", {"ids": [], "others": []}),
        "object": change.things.get("object", {"ids": [], "others": []}),
        "figure": {"ids": change.figure_ids, "others": change.others},
    }
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in reversed(wanted):
        table, ids = TABLES[name], wanted[name]["ids"]
        rows[name] = [row_of(one) for one in session.scalars(among(table, ids))]
        session.execute(delete(table).where(table.id.in_(ids)))
        session.flush()
    for name, one in wanted.items():
        if one["others"]:
            session.execute(insert(TABLES[name]), one["others"])
    change.others = rows.pop("figure")
    if change.things:
        change.things = {
            name: {"ids": wanted[name]["ids"], "others": rows[name]} for name in change.things
        }


def among(table: type[Table], ids: Sequence[int]) -> Select[Any]:
    """Ask for some rows of a table, in the order of their ids."""
    return select(table).where(table.id.in_(ids)).order_by(table.id)


def _clash(error: IntegrityError) -> str:
    if "UNIQUE" in str(error.orig):
        return "There is another class of this name by now."
    return "The class is used by figures by now."


def swap_fields(
    session: Session, wanted: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Give figures (`figure:7`) and classes (`class:2`) fields; return what these were."""
    had: dict[str, dict[str, Any]] = {}
    for name, fields in wanted.items():
        kind, _, number = name.partition(":")
        one = session.get(TABLES[kind], int(number))
        if one is None:
            continue  # deleted since then
        had[name] = {each: getattr(one, each) for each in fields}
        for each, value in fields.items():
            setattr(one, each, value)
        if isinstance(one, Figure):
            _widen(session, one)
    session.flush()
    return had


def _layers(session: Session, order: Sequence[int]) -> dict[int, int]:
    """Say which layer each figure gets for this order."""
    figures = {one.id: one for one in _figures(session, order)}
    if len({(one.entity_id, one.place) for one in figures.values()}) > 1:
        raise LookupError("Only figures of one picture have an order.")
    layers = sorted(one.id if one.layer is None else one.layer for one in figures.values())
    return dict(zip(order, layers, strict=True))


def _figures(session: Session, ids: Sequence[int]) -> list[Figure]:
    found = list(session.scalars(select(Figure).where(Figure.id.in_(ids))))
    missing = set(ids) - {one.id for one in found}
    if missing:
        raise LookupError(f"There is no figure {min(missing)} any more.")
    return found


def row_of(one: Table) -> dict[str, Any]:
    """Return all fields of a row."""
    return {column.key: getattr(one, column.key) for column in one.__table__.columns}


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
    there |= {row["id"] for row in change.things.get("class", {}).get("others", [])}
    if not {row["class_id"] for row in change.others} | set(change.classes.values()) <= there:
        raise LookupError("A class of these figures was deleted meanwhile.")


def forget_old(session: Session) -> None:
    """Forget the changes that are too old to be undone."""
    session.flush()
    newest = select(Change.id).order_by(Change.id.desc()).limit(KEPT)
    session.execute(delete(Change).where(Change.id.not_in(newest)))
