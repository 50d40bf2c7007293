"""Brings the tables up to the media folder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from sam2_serving.workspace.clouds import photo_folders
from sam2_serving.workspace.media import FileStamp, MediaFile, MediaFolder, kind_of
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import Dataset, Entity, Photo

log = logging.getLogger(__name__)

_FIELDS = ("hash", "mime", "size", "mtime_ns", "width", "height")


@dataclass(frozen=True)
class _Look:
    """What one look into the folder found.

    Attributes:
        paths: of the media, sorted; photos of no point cloud are left out.
        described: what is to be known of those that are new or changed; None: unreadable.
    """

    paths: Sequence[str]
    described: Mapping[str, MediaFile | None]


class MediaSync:
    """Keeps the tables in step with the media folder. Safe to use from any thread."""

    def __init__(self, store: Store, media: MediaFolder) -> None:
        self._store = store
        self._media = media
        self._lock = threading.Lock()
        self._unreadable: dict[str, FileStamp] = {}
        self._strays: set[str] = set()

    def run(self) -> None:
        """Give new files new ids; known ones keep theirs, changed ones get new facts."""
        with self._lock:
            # Read before the tables are locked: saving a figure must not wait for a long video.
            look = self._look()
            with self._store.writing() as session:
                _sync_entities(session, self._media, look)
                session.flush()
                _sync_photos(session, look)

    def is_current(self, row: Entity | Photo) -> bool:
        """Tell whether a medium's file is still the one that was described."""
        try:
            return not _changed(row, self._media.stamp(row.path))
        except OSError:
            return False

    def _look(self) -> _Look:
        found = dict(self._media.walk())
        strays = _strays(found)
        for path in sorted(strays - self._strays):
            log.warning("%s left out: there is no point cloud that it belongs to", path)
        self._strays = strays
        known = self._known()
        paths = [path for path in found if path not in strays]
        changed = [path for path in paths if known.get(path) != found[path]]
        described = {path: self._describe(path, found[path]) for path in changed}
        return _Look(paths, described)

    def _known(self) -> dict[str, FileStamp]:
        with self._store.reading() as session:
            return {
                path: FileStamp(size, mtime_ns)
                for table in (Entity, Photo)
                for path, size, mtime_ns in session.execute(
                    select(table.path, table.size, table.mtime_ns)
                )
            }

    def _describe(self, path: str, stamp: FileStamp) -> MediaFile | None:
        if self._unreadable.get(path) == stamp:
            return None
        file = self._media.describe(path, stamp)
        if file is None:
            self._unreadable[path] = stamp
        return file


def _strays(found: Iterable[str]) -> set[str]:
    """Return the photos that lie where no point cloud's photos belong."""
    folders = {
        folder for path in found if kind_of(path) == "cloud" for folder in photo_folders(path)
    }
    photos = (path for path in found if kind_of(path) == "photo")
    return {path for path in photos if path.rpartition("/")[0] not in folders}


def _sync_entities(session: Session, media: MediaFolder, look: _Look) -> None:
    known = {entity.path: entity for entity in session.scalars(select(Entity))}
    datasets = {dataset.path: dataset for dataset in session.scalars(select(Dataset))}
    seen = set()
    for path in look.paths:
        if kind_of(path) == "photo":
            continue
        entity = known.get(path)
        if path in look.described:
            file = look.described[path]
            if file is None:
                continue
            dataset = _dataset_of(session, datasets, media, path)
            entity = _put(session, entity, file, dataset)
        assert entity is not None  # what is not described is known
        entity.missing = False
        seen.add(path)
    for path, entity in known.items():
        if path not in seen:
            entity.missing = True
    for dataset in datasets.values():
        dataset.description = media.about(dataset.path)


def _sync_photos(session: Session, look: _Look) -> None:
    clouds: dict[str, Entity] = {}
    for entity in session.scalars(select(Entity).where(Entity.kind == "cloud", ~Entity.missing)):
        clouds |= dict.fromkeys(photo_folders(entity.path), entity)
    known = {photo.path: photo for photo in session.scalars(select(Photo))}
    seen = set()
    for path in look.paths:
        cloud = clouds.get(path.rpartition("/")[0])
        if kind_of(path) != "photo" or cloud is None:
            continue
        photo = known.get(path)
        if path in look.described:
            file = look.described[path]
            if file is None:
                continue
            photo = photo or Photo(path=path, name=path.rpartition("/")[2])
            _fill(photo, file)
            session.add(photo)
        assert photo is not None  # what is not described is known
        photo.cloud_id = cloud.id
        photo.missing = False
        seen.add(path)
    for path, photo in known.items():
        if path not in seen:
            photo.missing = True


def _changed(row: Entity | Photo, stamp: FileStamp) -> bool:
    return (row.size, row.mtime_ns) != (stamp.size, stamp.mtime_ns)


def _dataset_of(
    session: Session, datasets: dict[str, Dataset], media: MediaFolder, path: str
) -> Dataset:
    folder = path.rpartition("/")[0]
    if folder not in datasets:
        datasets[folder] = Dataset(path=folder, name=folder or media.root.name)
        session.add(datasets[folder])
        session.flush()
    return datasets[folder]


def _put(session: Session, entity: Entity | None, file: MediaFile, dataset: Dataset) -> Entity:
    if entity is None:
        entity = Entity(path=file.path, dataset_id=dataset.id, name=file.path.rpartition("/")[2])
        session.add(entity)
    entity.kind = file.kind
    entity.facts = file.facts
    _fill(entity, file)
    return entity


def _fill(row: Entity | Photo, file: MediaFile) -> None:
    for field in _FIELDS:
        setattr(row, field, getattr(file, field))
