"""What the workspace keeps in SQLite, and the operations on it.

Every change is committed before the call returns; with SQLite's write-ahead log and full syncs a
killed process loses nothing that was answered.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, delete, event, func, select, text
from sqlalchemy.orm import Session, sessionmaker

from sam2_serving.workspace.media import FileStamp, ImageFile, MediaFolder
from sam2_serving.workspace.tables import (
    SCHEMA_VERSION,
    Dataset,
    Entity,
    Figure,
    Member,
    ObjectClass,
    Project,
    Table,
    TaskField,
)


def open_database(path: Path) -> Engine:
    """Open or create the database.

    Raises:
        RuntimeError: the file was written by a newer version of this program.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 15})

    @event.listens_for(engine, "connect")
    def tune(connection: Any, _record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    with engine.begin() as connection:
        found = int(connection.execute(text("PRAGMA user_version")).scalar_one())
        if found > SCHEMA_VERSION:
            raise RuntimeError(
                f"{path} was written by a newer version (schema {found}, known: {SCHEMA_VERSION})."
            )
        Table.metadata.create_all(connection)
        connection.execute(text(f"PRAGMA user_version={SCHEMA_VERSION}"))
    return engine


class Store:
    """The project, its media, classes, figures and members. Safe to use from any thread."""

    def __init__(self, engine: Engine, project_name: str) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        # SQLite has one writer; waiting here is fairer than its busy handler.
        self._write_lock = threading.Lock()
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
        with self._write_lock, self._sessions.begin() as session:
            yield session

    # Media ------------------------------------------------------------------------------------

    def sync_media(self, media: MediaFolder) -> None:
        """Bring the tables up to the folder: new files get new ids, known ones keep theirs."""
        with self.writing() as session:
            known = {entity.path: entity for entity in session.scalars(select(Entity))}
            datasets = {dataset.path: dataset for dataset in session.scalars(select(Dataset))}
            seen = set()
            for path, stamp in media.walk():
                entity = known.get(path)
                if entity is None or _changed(entity, stamp):
                    file = media.describe(path, stamp)
                    if file is None:
                        continue
                    entity = _put(
                        session, entity, file, _dataset_of(session, datasets, media, path)
                    )
                entity.missing = False
                seen.add(path)
            for path, entity in known.items():
                if path not in seen:
                    entity.missing = True
            for dataset in datasets.values():
                dataset.description = media.about(dataset.path)

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
        self, dataset_ids: Sequence[int] | None = None, kind: str = "image"
    ) -> list[Entity]:
        """Return the media of some datasets (None: of all), in the order of their ids."""
        query = select(Entity).where(Entity.kind == kind, ~Entity.missing).order_by(Entity.id)
        if dataset_ids is not None:
            query = query.where(Entity.dataset_id.in_(dataset_ids))
        with self.reading() as session:
            return list(session.scalars(query))

    def entity(self, entity_id: int, kind: str = "image") -> Entity | None:
        """Return a medium, or None when it is unknown, of another kind, or its file is gone."""
        with self.reading() as session:
            entity = session.get(Entity, entity_id)
        return entity if entity and entity.kind == kind and not entity.missing else None

    def entities_by_hash(self, file_hash: str) -> list[Entity]:
        """Return the media with this content."""
        query = select(Entity).where(Entity.hash == file_hash, ~Entity.missing).order_by(Entity.id)
        with self.reading() as session:
            return list(session.scalars(query))

    def figure_counts(self) -> dict[int, int]:
        """Return the number of figures by medium; media without figures are left out."""
        query = select(Figure.entity_id, func.count()).group_by(Figure.entity_id)
        with self.reading() as session:
            return {row[0]: row[1] for row in session.execute(query)}

    # Classes ----------------------------------------------------------------------------------

    def classes(self) -> list[ObjectClass]:
        """Return the classes in the order of their ids."""
        with self.reading() as session:
            return list(session.scalars(select(ObjectClass).order_by(ObjectClass.id)))

    def add_class(self, title: str, shape: str, color: str) -> ObjectClass | None:
        """Add a class; None when the title is taken."""
        with self.writing() as session:
            if session.scalars(select(ObjectClass).where(ObjectClass.title == title)).first():
                return None
            added = ObjectClass(title=title, shape=shape, color=color)
            session.add(added)
        return added

    def replace_classes(self, wanted: Sequence[ObjectClass], settings: dict[str, Any]) -> None:
        """Make `wanted` the project's classes, matched by title.

        Raises:
            ValueError: a class that figures use would go.
        """
        titles = {entry.title for entry in wanted}
        with self.writing() as session:
            used = set(session.scalars(select(Figure.class_id).distinct()))
            kept = {}
            for known in session.scalars(select(ObjectClass)):
                kept[known.title] = known
                if known.title in titles:
                    continue
                if known.id in used:
                    raise ValueError(f"The class {known.title!r} is used by figures.")
                session.delete(known)
            for entry in wanted:
                known_class = kept.get(entry.title)
                if known_class is None:
                    session.add(entry)
                    continue
                for field in ("shape", "color", "hotkey", "description", "geometry_config"):
                    setattr(known_class, field, getattr(entry, field))
            session.get_one(Project, self.project_id).meta_settings = settings

    # Figures ----------------------------------------------------------------------------------

    def add_figures(self, figures: Sequence[Figure], replace_in: Sequence[int] = ()) -> list[int]:
        """Add figures, after removing all figures of the media `replace_in`; return their ids."""
        with self.writing() as session:
            if replace_in:
                session.execute(delete(Figure).where(Figure.entity_id.in_(replace_in)))
            session.add_all(figures)
            session.flush()
            return [figure.id for figure in figures]

    def figures(self, entity_ids: Sequence[int]) -> list[Figure]:
        """Return the figures of some media, in the order of their ids."""
        query = select(Figure).where(Figure.entity_id.in_(entity_ids)).order_by(Figure.id)
        with self.reading() as session:
            return list(session.scalars(query))

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


def _changed(entity: Entity, stamp: FileStamp) -> bool:
    return (entity.size, entity.mtime_ns) != (stamp.size, stamp.mtime_ns)


def _dataset_of(
    session: Session, datasets: dict[str, Dataset], media: MediaFolder, path: str
) -> Dataset:
    folder = path.rpartition("/")[0]
    if folder not in datasets:
        datasets[folder] = Dataset(path=folder, name=folder or media.root.name)
        session.add(datasets[folder])
        session.flush()
    return datasets[folder]


def _put(session: Session, entity: Entity | None, file: ImageFile, dataset: Dataset) -> Entity:
    if entity is None:
        entity = Entity(path=file.path, dataset_id=dataset.id, name=file.path.rpartition("/")[2])
        session.add(entity)
    for field in ("hash", "mime", "size", "mtime_ns", "width", "height"):
        setattr(entity, field, getattr(file, field))
    return entity
