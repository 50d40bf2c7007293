"""A file that comes in: written aside, looked at, and only then put where it belongs."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO

from PIL import ImageFile

from sam2_serving.workspace.importing.names import numbered
from sam2_serving.workspace.media import KINDS, MediaFolder, describe_file, hash_file, kind_of
from sam2_serving.workspace.pictures import UnreadableMedia, picture_size, read_rgb

_READING = threading.Lock()

MOST_PIXELS = 500_000_000
"""Of a picture; a larger one is taken for an attack."""


@dataclass(frozen=True)
class Kept:
    """What became of a file.

    Attributes:
        path: where it lies, relative to the media folder.
        new: False: the same file was there already.
    """

    path: str
    new: bool


class Incoming:
    """One file on its way into the media folder; what is not put there is removed.

    Hidden until then, so nobody lists a half of it; in the folder where it belongs, so that putting
    it there is one step.
    """

    def __init__(self, media: MediaFolder, path: PurePosixPath) -> None:
        """Open a file to be written.

        Args:
            media: the media folder.
            path: where the file belongs, of plain names, relative to the folder.

        Raises:
            ValueError: no medium has such a name, or its folder cannot be one of the media folder.
            OSError: it cannot be written.
        """
        if path.suffix.lower() not in KINDS:
            raise ValueError("no image, video, volume or point cloud that can be shown here")
        self._media, self._path = media, path
        self._folder = media.root / path.parent
        # First: else folders would be made where the link leads.
        if not self._folder.resolve().is_relative_to(media.root):
            raise ValueError("its folder is a link that leads out of the media folder")
        self._made = _make_folders(media.root, path.parent)
        self._part = self._folder / f".{secrets.token_hex(8)}{path.suffix.lower()}"
        self.file: BinaryIO = self._part.open("xb")

    def __enter__(self) -> Incoming:
        """Take it up."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what was not put where it belongs, and folders that were made for it."""
        self.file.close()
        self._part.unlink(missing_ok=True)
        with suppress(OSError):  # not empty: something came into it
            for folder in self._made:
                folder.rmdir()

    def keep(self) -> Kept:
        """Check the file and put it where it belongs; nothing that is there is overwritten.

        Raises:
            UnreadableMedia: it is damaged, or not what its name says.
            OSError: it cannot be written.
        """
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        _check(self._part, kind_of(str(self._path)))
        content = hash_file(self._part)
        for name in numbered(self._path.name):
            place = self._folder / name
            kept = str(self._path.with_name(name))
            try:
                _move(self._part, place)
                return Kept(kept, True)
            except FileExistsError:
                if place.is_file() and hash_file(place) == content:
                    return Kept(kept, False)
        raise FileExistsError(f"There are too many files of the name {self._path.name}.")


def _check(file: Path, kind: str) -> None:
    try:
        if kind in ("image", "photo"):
            width, height = picture_size(file)
            if width * height > MOST_PIXELS:
                raise UnreadableMedia(f"a picture of {width} x {height} pixels is too large")
            with _strict_reading():
                read_rgb(file)  # its head tells nothing of an end that is missing
        else:
            describe_file(file, kind)
    except (OSError, ValueError, SyntaxError) as error:
        # What the readers say names the file as it lies here, which nobody has seen.
        words = str(error).replace(str(file), "it").replace(file.name, "it")
        raise UnreadableMedia(f"damaged, or not what its name says ({words})") from error


@contextmanager
def _strict_reading() -> Iterator[None]:
    """Refuse pictures whose end is missing: the platform's SDK, once imported, lets them pass."""
    with _READING:
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def _make_folders(root: Path, inner: PurePosixPath) -> list[Path]:
    """Make a folder and those around it; return those that are new, the innermost first."""
    made: list[Path] = []
    for part in [*reversed(inner.parents), inner]:
        folder = root / part
        try:
            if not folder.is_dir():
                folder.mkdir()
                made.insert(0, folder)
        except FileExistsError as error:
            raise ValueError(f"{part} is a file here, not a folder") from error
    return made


def _move(part: Path, place: Path) -> None:
    """Give a file its name; unlike a rename, a link refuses a name that is taken."""
    try:
        os.link(part, place)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links.
        if place.exists():
            raise FileExistsError(place) from None
        part.rename(place)
