"""Where the pixels of a request come from: one method a kind of source.

Each asks the platform with the caller's token before anything else. That is the permission check,
and it gives the version that is part of the key; only then may the store answer, or the file be
downloaded. Each kind has keys of its own: image 7 is never mistaken for photo 7.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sam2_serving.app.permissions import MediaInfo, Permissions
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.reporting import BadRequest, PlatformUnavailable
from sam2_serving.app.requests import VideoFrame, VolumeSlice
from sam2_serving.engine import CancelToken, ImageKey


@dataclass(frozen=True)
class ImageInfo(MediaInfo):
    """An image: its name and where it is, as far as the platform says."""

    name: str | None = None
    dataset_id: int | None = None
    project_id: int | None = None


@dataclass(frozen=True)
class Source:
    """A picture that the caller may see.

    Attributes:
        key: what pixels they are.
        download: fetches the file.
        size: (width, height) that the platform states, in pixels; None if it states none.
        image: what else the platform says, if it is an image.
        row: how many pictures the video, or the axis of the volume, has, if it is of one and the
            platform counts them.
    """

    key: ImageKey
    download: Callable[[], bytes]
    size: tuple[int, int] | None = None
    image: ImageInfo | None = None
    row: int | None = None


@dataclass(frozen=True)
class VideoInfo(MediaInfo):
    """A video; `frames` is None if the platform does not count them."""

    frames: int | None = None


@dataclass(frozen=True)
class VolumeInfo(MediaInfo):
    """A volume; `slices` along each axis, as far as the platform says."""

    slices: tuple[int | None, int | None, int | None] = (None, None, None)


class Sources:
    """Finds pictures on the platform. Thread-safe."""

    def __init__(self, platform: PlatformClient, permissions: Permissions, max_bytes: int) -> None:
        """Take what it needs.

        Args:
            platform: where pictures come from.
            permissions: what is known of the callers' rights.
            max_bytes: largest file.
        """
        self._platform = platform
        self._downloads = platform
        self._permissions = permissions
        self._max_bytes = max_bytes

    def until(self, given_up: CancelToken) -> Sources:
        """Return the same sources; downloads of images, frames and slices end with the token.

        Questions about rights do not: others may be waiting for the same answer. Of hashes and
        photos the download is that question.
        """
        sources = copy.copy(self)
        sources._downloads = self._platform.until(given_up)
        return sources

    def image(self, caller: Caller, image_id: int) -> Source:
        """Return an image by its id."""

        def ask() -> ImageInfo:
            info = self._platform.image_info(caller, image_id)
            name = info.get("name")
            return ImageInfo(
                _version(info),
                _size(info),
                _has_hash(info),
                name if isinstance(name, str) else None,
                _count(info.get("datasetId")),
                _count(info.get("projectId")),
            )

        info = self._permissions.info(caller, "image", str(image_id), ask)
        key = ImageKey(
            "image", caller.server, str(image_id), info.version, by_content=info.by_content
        )
        return Source(
            key,
            lambda: self._downloads.image_bytes(caller, image_id, self._max_bytes),
            info.size,
            info,
        )

    def image_by_hash(self, caller: Caller, image_hash: str) -> Source:
        """Return an image by the SHA-256 of its file, which is its version as well.

        No info route knows hashes: the download itself is the permission check.
        """
        digest = _digest(image_hash)

        def fetch() -> bytes:
            file = self._platform.image_bytes_by_hash(caller, image_hash, self._max_bytes)
            if hashlib.sha256(file).digest() != digest:
                raise PlatformUnavailable("The platform sent a file that is not of the image_hash.")
            return file

        held: list[bytes] = []

        def ask() -> MediaInfo:
            held.append(fetch())
            return MediaInfo(image_hash, by_content=True)

        self._permissions.info(caller, "hash", image_hash, ask)
        key = ImageKey("hash", caller.server, image_hash, image_hash, by_content=True)
        return Source(key, lambda: held.pop() if held else fetch())

    def frame(self, caller: Caller, frame: VideoFrame) -> Source:
        """Return a frame of a video.

        Raises:
            BadRequest: the video has fewer frames.
        """
        video_id, index = frame.video_id, frame.frame_index

        def ask() -> VideoInfo:
            info = self._platform.video_info(caller, video_id)
            file_meta = info.get("fileMeta")
            frames = file_meta.get("framesCount") if isinstance(file_meta, dict) else None
            return VideoInfo(_version(info), by_content=_has_hash(info), frames=_count(frames))

        info = self._permissions.info(caller, "video", str(video_id), ask)
        if info.frames is not None and index >= info.frames:
            raise BadRequest(
                f"The request names frame {index}; the video's frames are 0 to {info.frames - 1}."
            )
        key = ImageKey(
            "frame",
            caller.server,
            f"{video_id}/{index}",
            info.version,
            by_content=info.by_content,
        )
        return Source(
            key,
            lambda: self._downloads.frame_bytes(caller, video_id, index, self._max_bytes),
            row=info.frames,
        )

    def slice(self, caller: Caller, slice: VolumeSlice) -> Source:
        """Return a slice of a volume, seen through a window of intensities.

        Raises:
            BadRequest: the volume has fewer slices.
        """
        volume_id, index = slice.volume_id, slice.slice_index
        axis = slice.normal.axis

        def ask() -> VolumeInfo:
            info = self._platform.volume_info(caller, volume_id)
            return VolumeInfo(
                _version(info), by_content=_has_hash(info), slices=_slice_counts(info)
            )

        info = self._permissions.info(caller, "volume", str(volume_id), ask)
        count = info.slices["xyz".index(axis)]
        if count is not None and index >= count:
            raise BadRequest(
                f"The request names slice {index}; along {axis} the volume's slices are "
                f"0 to {count - 1}."
            )
        key = ImageKey(
            "slice",
            caller.server,
            f"{volume_id}/{axis}/{index}",
            info.version,
            f"{slice.window_center!r}/{slice.window_width!r}",
            info.by_content,
        )
        return Source(
            key, lambda: self._downloads.slice_bytes(caller, slice, self._max_bytes), row=count
        )

    def photo(self, caller: Caller, photo_id: int) -> Source:
        """Return a photo of a point cloud.

        No info route knows photos: the download itself is the permission check, and the hash of
        what came is the version.
        """

        def fetch() -> bytes:
            return self._platform.photo_bytes(caller, photo_id, self._max_bytes)

        held: list[bytes] = []

        def ask() -> MediaInfo:
            held.append(fetch())
            return MediaInfo(hashlib.sha256(held[0]).hexdigest(), by_content=True)

        info = self._permissions.info(caller, "photo", str(photo_id), ask)

        def download() -> bytes:
            if held:
                return held.pop()
            file = fetch()
            if hashlib.sha256(file).hexdigest() != info.version:
                self._permissions.forget(caller, "photo", str(photo_id))
                raise PlatformUnavailable("The photo was replaced at this moment: try again.")
            return file

        key = ImageKey("photo", caller.server, str(photo_id), info.version, by_content=True)
        return Source(key, download)


def _version(info: dict[str, Any]) -> str:
    """Read what changes with the pixels; a medium behind a link has no hash, only a time."""
    return str(info.get("hash") or f"updated {info.get('updatedAt')}")


def _has_hash(info: dict[str, Any]) -> bool:
    return bool(info.get("hash"))


def _size(info: dict[str, Any]) -> tuple[int, int] | None:
    width, height = _count(info.get("width")), _count(info.get("height"))
    return (width, height) if width is not None and height is not None else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _slice_counts(info: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
    meta = info.get("meta")
    counts = meta.get("dimensionsIJK") if isinstance(meta, dict) else None
    if not isinstance(counts, dict):
        return (None, None, None)
    return (_count(counts.get("x")), _count(counts.get("y")), _count(counts.get("z")))


def _digest(image_hash: str) -> bytes:
    try:
        digest = base64.b64decode(image_hash, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise BadRequest("context.image_hash must be the base64 form of a file's SHA-256.")
    return digest
