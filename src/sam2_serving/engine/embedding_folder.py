"""A folder of files under a budget of bytes; the one unused for longest goes first."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

SCAN_EVERY = 64
"""Files written until the folder is looked through again, for what another process wrote there."""
ABANDONED_S = 3600.0
"""Age at which an unfinished file counts as left by a process that was killed."""
_PART = ".part"
_OURS = re.compile(rf"[0-9a-f]{{64}}\.safetensors|[0-9a-f]{{32}}\{_PART}")
"""What else lies in the folder is not counted and never removed."""


@dataclass
class _File:
    nbytes: int
    used_ns: int


class EmbeddingFolder:
    """Whole files by name. Thread-safe; other processes may use the same folder.

    A file appears under its name when it is complete and on the disk, so a kill at any moment
    leaves no half one. How long ago a file was used is its time of modification, which all
    processes see. With several processes the budget can be exceeded by what the others wrote
    since this one last looked, `SCAN_EVERY` files each at most.
    """

    def __init__(self, path: Path, budget: int) -> None:
        """Take a folder, which is made when the first file comes.

        Args:
            path: of the folder; names of its files are 64 hexadecimal digits and `.safetensors`.
            budget: bytes of all files together.
        """
        self._path = path
        self._budget = budget
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._nbytes = 0
        self._until_scan = 0
        self.removed = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the files that are known of; 0 until the first one is written."""
        with self._lock:
            return self._nbytes

    def knows(self, name: str) -> bool:
        """Tell whether a file is here, without a look at the disk; counts as a use."""
        with self._lock:
            if name not in self._files:
                return False
            self._files[name].used_ns = time.time_ns()
            self._files.move_to_end(name)
            return True

    def read(self, name: str, largest: int) -> bytes | None:
        """Return a file's content; None if there is none.

        A file of more than `largest` bytes is cut.

        Raises:
            OSError: it is there, but cannot be read.
        """
        path = self._path / name
        try:
            with path.open("rb") as file:
                content = file.read(largest + 1)
        except FileNotFoundError:
            with self._lock:
                self._forget(name)
            return None
        now = time.time_ns()
        with suppress(OSError):
            os.utime(path, ns=(now, now))  # finer than the system's own idea of now
        with self._lock:
            self._add(name, _File(len(content), now))
        return content

    def write(self, name: str, content: bytes) -> bool:
        """Keep a file, unless it is larger than the budget; a file of this name stays as it is.

        Returns:
            Whether it was written.

        Raises:
            OSError: the disk is full, or the folder cannot be written to.
        """
        if len(content) > self._budget:
            return False
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            if self._until_scan == 0:
                self._scan()
            self._until_scan -= 1
            if name in self._files:
                return False
            self._make_room(len(content))
        part, now = self._path / f"{uuid4().hex}{_PART}", time.time_ns()
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.utime(part, ns=(now, now))
            os.replace(part, self._path / name)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
        # The folder itself is not flushed: after a power cut a file may be missing, and is made
        # again.
        with self._lock:
            self._add(name, _File(len(content), now))
        return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(OSError):
            (self._path / name).unlink()
        with self._lock:
            self._forget(name)

    def _scan(self) -> None:
        """Look through the folder; holds the lock. Unfinished files count, too."""
        self._until_scan = SCAN_EVERY
        found = []
        with os.scandir(self._path) as entries:
            for entry in entries:
                if not _OURS.fullmatch(entry.name):
                    continue
                with suppress(FileNotFoundError):  # another process removed it at this moment
                    status = entry.stat()
                    used_ns = status.st_mtime_ns
                    if entry.name in self._files:
                        used_ns = max(used_ns, self._files[entry.name].used_ns)
                    found.append((entry.name, _File(status.st_size, used_ns)))
        self._files.clear()
        self._nbytes = 0
        for name, file in sorted(found, key=lambda one: one[1].used_ns):
            if name.endswith(_PART) and time.time_ns() - file.used_ns > ABANDONED_S * 1e9:
                with suppress(FileNotFoundError):
                    (self._path / name).unlink()
            else:
                self._add(name, file)

    def _make_room(self, needed: int) -> None:
        """Remove what was used longest ago, by any process; holds the lock."""
        looked_at = 0
        while self._nbytes + needed > self._budget and self._files:
            name, file = next(iter(self._files.items()))
            path = self._path / name
            looked_at += 1
            with suppress(FileNotFoundError):
                used_ns = path.stat().st_mtime_ns
                if used_ns > file.used_ns and looked_at <= len(self._files):
                    file.used_ns = used_ns
                    self._files.move_to_end(name)
                    continue
                path.unlink()
                self.removed += 1
            self._forget(name)

    def _add(self, name: str, file: _File) -> None:
        self._forget(name)
        self._files[name] = file
        self._nbytes += file.nbytes

    def _forget(self, name: str) -> None:
        file = self._files.pop(name, None)
        if file is not None:
            self._nbytes -= file.nbytes
