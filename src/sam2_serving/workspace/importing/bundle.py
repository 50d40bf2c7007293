"""A zip that holds media with annotations, read entry by entry."""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from types import TracebackType
from typing import IO, Any, BinaryIO

MOST_JSON = 1 << 30
"""Bytes of a file with annotations."""

DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)
"""What reading an entry may raise: none of these is a ValueError or an OSError.

RuntimeError is said of entries with a password, NotImplementedError (which is one) of unknown ways
to pack them."""


class Bundle:
    """A zip; nothing of it is unpacked under the names that it gives."""

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        """Open a zip.

        Raises:
            ValueError: it is none, or it would unpack to more than `most_bytes`.
        """
        try:
            self._zip = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise ValueError(f"not a readable zip ({error})") from error
        entries = [one for one in self._zip.infolist() if not one.is_dir() and _is_meant(one)]
        if sum(one.file_size for one in entries) > most_bytes:
            raise ValueError(f"it unpacks to more than {most_bytes >> 20} MiB")
        self._entries = {PurePosixPath(one.filename): one for one in entries}

    def __enter__(self) -> Bundle:
        """Take it up."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the zip."""
        self._zip.close()

    @property
    def names(self) -> list[PurePosixPath]:
        """Names of the files, in their order."""
        return list(self._entries)

    def __contains__(self, name: PurePosixPath) -> bool:
        """Whether there is a file of this name."""
        return name in self._entries

    @contextmanager
    def open(self, name: PurePosixPath) -> Iterator[IO[bytes]]:
        """Open a file to be read.

        Raises:
            ValueError: also while it is read: it is damaged, or needs a password.
        """
        try:
            with self._zip.open(self._entries[name]) as file:
                yield file
        except DAMAGE as error:
            raise ValueError(f"cannot be unpacked: {error}") from error

    def json(self, name: PurePosixPath) -> Any:
        """Return what a JSON file holds.

        Raises:
            ValueError: it is none, or too large.
        """
        if self._entries[name].file_size > MOST_JSON:
            raise ValueError(f"{name}: too large")
        try:
            with self.open(name) as file:
                return json.load(file)
        except ValueError as error:
            raise ValueError(f"{name}: not readable as JSON ({error})") from error


def _is_meant(entry: zipfile.ZipInfo) -> bool:
    """Systems put hidden files into zips, macOS one beside each file, with that file's ending."""
    parts = PurePosixPath(entry.filename).parts
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return "__MACOSX" not in parts and not hidden
