"""What the workspace remembers, as SQLAlchemy tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 7
"""Kept in SQLite's `user_version`; raise it with a migration in `database.MIGRATIONS`."""


def now() -> str:
    """Return the time as the platform writes it: UTC, milliseconds, `Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Table(DeclarativeBase):
    """Base of all tables: a number that is never used twice, and two times."""

    __table_args__: Any = {"sqlite_autoincrement": True}  # noqa: RUF012
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[str] = mapped_column(default=now)
    updated_at: Mapped[str] = mapped_column(default=now, onupdate=now)


class Project(Table):
    """The one project of a workspace: its media folder."""

    __tablename__ = "projects"

    name: Mapped[str]
    meta_settings: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Dataset(Table):
    """A folder that holds media."""

    __tablename__ = "datasets"

    path: Mapped[str] = mapped_column(String, unique=True)
    """Relative to the media folder, with forward slashes; "" is the folder itself."""
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")


class Entity(Table):
    """A medium: image, video, volume or point cloud (`kind`)."""

    __tablename__ = "entities"

    kind: Mapped[str] = mapped_column(default="image")
    dataset_id: Mapped[int] = mapped_column(ForeignKey(Dataset.id), index=True)
    path: Mapped[str] = mapped_column(String, unique=True)
    """Relative to the media folder, with forward slashes."""
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(String, index=True)
    """base64(sha256(file))."""
    mime: Mapped[str]
    size: Mapped[int]
    mtime_ns: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What else is known of a video (framesCount, fps, ...) or a volume (meta, type)."""
    missing: Mapped[bool] = mapped_column(default=False)
    """The file is gone; its figures are kept for the day it comes back."""


class Photo(Table):
    """A photo of a point cloud; numbered apart from the media, as on the platform."""

    __tablename__ = "photos"

    cloud_id: Mapped[int] = mapped_column(ForeignKey(Entity.id), index=True)
    path: Mapped[str] = mapped_column(String, unique=True)
    name: Mapped[str]
    hash: Mapped[str]
    mime: Mapped[str]
    size: Mapped[int]
    mtime_ns: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    missing: Mapped[bool] = mapped_column(default=False)


class DoneMark(Table):
    """A person is through with a medium."""

    __tablename__ = "done_marks"
    __table_args__ = (
        UniqueConstraint("of_photo", "number"),
        {"sqlite_autoincrement": True},
    )

    of_photo: Mapped[bool]
    """Photos are numbered apart from the media."""
    number: Mapped[int]


class ObjectClass(Table):
    """A class of the project's meta."""

    __tablename__ = "object_classes"

    title: Mapped[str] = mapped_column(String, unique=True)
    shape: Mapped[str]
    color: Mapped[str]
    hotkey: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    geometry_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    position: Mapped[int | None] = mapped_column(default=None)
    """Where it stands among the classes; None: where its id does."""


