"""Places: where a figure can be. An image is one place; a video has one for each frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sam2_serving.workspace.answers import NotFound
from sam2_serving.workspace.tables import Entity, Photo
from sam2_serving.workspace.volumes import NORMALS, plane_size


@dataclass(frozen=True)
class Place:
    """One picture that figures can be on.

    Attributes:
        entity: the medium; a photo's figures belong to its point cloud.
        key: which picture of the medium: "" (an image), `frame:12`, `axial:30`, `photo:3`.
        width: of the picture, pixels.
        height: of the picture, pixels.
        meta: what the platform's figures say of it.
    """

    entity: Entity
    key: str
    width: int
    height: int
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def has_objects(self) -> bool:
        """Whether figures here belong to objects that are on other places too."""
        return self.entity.kind in ("video", "volume")


def image_place(image: Entity) -> Place:
    """Return the one place of an image."""
    return Place(image, "", image.width, image.height)


def frame_place(video: Entity, frame: int) -> Place:
    """Return a frame's place, or refuse with 404."""
    if not 0 <= frame < int(video.facts["framesCount"]):
        raise NotFound(f"There is no frame {frame} in video {video.id}.")
    return Place(video, f"frame:{frame}", video.width, video.height, {"frame": frame})


def slice_place(volume: Entity, plane: str, index: int) -> Place:
    """Return a slice's place, or refuse with 404."""
    if plane not in NORMALS:
        raise NotFound(f"There is no plane {plane!r}: planes are {', '.join(NORMALS)}.")
    width, height, count = plane_size(plane, volume.facts["meta"])
    if not 0 <= index < count:
        raise NotFound(f"There is no {plane} slice {index} in volume {volume.id}.")
    normal = dict(zip("xyz", NORMALS[plane], strict=True))
    meta = {"sliceIndex": index, "normal": normal}
    return Place(volume, f"{plane}:{index}", width, height, meta)


def photo_place(photo: Photo, cloud: Entity) -> Place:
    """Return the place of a point cloud's photo."""
    key = f"photo:{photo.id}"
    return Place(cloud, key, photo.width, photo.height, {"photoId": photo.id})


def place_of(entity: Entity, key: str, photo: Photo | None) -> Place:
    """Return the place that a figure's key names, or refuse with 404.

    Args:
        entity: the figure's medium.
        key: as `Place.key`.
        photo: the photo that `photo:...` names, if it is still there.
    """
    name, _, number = key.partition(":")
    if entity.kind == "video":
        return frame_place(entity, int(number))
    if entity.kind == "volume":
        return slice_place(entity, name, int(number))
    if entity.kind == "cloud":
        if photo is None:
            raise NotFound("The photo of this figure is gone.")
        return photo_place(photo, entity)
    return image_place(entity)
