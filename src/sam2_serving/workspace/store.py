"""What the workspace keeps in SQLite, and the operations on it.

Every change is committed before the call returns; with SQLite's write-ahead log and full syncs a
killed process loses nothing that was answered.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session, sessionmaker

from sam2_serving.workspace.tables import (
    Dataset,
    Entity,
    Figure,
    MediaObject,
    Member,
    ObjectClass,
    Photo,
    Project,
    TaskField,
)


class Store:
    """The project, its media, classes, figures and members. Safe to use from any thread."""

    def __init__(self, engine: Engine, project_name: str) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        # SQLite has one writer; waiting here is fairer than its busy handler.
        self._write_lock = threading.Lock()
        self._started, self._changes = secrets.token_hex(4), 0
        with self.writing() as session:
            project = session.scalars(select(Project)).first()
            if project is None:
                project = Project(name=project_name)
                session.add(project)
        self.project_id = project.id

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session to read."""
        with self._sessions() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a session that commits at the end, or changes nothing on an error."""
        with self._write_lock:
            with self._sessions.begin() as session:
                before = _rows_changed(session)
                yield session
                session.flush()
                changed = _rows_changed(session) != before
            if changed:
                self._changes += 1

    @property
    def revision(self) -> str:
        """What is another text after every change, and after a start."""
        return f"{self._started}-{self._changes}"

    # Media ------------------------------------------------------------------------------------

    def project(self) -> Project:
        """Return the project."""
        with self.reading() as session:
            return session.get_one(Project, self.project_id)

    def datasets(self) -> list[Dataset]:
        """Return the datasets that hold media now, in the order of their ids."""
        held = select(Entity.dataset_id).where(~Entity.missing)
        with self.reading() as session:
            return list(
                session.scalars(select(Dataset).where(Dataset.id.in_(held)).order_by(Dataset.id))
            )

    def dataset(self, dataset_id: int) -> Dataset | None:
        """Return a dataset."""
        with self.reading() as session:
            return session.get(Dataset, dataset_id)

    def entities(
        self, dataset_ids: Sequence[int] | None = None, kind: str | None = "image"
    ) -> list[Entity]:
        """Return the media of some datasets (None: of all), in the order of their ids.

        Args:
            dataset_ids: of which datasets.
            kind: image, video, volume or cloud; None: of every kind.
        """
        query = select(Entity).where(~Entity.missing).order_by(Entity.id)
        if kind is not None:
            query = query.where(Entity.kind == kind)
        if dataset_ids is not None:
            query = query.where(Entity.dataset_id.in_(dataset_ids))
        with self.reading() as session:
            return list(session.scalars(query))

    def entity(self, entity_id: int, kind: str | None = "image") -> Entity | None:
        """Return a medium, or None when it is unknown, of another kind, or its file is gone."""
        with self.reading() as session:
            entity = session.get(Entity, entity_id)
        if entity is None or entity.missing or kind not in (None, entity.kind):
            return None
        return entity

    def media_of_ids(self, entity_ids: Collection[int]) -> list[Entity]:
        """Return media of any kind, also those whose file is gone."""
        with self.reading() as session:
            return list(session.scalars(select(Entity).where(Entity.id.in_(entity_ids))))

    def entities_by_hash(self, file_hash: str) -> list[Entity]:
        """Return the images with this content."""
        same = select(Entity).where(Entity.hash == file_hash, Entity.kind == "image")
        query = same.where(~Entity.missing).order_by(Entity.id)
        with self.reading() as session:
            return list(session.scalars(query))

    def photos(self, cloud_ids: Sequence[int]) -> list[Photo]:
        """Return the photos of some point clouds, in the order of their ids."""
        query = select(Photo).where(Photo.cloud_id.in_(cloud_ids), ~Photo.missing)
        with self.reading() as session:
            return list(session.scalars(query.order_by(Photo.id)))

    def photo(self, photo_id: int) -> Photo | None:
        """Return a photo, or None when it is unknown or its file is gone."""
        with self.reading() as session:
            photo = session.get(Photo, photo_id)
        return photo if photo and not photo.missing else None

    def figure_counts(self) -> dict[int, int]:
        """Return the number of figures by medium; media without figures are left out."""
        query = select(Figure.entity_id, func.count()).group_by(Figure.entity_id)
        with self.reading() as session:
            return {row[0]: row[1] for row in session.execute(query)}

    # Classes ----------------------------------------------------------------------------------

    def classes(self) -> list[ObjectClass]:
        """Return the classes in the order that people gave them; new ones are last."""
        order = (func.coalesce(ObjectClass.position, ObjectClass.id), ObjectClass.id)
        with self.reading() as session:
            return list(session.scalars(select(ObjectClass).order_by(*order)))

    def add_class(self, title: str, shape: str, color: str) -> ObjectClass | None:
        """Add a class; None when the title is taken."""
        with self.writing() as session:
            if session.scalars(select(ObjectClass).where(ObjectClass.title == title)).first():
                return None
            added = ObjectClass(title=title, shape=shape, color=color)
            session.add(added)
        return added

    # Figures ----------------------------------------------------------------------------------

    def add_figures(self, figures: Sequence[Figure], replace_in: Sequence[int] = ()) -> list[int]:
        """Add figures, after removing all figures of the media `replace_in`; return their ids."""
        with self.writing() as session:
            if replace_in:
                session.execute(delete(Figure).where(Figure.entity_id.in_(replace_in)))
            session.add_all(figures)
            session.flush()
            return [figure.id for figure in figures]

    def add_on_object(self, figure: Figure) -> None:
        """Add a figure of a frame or a slice; without an object it becomes the first of its own."""
        with self.writing() as session:
            if figure.object_id is None:
                thing = MediaObject(entity_id=figure.entity_id, class_id=figure.class_id)
                session.add(thing)
                session.flush()
                figure.object_id = thing.id
            session.add(figure)

    def media_object(self, object_id: int) -> MediaObject | None:
        """Return an object of a video or a volume."""
        with self.reading() as session:
            return session.get(MediaObject, object_id)

    def replace_figure(self, figure_id: int, new: Figure) -> Figure | None:
        """Give a figure the geometry of `new`; None when it is gone.

        Where it is, who made it and when stay; what it was asked for with becomes that of `new`.
        A model's figure that a person changed is a person's.
        """
        with self.writing() as session:
            figure = session.get(Figure, figure_id)
            if figure is None:
                return None
            for field in ("class_id", "geometry_type", "geometry", "bbox", "area"):
                setattr(figure, field, getattr(new, field))
            kept = {key: value for key, value in figure.meta.items() if key != "smartToolInput"}
            figure.meta = {**kept, **new.meta}
            figure.nn_updated = False
        return figure

    def figures(self, entity_ids: Sequence[int], place: str | None = None) -> list[Figure]:
        """Return the figures of some media, or of one place on them; what is on top comes last."""
        order = (func.coalesce(Figure.layer, Figure.id), Figure.id)
        query = select(Figure).where(Figure.entity_id.in_(entity_ids)).order_by(*order)
        if place is not None:
            query = query.where(Figure.place == place)
        with self.reading() as session:
            return list(session.scalars(query))

    def places(self, entity_id: int) -> dict[str, int]:
        """Return the number of figures by place of a medium; places without are left out."""
        query = select(Figure.place, func.count()).where(Figure.entity_id == entity_id)
        with self.reading() as session:
            return {row[0]: row[1] for row in session.execute(query.group_by(Figure.place))}

    def figure(self, figure_id: int) -> Figure | None:
        """Return a figure."""
        with self.reading() as session:
            return session.get(Figure, figure_id)

    def remove_figures(self, figure_ids: Sequence[int]) -> int:
        """Remove figures; return how many there were."""
        with self.writing() as session:
            found = session.scalars(select(Figure).where(Figure.id.in_(figure_ids))).all()
            for figure in found:
                session.delete(figure)
        return len(found)

    # Members and tasks ------------------------------------------------------------------------

    def member(self, token: str) -> Member | None:
        """Return who has this token."""
        with self.reading() as session:
            return session.scalars(
                select(Member).where(Member.token_sha256 == hash_token(token))
            ).first()

    def put_member(self, login: str, token: str, dataset_ids: list[int] | None) -> None:
        """Add a member, or give a known one a new token and new rights."""
        with self.writing() as session:
            member = session.scalars(select(Member).where(Member.login == login)).first()
            if member is None:
                member = Member(login=login, token_sha256="")
                session.add(member)
            member.token_sha256 = hash_token(token)
            member.dataset_ids = dataset_ids

    def remove_member(self, login: str) -> bool:
        """Remove a member; their token is worth nothing from now on."""
        with self.writing() as session:
            member = session.scalars(select(Member).where(Member.login == login)).first()
            if member is not None:
                session.delete(member)
        return member is not None

    def task_fields(self) -> dict[str, Any]:
        """Return the task's data."""
        with self.reading() as session:
            return {field.name: field.payload for field in session.scalars(select(TaskField))}

    def update_task_fields(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Replace the task's data by `change(data)`."""
        with self.writing() as session:
            known = {field.name: field for field in session.scalars(select(TaskField))}
            wanted = change({name: field.payload for name, field in known.items()})
            for name, payload in wanted.items():
                if name in known:
                    known[name].payload = payload
                else:
                    session.add(TaskField(name=name, payload=payload))


def hash_token(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _rows_changed(session: Session) -> int:
    """Return how many rows the connection has changed so far."""
    return int(session.connection().connection.driver_connection.total_changes)  # type: ignore[union-attr]
