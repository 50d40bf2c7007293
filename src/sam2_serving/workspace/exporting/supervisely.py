"""The platform's project format: a project of images, one of videos, one of volumes.

A project of the platform holds one kind of media, so each kind is a project of its own, in a folder
of the zip: `images/`, `videos/`, `volumes/`. Annotations are written as they are read.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import select

from sam2_serving.project_folders import dataset_folder
from sam2_serving.workspace.answers import Refusal
from sam2_serving.workspace.api.annotations import label_json
from sam2_serving.workspace.api.projects import meta_json
from sam2_serving.workspace.api.video_tags import video_tag_json
from sam2_serving.workspace.exporting.archive import Archive
from sam2_serving.workspace.exporting.source import Picture, Source, whole_points
from sam2_serving.workspace.project_meta import tag_metas
from sam2_serving.workspace.tables import Dataset, Entity, Figure
from sam2_serving.workspace.video_labels import objects_of, video_tags
from sam2_serving.workspace.volumes import NORMALS

ITEM_FOLDERS = {"image": "img", "video": "video", "volume": "volume"}
_OF_VOLUMES = frozenset({"volume", "mask", "interpolation"})


@dataclass(frozen=True)
class _Project:
    """One of the zip's projects."""

    source: Source
    archive: Archive
    kind: str
    titles: dict[int, str]

    @property
    def root(self) -> str:
        return f"{self.kind}s"


def write_supervisely(source: Source, archive: Archive) -> None:
    """Write a project for each kind of media that there is."""
    titles = {one.id: one.title for one in source.classes()}
    found = {one.kind for one in source.media()}
    for kind in ITEM_FOLDERS:
        if kind in found:
            _write_project(_Project(source, archive, kind, titles))
    for cloud in source.media("cloud"):
        if source.here.store.places(cloud.id):
            source.warn(f"{cloud.path}: figures on photos of point clouds are not in this format.")
        source.step(source.weight(cloud))


def _write_project(project: _Project) -> None:
    project.archive.add_json(f"{project.root}/meta.json", _meta(project))
    folders = {one.id: PurePosixPath(one.path) for one in _datasets(project.source)}
    used = {folders[one.dataset_id] for one in project.source.media(project.kind)}
    # A folder round folders is a dataset, too, also if it holds nothing itself.
    around = {parent for folder in used for parent in folder.parents if parent.parts}
    for folder in sorted(used | around):
        for part in (ITEM_FOLDERS[project.kind], "ann"):
            project.archive.add_folder(f"{_place(project, folder)}/{part}")
    for entity in project.source.media(project.kind):
        _write_item(project, entity, _place(project, folders[entity.dataset_id]))


def _datasets(source: Source) -> list[Dataset]:
    with source.here.store.reading() as session:
        wanted = Dataset.id.in_(source.wish.dataset_ids)
        return list(session.scalars(select(Dataset).where(wanted)))


def _place(project: _Project, folder: PurePosixPath) -> str:
    reserved = _OF_VOLUMES if project.kind == "volume" else frozenset()
    return f"{project.root}/{dataset_folder(folder, reserved)}"


def _write_item(project: _Project, entity: Entity, folder: str) -> None:
    source, archive = project.source, project.archive
    if source.wish.media:
        try:
            name = f"{folder}/{ITEM_FOLDERS[entity.kind]}/{entity.name}"
            archive.add_file(name, source.here.file_of(entity))
        except (Refusal, OSError) as error:
            # An annotation without its medium would keep the project from being opened.
            source.warn(f"{entity.path} is left out: {getattr(error, 'detail', error)}")
            source.step(source.weight(entity))
            return
    write = {"image": _image, "video": _video, "volume": _volume}[entity.kind]
    with archive.entry(f"{folder}/ann/{entity.name}.json", packed=True) as entry:
        for part in write(project, entity):
            archive.check()
            entry.write(part.encode())


