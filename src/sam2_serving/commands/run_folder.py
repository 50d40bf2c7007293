"""The folder of a run that can be stopped at any moment and gone on with.

A result gets its name when all of it is on the disk, and its line in the journal after that: an
image counts as done if it has both. What a killed run left without a line is made again. All that
is not a result lies in the hidden folder `.sam2-serving`:

    run.json   what decides the results; a run with other settings is refused
    journal    a line for each image that is done
    partial/   what is being written
    lock       held while a run writes here
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.inputs import HIDDEN, ImageFile


@dataclass(frozen=True)
class Done:
    """A line of the journal.

    Attributes:
        image: its name.
        bytes: size of the image's file, when it was read.
        modified: when the file was changed last, nanoseconds.
        masks: how many were found.
        notes: what a person should know about the result.
    """

    image: str
    bytes: int
    modified: int
    masks: int
    notes: tuple[str, ...] = ()

    def is_about(self, status: os.stat_result) -> bool:
        """Tell whether an image's file, of that status now, is the one that was read."""
        return (self.bytes, self.modified) == (status.st_size, status.st_mtime_ns)


class RunFolder:
    """Where results are kept; belongs to one process at a time."""

    def __init__(self, out: Path) -> None:
        """Name the folder; see `open`."""
        self.out = out
        self.hidden = out / HIDDEN
        self.done: dict[str, Done] = {}
        self._partial = self.hidden / "partial"
        self._journal = self.hidden / "journal"

    def refuse_if_used(self, resume: bool) -> None:
        """Look whether a run may write here, before any work is done.

        Raises:
            UsageError: it is no folder; or it holds something that this run would not go on with.
        """
        try:
            there = next(path for path in (self.out, *self.out.absolute().parents) if path.exists())
            if not there.is_dir():
                raise UsageError(f"{str(there)!r} is a file: name a folder for the results.")
            others = self.out.is_dir() and any(path.name != HIDDEN for path in self.out.iterdir())
            begun = (self.hidden / "run.json").is_file()
        except OSError as error:
            raise self._unusable(error) from error
        if not os.access(there, os.W_OK | os.X_OK):
            raise UsageError(f"The folder {str(there)!r} may not be written to.")
        if begun and not resume:
            raise UsageError(
                f"The folder {str(self.out)!r} has results of an earlier run: go on with it with "
                "--resume, or name another folder."
            )
        if others and not begun:
            raise UsageError(
                f"The folder {str(self.out)!r} is not empty, and holds no run that could be gone "
                "on with: name another one."
            )

    @contextmanager
    def open(self, facts: Mapping[str, Any]) -> Iterator[RunFolder]:
        """Begin a run, or go on with one.

        Args:
            facts: what decides the results, by the name of the option; values fit into JSON.

        Raises:
            UsageError: another run writes here, or what is here was made with other settings; or
                nothing can be written here.
        """
        lock = FileLock(self.hidden / "lock")
        try:
            self._partial.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(f"Another run is writing to {str(self.out)!r}.") from error
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._go_on(dict(facts))
            yield self
        finally:
            lock.release()

    def is_done(self, file: ImageFile, result: Path) -> bool:
        """Tell whether an image, as its file is now, has its result."""
        done = self.done.get(file.name)
        if done is None or not result.exists():
            return False
        try:
            return done.is_about(file.path.stat())
        except OSError:
            return True  # the image is gone: its result is all there will be

    def write_file(self, target: Path, content: bytes) -> None:
        """Write a file that is there whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        with self.new_file(target) as partial:
            partial.write_bytes(content)

    @contextmanager
    def new_file(self, target: Path) -> Iterator[Path]:
        """Let a file be written under another name; it becomes `target` at the end of the block."""
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = self._partial / "file"
        yield partial
        _sync(partial)
        partial.replace(target)
        _sync(target.parent)

    def write_folder(self, target: Path, fill: Callable[[Path], None]) -> None:
        """Write a folder that is there whole or not at all.

        Args:
            target: is replaced if it is there.
            fill: given an empty folder, puts files into it.
        """
        partial = self._partial / "folder"
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
        fill(partial)
        for file in (*partial.iterdir(), partial):
            _sync(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # of an earlier run, without a line in the journal
            target.rename(self._partial / "old")
        partial.rename(target)
        _sync(target.parent)
        shutil.rmtree(self._partial / "old", ignore_errors=True)

    def note(self, done: Done) -> None:
        """Add an image, whose result is there, to the journal."""
        line = json.dumps(asdict(done)) + "\n"
        with self._journal.open("ab") as journal:
            journal.write(line.encode())
            journal.flush()
            os.fsync(journal.fileno())
        self.done[done.image] = done

    def _go_on(self, facts: dict[str, Any]) -> None:
        try:
            _empty(self._partial)
            self._compare(facts)
            self.read_journal()
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> UsageError:
        why = error.strerror or error
        return UsageError(f"The folder {str(self.out)!r} cannot be written to: {why}.")

    def _compare(self, facts: dict[str, Any]) -> None:
        """Refuse to mix results that were made in different ways."""
        record = self.hidden / "run.json"
        facts = json.loads(json.dumps(facts))  # as it will be read
        if not record.is_file():
            self.write_file(record, json.dumps(facts, indent=1).encode())
            return
        try:
            earlier = dict(json.loads(record.read_bytes()))
        except ValueError as error:
            raise UsageError(f"{str(record)!r} is damaged: name another folder.") from error
        differing = [
            f"{key} was {earlier.get(key)!r} and is {facts.get(key)!r}"
            for key in sorted({*earlier, *facts})
            if earlier.get(key) != facts.get(key)
        ]
        if differing:
            raise UsageError(
                f"The run in {str(self.out)!r} was begun otherwise: {'; '.join(differing)}. Go on "
                "with it as it was begun, or name another folder."
            )

    def read_journal(self) -> None:
        """Take what is done from the file: after an interruption, memory may lack its last line.

        Raises:
            UsageError: it is damaged.
            OSError: it cannot be read.
        """
        lines = self._journal.read_bytes() if self._journal.is_file() else b""
        whole = lines[: lines.rfind(b"\n") + 1]
        if whole != lines:
            os.truncate(self._journal, len(whole))  # the run was killed while it wrote a line
        try:
            for line in whole.splitlines():
                said = json.loads(line)
                done = Done(**said | {"notes": tuple(said["notes"])})
                self.done[done.image] = done
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"The journal {str(self._journal)!r} is damaged: name another folder."
            ) from error


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
