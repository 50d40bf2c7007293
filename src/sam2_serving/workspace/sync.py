"""Brings the tables up to the media folder."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from sam2_serving.workspace.clouds import photo_folders
from sam2_serving.workspace.media import FileStamp, MediaFile, MediaFolder, kind_of
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import Dataset, Entity, Photo

log = logging.getLogger(__name__)

_FIELDS = ("hash", "mime", "size", "mtime_ns", "width", "height")


def sync_media(store: Store, media: MediaFolder) -> None:
    """Give new files new ids; known ones keep theirs, changed ones get new facts."""
    found = list(media.walk())
    with store.writing() as session:
        _sync_entities(session, media, [one for one in found if kind_of(one[0]) != "photo"])
        session.flush()
        _sync_photos(session, media, [one for one in found if kind_of(one[0]) == "photo"])


def _sync_entities(
    session: Session, media: MediaFolder, found: Iterable[tuple[str, FileStamp]]
) -> None:
    known = {entity.path: entity for entity in session.scalars(select(Entity))}
    datasets = {dataset.path: dataset for dataset in session.scalars(select(Dataset))}
    seen = set()
    for path, stamp in found:
        entity = known.get(path)
        if entity is None or _changed(entity, stamp):
            file = media.describe(path, stamp)
            if file is None:
                continue
            dataset = _dataset_of(session, datasets, media, path)
            entity = _put(session, entity, file, dataset)
        entity.missing = False
        seen.add(path)
    for path, entity in known.items():
        if path not in seen:
            entity.missing = True
    for dataset in datasets.values():
        dataset.description = media.about(dataset.path)


def _sync_photos(
    session: Session, media: MediaFolder, found: Iterable[tuple[str, FileStamp]]
) -> None:
    clouds: dict[str, Entity] = {}
    for entity in session.scalars(select(Entity).where(Entity.kind == "cloud", ~Entity.missing)):
        clouds |= dict.fromkeys(photo_folders(entity.path), entity)
    known = {photo.path: photo for photo in session.scalars(select(Photo))}
    seen = set()
    for path, stamp in found:
        cloud = clouds.get(path.rpartition("/")[0])
        if cloud is None:
            log.warning("%s left out: there is no point cloud that it belongs to", path)
            continue
        photo = known.get(path)
        if photo is None or _changed(photo, stamp):
            file = media.describe(path, stamp)
            if file is None:
                continue
            photo = photo or Photo(path=path, name=path.rpartition("/")[2])
            _fill(photo, file)
            session.add(photo)
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
