"""The media folder: which images are in it, and how a browser sees them."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

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
ABOUT_FILE = "about.txt"
"""A text of this name in a folder is shown beside the folder's images."""

_SHOWN_BY_BROWSERS = {"image/jpeg", "image/png", "image/webp", "image/bmp"}
_QUARTER_TURNS = {5, 6, 7, 8}
_UNREADABLE = (OSError, UnidentifiedImageError, SyntaxError, ValueError)


@dataclass(frozen=True)
class ImageFile:
    """An image file as it lies in the folder; width and height after EXIF orientation."""

    path: str
    mime: str
    size: int
    mtime_ns: int
    hash: str
    width: int
    height: int


@dataclass(frozen=True)
class FileStamp:
    """What tells whether a file has changed, without reading it."""

    size: int
    mtime_ns: int


class MediaFolder:
    """Reads images of one folder, and nothing outside it."""

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
        """Yield the relative path and stamp of every image file, sorted, hidden ones left out."""
        for folder, subfolders, names in os.walk(self.root):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(names):
                if name.startswith(".") or Path(name).suffix.lower() not in IMAGE_MIMES:
                    continue
                relative = (Path(folder) / name).relative_to(self.root).as_posix()
                try:
                    status = self.locate(relative).stat()
                except OSError as error:
                    log.warning("%s left out: %s", relative, error)
                    continue
                yield relative, FileStamp(status.st_size, status.st_mtime_ns)

    def locate(self, path: str) -> Path:
        """Return the absolute path of a file of the folder.

        Raises:
            FileNotFoundError: there is no such file, or it lies outside the folder.
        """
        file = (self.root / path).resolve()
        if not file.is_relative_to(self.root) or not file.is_file():
            raise FileNotFoundError(f"{path} is not in the media folder.")
        return file

    def describe(self, path: str, stamp: FileStamp) -> ImageFile | None:
        """Read an image's size and hash; None (and a warning) when it is no readable image."""
        file = self.locate(path)
        try:
            with Image.open(file) as picture:
                width, height = picture.size
                if picture.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS:
                    width, height = height, width
        except (*_UNREADABLE, Image.DecompressionBombError) as error:
            log.warning("%s left out: not a readable image (%s)", path, error)
            return None
        mime = IMAGE_MIMES[file.suffix.lower()]
        return ImageFile(path, mime, stamp.size, stamp.mtime_ns, hash_file(file), width, height)

    def about(self, folder: str) -> str:
        """Return what the folder's own `about.txt` says, or an empty text."""
        try:
            file = self.locate(f"{folder}/{ABOUT_FILE}" if folder else ABOUT_FILE)
            return file.read_text("utf-8", errors="replace").strip()[:300]
        except OSError:
            return ""

    def browser_view(self, path: str, mime: str, file_hash: str) -> tuple[Path, str]:
        """Return a file that a browser can show, and its type: the original where possible."""
        if mime in _SHOWN_BY_BROWSERS:
            return self.locate(path), mime
        view = self._cached(file_hash, "view.png")
        if not view.exists():
            _save(_as_rgb(self.locate(path)), view, "PNG")
        return view, "image/png"

    def thumbnail(self, path: str, file_hash: str, side: int = 288) -> Path:
        """Return a small JPEG of the image, made at its first use."""
        thumbnail = self._cached(file_hash, f"{side}.jpg")
        if not thumbnail.exists():
            picture = _as_rgb(self.locate(path), draft=side)
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            _save(picture, thumbnail, "JPEG")
        return thumbnail

    def _cached(self, file_hash: str, name: str) -> Path:
        return self.cache / f"{hashlib.sha256(file_hash.encode()).hexdigest()[:32]}-{name}"


def hash_file(file: Path) -> str:
    """Return base64(sha256) of a file, as the platform names content."""
    with file.open("rb") as stream:
        return base64.b64encode(hashlib.file_digest(stream, "sha256").digest()).decode()


def hash_bytes(content: bytes) -> str:
    """Return base64(sha256) of bytes."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _as_rgb(file: Path, draft: int | None = None) -> Image.Image:
    with Image.open(file) as picture:
        if draft is not None:
            picture.draft("RGB", (2 * draft, 2 * draft))
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith(("I", "F")):
            upright = _stretched(upright)
        return upright.convert("RGB")


def _stretched(picture: Image.Image) -> Image.Image:
    """Spread a 16 or 32 bit gray image over 8 bits, from its darkest to its brightest pixel."""
    values = np.asarray(picture, dtype=np.float64)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    scaled = np.nan_to_num((values - low) * (255.0 / max(high - low, 1e-9)))
    return Image.fromarray(scaled.astype(np.uint8), mode="L")


def _save(picture: Image.Image, file: Path, kind: str) -> None:
    content = io.BytesIO()
    picture.save(content, kind, quality=85)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written aside first: two requests may make the same file at once.
    part = file.with_name(f"{file.name}.{os.getpid()}-{id(content):x}.part")
    part.write_bytes(content.getvalue())
    part.replace(file)
