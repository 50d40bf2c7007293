"""The media folder: what is in it, and how a browser sees it."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sam2_serving.workspace.clouds import CLOUD_MIMES, is_photo
from sam2_serving.workspace.pictures import (
    UnreadableMedia,
    is_turned,
    picture_size,
    read_rgb,
    save_picture,
)
from sam2_serving.workspace.videos import VIDEO_MIMES, video_to_keep
from sam2_serving.workspace.volumes import VOLUME_MIMES, describe_volume

log = logging.getLogger(__name__)

IMAGE_MIMES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
}
MIMES = {**IMAGE_MIMES, **VIDEO_MIMES, **VOLUME_MIMES, **CLOUD_MIMES}
KINDS = {
    **dict.fromkeys(IMAGE_MIMES, "image"),
    **dict.fromkeys(VIDEO_MIMES, "video"),
    **dict.fromkeys(VOLUME_MIMES, "volume"),
    **dict.fromkeys(CLOUD_MIMES, "cloud"),
}
ABOUT_FILE = "about.txt"
"""A text of this name in a folder is shown beside the folder's media."""
NOT_FOR_FILE = "not-for.txt"
"""Names models, one a line, that the folder's media are not meant for: `nano`."""

_SHOWN_BY_BROWSERS = {"image/jpeg", "image/png", "image/webp", "image/bmp"}
_TURNED_BY_BROWSERS = {"image/jpeg"}
"""Where every browser follows the EXIF orientation; Chromium leaves a WebP as it lies."""


@dataclass(frozen=True)
class MediaFile:
    """A file as it lies in the folder.

    Attributes:
        path: relative to the folder, with forward slashes.
        kind: image, photo (of a point cloud), video, volume or cloud.
        width: of the upright image, a frame or an axial slice, pixels; 0 for a cloud.
        height: as `width`.
        facts: what else is known of a video or a volume.
    """

    path: str
    kind: str
    mime: str
    size: int
    mtime_ns: int
    hash: str
    width: int
    height: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileStamp:
    """What tells whether a file has changed, without reading it."""

    size: int
    mtime_ns: int


class MediaFolder:
    """Reads media of one folder, and nothing outside it."""

    def __init__(self, folder: Path, cache: Path) -> None:
        """Open a folder.

        Args:
            folder: the media folder.
            cache: where pictures made for the browser are kept.

        Raises:
            NotADirectoryError: `folder` is no folder.
        """
        if not folder.is_dir():
            raise NotADirectoryError(f"There is no folder {folder}.")
        self.root = folder.resolve()
        self.cache = cache

    def walk(self) -> Iterator[tuple[str, FileStamp]]:
        """Yield the relative path and stamp of every medium, sorted, hidden files left out."""
        for folder, subfolders, names in os.walk(self.root):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(names):
                if name.startswith(".") or Path(name).suffix.lower() not in MIMES:
                    continue
                relative = (Path(folder) / name).relative_to(self.root).as_posix()
                try:
                    yield relative, self.stamp(relative)
                except OSError as error:
                    log.warning("%s left out: %s", relative, error)

    def stamp(self, path: str) -> FileStamp:
        """Return the stamp that a file bears now.

        Raises:
            OSError: there is no such file, or it lies outside the folder.
        """
        status = self.locate(path).stat()
        return FileStamp(status.st_size, status.st_mtime_ns)

    def locate(self, path: str) -> Path:
        """Return the absolute path of a file of the folder.

        Raises:
            FileNotFoundError: there is no such file, or it lies outside the folder.
        """
        file = (self.root / path).resolve()
        if not file.is_relative_to(self.root) or not file.is_file():
            raise FileNotFoundError(f"{path} is not in the media folder.")
        return file

    def describe(self, path: str, stamp: FileStamp) -> MediaFile | None:
        """Read what is to be known of a medium; None (and a warning) when it is unreadable."""
        file = self.locate(path)
        kind = kind_of(path)
        try:
            width, height, facts = describe_file(file, kind)
            file_hash = hash_file(file)
        except (UnreadableMedia, OSError) as error:
            log.warning("%s left out: %s", path, error)
            return None
        mime = MIMES[file.suffix.lower()]
        size, mtime_ns = stamp.size, stamp.mtime_ns
        return MediaFile(path, kind, mime, size, mtime_ns, file_hash, width, height, facts)

    def about(self, folder: str) -> str:
        """Return what the folder's own `about.txt` says, or an empty text."""
        return self._text(folder, ABOUT_FILE)

    def not_for(self, folder: str) -> list[str]:
        """Return the models that the folder's own `not-for.txt` names."""
        return self._text(folder, NOT_FOR_FILE).split()

    def _text(self, folder: str, name: str) -> str:
        try:
            file = self.locate(f"{folder}/{name}" if folder else name)
            return file.read_text("utf-8", errors="replace").strip()[:300]
        except OSError:
            return ""

    def browser_view(self, path: str, mime: str, file_hash: str) -> tuple[Path, str]:
        """Return a file that a browser can show, and its type: the original where possible."""
        file = self.locate(path)
        if mime in _TURNED_BY_BROWSERS or (mime in _SHOWN_BY_BROWSERS and not is_turned(file)):
            return file, mime
        view = self._cached(file_hash, "view.png")
        if not view.exists():
            save_picture(read_rgb(file), view, "PNG")
        return view, "image/png"

    def thumbnail(self, path: str, file_hash: str, side: int = 288) -> Path:
        """Return a small JPEG of a picture, made at its first use."""
        return self.thumbnail_of(file_hash, lambda: read_rgb(self.locate(path), draft=side), side)

    def thumbnail_of(
        self,
        file_hash: str,
        picture: Callable[[], Image.Image | npt.NDArray[np.uint8]],
        side: int = 288,
    ) -> Path:
        """Return a small JPEG of what `picture` gives, made at its first use."""
        thumbnail = self._cached(file_hash, f"{side}.jpg")
        if not thumbnail.exists():
            shown = picture()
            small = shown if isinstance(shown, Image.Image) else Image.fromarray(shown)
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            save_picture(small, thumbnail, "JPEG")
        return thumbnail

    def _cached(self, file_hash: str, name: str) -> Path:
        return self.cache / f"{hashlib.sha256(file_hash.encode()).hexdigest()[:32]}-{name}"


def kind_of(path: str) -> str:
    """Return a medium's kind by its name and place."""
    kind = KINDS[Path(path).suffix.lower()]
    return "photo" if kind == "image" and is_photo(path) else kind


def hash_file(file: Path) -> str:
    """Return base64(sha256) of a file, as the platform names content."""
    with file.open("rb") as stream:
        return base64.b64encode(hashlib.file_digest(stream, "sha256").digest()).decode()


def describe_file(file: Path, kind: str) -> tuple[int, int, dict[str, Any]]:
    """Return width and height in pixels of a medium of a kind, and what else is to be known of it.

    Raises:
        UnreadableMedia: it is not what its name says.
        OSError: it cannot be read.
    """
    if kind == "video":
        return video_to_keep(file)
    if kind == "volume":
        return describe_volume(file)
    if kind == "cloud":
        return 0, 0, {}
    return (*picture_size(file), {})