def _meta(project: _Project) -> dict[str, Any]:
    """The project's meta; a class whose figures have several shapes holds any shape."""
    meta = meta_json(project.source.here)
    with project.source.here.store.reading() as session:
        pairs = session.execute(select(Figure.class_id, Figure.geometry_type).distinct()).all()
    shapes: dict[int, set[str]] = {}
    for class_id, shape in pairs:
        shapes.setdefault(class_id, set()).add(shape)
    for one in meta["classes"]:
        if not shapes.get(one["id"], set()) <= {one["shape"]}:
            one["shape"] = "any"
    return {**meta, "projectType": project.root}


def _image(project: _Project, image: Entity) -> Iterator[str]:
    (picture,) = project.source.pictures(image)
    labels = [
        label_json(figure, project.titles[figure.class_id]) | _geometry(figure)
        for figure in project.source.figures(picture.place)
    ]
    size = {"height": image.height, "width": image.width}
    yield json.dumps({"description": "", "tags": [], "size": size, "objects": labels})
    project.source.step()


def _video(project: _Project, video: Entity) -> Iterator[str]:
    store = project.source.here.store
    names = {one.id: one.name for one in tag_metas(store)}
    tags = video_tags(store, [video.id]).get(video.id, [])
    about = {
        "description": "",
        "key": _key("video", video.id),
        "size": {"height": video.height, "width": video.width},
        "framesCount": video.facts["framesCount"],
        "tags": [
            {**video_tag_json(tag), "name": names[tag.tag_id], "key": _key("tag", tag.id)}
            for tag in tags
        ],
        "objects": _objects(project, video),
    }
    yield f'{json.dumps(about)[:-1]}, "frames": ['
    yield from _places(project, project.source.pictures(video))
    yield "]}"


def _volume(project: _Project, volume: Entity) -> Iterator[str]:
    about = {
        "description": "",
        "key": _key("volume", volume.id),
        "tags": [],
        "objects": _objects(project, volume),
        "spatialFigures": [],
        "volumeMeta": volume.facts["meta"],
    }
    yield f'{json.dumps(about)[:-1]}, "planes": ['
    by_plane = {
        plane: list(pictures)
        for plane, pictures in groupby(
            project.source.pictures(volume), lambda one: one.place.key.partition(":")[0]
        )
    }
    for at, (plane, normal) in enumerate(NORMALS.items()):
        name = {"name": plane, "normal": dict(zip("xyz", normal, strict=True))}
        yield f'{", " if at else ""}{json.dumps(name)[:-1]}, "slices": ['
        yield from _places(project, iter(by_plane.get(plane, [])))
        yield "]}"
    yield "]}"


def _places(project: _Project, pictures: Iterator[Picture]) -> Iterator[str]:
    """Yield the frames of a video, or the slices of a plane, with their figures."""
    for at, picture in enumerate(pictures):
        index = int(picture.place.key.partition(":")[2])
        figures = [
            {
                "id": figure.id,
                "key": _key("figure", figure.id),
                "objectKey": _key("object", figure.object_id),
                "geometryType": figure.geometry_type,
                "geometry": _geometry(figure),
                "labelerLogin": figure.created_by,
                "createdAt": figure.created_at,
                "updatedAt": figure.updated_at,
                "nnCreated": figure.nn_created,
                "nnUpdated": figure.nn_updated,
                "trackId": figure.track_id,
            }
            for figure in project.source.figures(picture.place)
        ]
        yield (", " if at else "") + json.dumps({"index": index, "figures": figures})
        project.source.step()


def _objects(project: _Project, entity: Entity) -> list[dict[str, Any]]:
    return [
        {
            "id": thing.id,
            "key": _key("object", thing.id),
            "classTitle": project.titles[thing.class_id],
            "tags": [],
        }
        for thing in objects_of(project.source.here.store, [entity.id])
    ]


def _geometry(figure: Figure) -> dict[str, Any]:
    """A figure's geometry in whole pixels, as files of the format have it."""
    points = figure.geometry.get("points")
    return figure.geometry if points is None else figure.geometry | {"points": whole_points(points)}


def _key(kind: str, number: int | None) -> str:
    """The format names things by keys; the same thing gets the same in every export."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"sam2-serving {kind} {number}").hex