class TagMeta(Table):
    """A kind of tag of the project's meta."""

    __tablename__ = "tag_metas"

    name: Mapped[str] = mapped_column(String, unique=True)
    value_type: Mapped[str]
    color: Mapped[str]
    values: Mapped[list[Any] | None] = mapped_column(JSON, nullable=True)
    """What `oneof_string` may be."""
    more: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What else its JSON says, kept as it came."""


class VideoTag(Table):
    """A tag on a video, or on some of its frames."""

    __tablename__ = "video_tags"

    tag_id: Mapped[int] = mapped_column(ForeignKey(TagMeta.id))
    entity_id: Mapped[int] = mapped_column(ForeignKey(Entity.id), index=True)
    first_frame: Mapped[int | None] = mapped_column(default=None)
    """None: the tag is on the whole video."""
    last_frame: Mapped[int | None] = mapped_column(default=None)
    value: Mapped[Any] = mapped_column(JSON, nullable=True)
    is_finished: Mapped[bool] = mapped_column(default=True)
    non_final_value: Mapped[bool] = mapped_column(default=False)
    created_by: Mapped[str]


class MediaObject(Table):
    """One thing in a video or a volume; its figures show it on frames or slices."""

    __tablename__ = "objects"

    entity_id: Mapped[int] = mapped_column(ForeignKey(Entity.id), index=True)
    class_id: Mapped[int] = mapped_column(ForeignKey(ObjectClass.id))


class Figure(Table):
    """One mask (or other geometry) on one medium."""

    __tablename__ = "figures"
    __table_args__ = (
        Index("figures_of_place", "entity_id", "place"),
        {"sqlite_autoincrement": True},
    )

    entity_id: Mapped[int] = mapped_column(ForeignKey(Entity.id))
    class_id: Mapped[int] = mapped_column(ForeignKey(ObjectClass.id))
    object_id: Mapped[int | None] = mapped_column(ForeignKey(MediaObject.id), default=None)
    place: Mapped[str] = mapped_column(String, default="")
    """Where on the medium: "" (an image), `frame:12`, `axial:30`, `photo:3`."""
    geometry_type: Mapped[str]
    geometry: Mapped[dict[str, Any]]
    bbox: Mapped[list[Any]]
    """[top, left, bottom, right], inclusive pixels."""
    area: Mapped[float]
    meta: Mapped[dict[str, Any]] = mapped_column(default=dict)
    tags: Mapped[list[Any]] = mapped_column(default=list)
    description: Mapped[str] = mapped_column(default="")
    nn_created: Mapped[bool] = mapped_column(default=False)
    nn_updated: Mapped[bool] = mapped_column(default=False)
    track_id: Mapped[str | None] = mapped_column(default=None)
    """The run of tracking that made it."""
    layer: Mapped[int | None] = mapped_column(default=None)
    """What has a higher one is drawn over it; None: its id."""
    created_by: Mapped[str]


class Change(Table):
    """Something that was done on the page in one step, and can be undone in one."""

    __tablename__ = "changes"

    key: Mapped[str] = mapped_column(String, unique=True)
    """The page's name for it: the same change that is sent again is done once."""
    done: Mapped[bool] = mapped_column(default=True)
    """False: it was undone."""
    entity_ids: Mapped[list[Any]]
    """The media whose figures it is about."""
    figure_ids: Mapped[list[Any]]
    """The figures that came or went."""
    added: Mapped[list[Any]]
    """Those of them that came."""
    others: Mapped[list[Any]]
    """Rows of these figures on the other side: before it while it is done, else after it."""
    classes: Mapped[dict[str, Any]]
    """Class on the other side, of each `figure:7` and `object:3` that got another."""
    fields: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Other fields on the other side, by `figure:7` or `class:2`."""
    things: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Of the classes and objects (`class`, `object`) that came or went: their `ids`, and their
    rows on the other side (`others`)."""


class TeamFile(Table):
    """A file of the team's storage.

    What was uploaded lies under its hash, never under its name; what a person put into the team
    folder lies there.
    """

    __tablename__ = "team_files"

    path: Mapped[str] = mapped_column(String, unique=True)
    hash: Mapped[str]
    size: Mapped[int]
    mime: Mapped[str]
    put_ns: Mapped[int | None] = mapped_column(default=None)
    """Modification time of a file in the team folder; None: it was uploaded."""


class TaskField(Table):
    """A field of a task's data, as `tasks.data.set` keeps it."""

    __tablename__ = "task_fields"

    name: Mapped[str] = mapped_column(String, unique=True)
    payload: Mapped[Any] = mapped_column(JSON, nullable=True)


class Member(Table):
    """Someone with a token of their own, perhaps limited to some datasets."""

    __tablename__ = "members"

    login: Mapped[str] = mapped_column(String, unique=True)
    token_sha256: Mapped[str] = mapped_column(String, unique=True)
    dataset_ids: Mapped[list[Any] | None] = mapped_column(JSON, nullable=True)
    """None: every dataset."""
