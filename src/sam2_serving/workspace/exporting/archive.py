"""The zip that an export is written into."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_CHUNK = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every entry: the same figures make the same bytes."""


class Cancelled(Exception):
    """The export is not wanted any more."""


class Archive:
    """Writes entries one after the other; nothing is kept in memory but their names."""

    def __init__(self, file: IO[bytes], cancelled: threading.Event) -> None:
        """Begin a zip in an open file; `cancelled` ends it with `Cancelled` at the next write."""
        self._zip = zipfile.ZipFile(file, "w", allowZip64=True)
        self._cancelled = cancelled

    def close(self) -> None:
        """Write the zip's table; without it nobody can open the file."""
        self._zip.close()

    def check(self) -> None:
        """Raise `Cancelled` if it is so."""
        if self._cancelled.is_set():
            raise Cancelled

    def add_folder(self, name: str) -> None:
        """Add a folder that may stay empty."""
        entry = zipfile.ZipInfo(f"{name}/", _DATE)
        entry.external_attr = (0o40755 << 16) | 0x10
        self._zip.writestr(entry, b"")

    def add_json(self, name: str, content: Any) -> None:
        """Add a JSON file."""
        self.add_bytes(name, json.dumps(content).encode(), packed=True)

    def add_bytes(self, name: str, content: bytes, packed: bool = False) -> None:
        """Add a file; what is compressed by itself needs no packing."""
        with self.entry(name, packed) as entry:
            entry.write(content)

    def add_file(self, name: str, file: Path) -> None:
        """Add a copy of a file as it is.

        Raises:
            OSError: it cannot be opened.
        """
        with file.open("rb") as source, self.entry(name, packed=False) as entry:
            self.copy(source, entry)

    def copy(self, source: IO[bytes], entry: IO[bytes]) -> None:
        """Copy what is left of a file into an entry."""
        while chunk := source.read(_CHUNK):
            self.check()
            entry.write(chunk)

    @contextmanager
    def entry(self, name: str, packed: bool) -> Iterator[IO[bytes]]:
        """Open a new entry; one at a time."""
        self.check()
        about = zipfile.ZipInfo(name, _DATE)
        about.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        about.external_attr = 0o644 << 16
        with self._zip.open(about, "w", force_zip64=True) as entry:
            yield entry
