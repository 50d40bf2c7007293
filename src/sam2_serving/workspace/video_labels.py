"""What the store keeps of videos and volumes besides figures: objects and tags."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import Entity, Figure, MediaObject, VideoTag


@dataclass(frozen=True)
class Run:
    """Consecutive frames on which an object has figures of one origin.

    Attributes:
        first: frame.
        last: frame, included.
        human: a person made or changed them; else a model made them.
    """

    first: int
    last: int
    human: bool


def add_objects(store: Store, objects: Sequence[MediaObject]) -> list[int]:
    """Add objects; return their ids."""
    with store.writing() as session:
        session.add_all(objects)
        session.flush()
        return [thing.id for thing in objects]


def objects_of(store: Store, entity_ids: Sequence[int]) -> list[MediaObject]:
    """Return the objects of some media, in the order of their ids."""
    query = select(MediaObject).where(MediaObject.entity_id.in_(entity_ids))
    with store.reading() as session:
        return list(session.scalars(query.order_by(MediaObject.id)))


def objects_of_dataset(store: Store, dataset_id: int) -> list[MediaObject]:
    """Return the objects of a dataset's media, in the order of their ids."""
    held = select(Entity.id).where(Entity.dataset_id == dataset_id, ~Entity.missing)
    query = select(MediaObject).where(MediaObject.entity_id.in_(held))
    with store.reading() as session:
        return list(session.scalars(query.order_by(MediaObject.id)))


def runs_of(store: Store, video_id: int) -> dict[int, list[Run]]:
    """Return where the objects of a video have figures, by object; a person's figure wins."""
    # A long video has a million figures: one row for each would take seconds.
    frames = func.json_group_array(Figure.meta["frame"].as_integer())
    query = (
        select(Figure.object_id, Figure.nn_updated, frames)
        .where(Figure.entity_id == video_id, Figure.object_id.is_not(None))
        .group_by(Figure.object_id, Figure.nn_updated)
        .order_by(Figure.nn_updated.desc())
    )
    human: dict[int, dict[int, bool]] = defaultdict(dict)
    with store.reading() as session:
        for object_id, by_model, packed in session.execute(query):
            human[object_id] |= dict.fromkeys(json.loads(packed), not by_model)
    return {object_id: _runs(frames_of) for object_id, frames_of in human.items()}


def figures_from(store: Store, video_id: int, object_id: int, first: int) -> list[int]:
    """Return the ids of an object's figures on a frame and all later ones, by frame."""
    frame = Figure.meta["frame"].as_integer()
    query = select(Figure.id).where(
        Figure.entity_id == video_id, Figure.object_id == object_id, frame >= first
    )
    with store.reading() as session:
        return list(session.scalars(query.order_by(frame)))


def slices_of(store: Store, volume_id: int) -> dict[int, dict[str, list[int]]]:
    """Return on which slices a volume's objects have figures, by object and plane, in order."""
    places = func.json_group_array(Figure.place.distinct())
    query = (
        select(Figure.object_id, places)
        .where(Figure.entity_id == volume_id, Figure.object_id.is_not(None))
        .group_by(Figure.object_id)
    )
    found: dict[int, dict[str, list[int]]] = {}
    with store.reading() as session:
        for object_id, packed in session.execute(query):
            by_plane: dict[str, list[int]] = defaultdict(list)
            for place in json.loads(packed):
                plane, _, index = place.partition(":")
                by_plane[plane].append(int(index))
            found[object_id] = {plane: sorted(indices) for plane, indices in by_plane.items()}
    return found


def _runs(human: dict[int, bool]) -> list[Run]:
    frames = sorted(human)
    firsts = [one for one in frames if human.get(one - 1) is not human[one]]
    lasts = [one for one in frames if human.get(one + 1) is not human[one]]
    return [Run(first, last, human[first]) for first, last in zip(firsts, lasts, strict=True)]


def add_video_tags(store: Store, tags: Sequence[VideoTag]) -> list[int]:
    """Add tags to videos; return their ids."""
    with store.writing() as session:
        session.add_all(tags)
        session.flush()
        return [tag.id for tag in tags]


def video_tags(store: Store, video_ids: Sequence[int]) -> dict[int, list[VideoTag]]:
    """Return the tags of some videos, by video, in the order of their ids."""
    query = select(VideoTag).where(VideoTag.entity_id.in_(video_ids)).order_by(VideoTag.id)
    found: dict[int, list[VideoTag]] = defaultdict(list)
    with store.reading() as session:
        for tag in session.scalars(query):
            found[tag.entity_id].append(tag)
    return found


def video_tag(store: Store, tag_id: int) -> VideoTag | None:
    """Return a tag of a video."""
    with store.reading() as session:
        return session.get(VideoTag, tag_id)


def remove_video_tag(store: Store, tag_id: int) -> None:
    """Remove a tag of a video."""
    with store.writing() as session:
        tag = session.get(VideoTag, tag_id)
        if tag is not None:
            session.delete(tag)
