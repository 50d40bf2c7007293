"""Exports that run, and those that can be downloaded."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sam2_serving.workspace.answers import Refusal
from sam2_serving.workspace.exporting.archive import Archive, Cancelled

log = logging.getLogger(__name__)

KEPT = 5
"""Finished exports; the oldest make room."""
MOST_WAITING = 20

State = Literal["waiting", "running", "finished", "failed", "cancelled"]
Form = Literal["coco", "supervisely", "masks"]


@dataclass(frozen=True)
class ExportWish:
    """What is to be exported.

    Attributes:
        form: coco, supervisely or masks.
        dataset_ids: of which datasets.
        media: whether the media go with the figures.
    """

    form: Form
    dataset_ids: Sequence[int]
    media: bool


class TooManyExports(Exception):
    """So many wait already that another one is refused."""


@dataclass
class Export:
    """One export.

    Attributes:
        key: its name, which nobody can guess.
        login: who asked for it.
        name: of the zip, as it is downloaded.
        folder: where the zip is written.
        done: steps (about one a picture), of `total` (None: not counted yet).
        problem: why it failed, in words.
        warnings: what was left out, in sentences.
        size: of the finished zip, bytes.
    """

    wish: ExportWish
    login: str
    name: str
    folder: Path
    key: str = field(default_factory=lambda: secrets.token_hex(12))
    state: State = "waiting"
    done: int = 0
    total: int | None = None
    problem: str | None = None
    warnings: list[str] = field(default_factory=list)
    size: int | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def file(self) -> Path:
        """Where the finished zip lies."""
        return self.folder / f"{self.key}.zip"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("finished", "failed", "cancelled")


Write = Callable[[Export, Archive], None]


class Exports:
    """Writes exports one after the other into a folder of its own. Safe to use from any thread."""

    def __init__(self, folder: Path) -> None:
        """Begin with none: what an earlier process left in the folder goes."""
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, Export] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="export")

    def start(self, login: str, wish: ExportWish, name: str, write: Write) -> Export:
        """Begin an export, or let it wait for the one that runs.

        Args:
            login: who asks.
            wish: what is asked for.
            name: of the zip, as it is downloaded.
            write: writes it.

        Raises:
            TooManyExports: as many wait as may.
        """
        with self._lock:
            if sum(not one.is_over for one in self._known.values()) >= MOST_WAITING:
                raise TooManyExports
            export = Export(wish, login, name, self._folder)
            self._known[export.key] = export
            self._worker.submit(self._run, export, write)
        return export

    def of(self, login: str) -> list[Export]:
        """Return someone's exports, the newest first."""
        with self._lock:
            return [one for one in reversed(self._known.values()) if one.login == login]

    def get(self, login: str, key: str) -> Export | None:
        """Return one of someone's exports."""
        with self._lock:
            found = self._known.get(key)
        return found if found and found.login == login else None

    def remove(self, export: Export) -> None:
        """Cancel an export that is not over; take one away that is."""
        export.cancelled.set()
        with self._lock:
            if export.is_over:
                self._forget(export)

    def close(self) -> None:
        """Cancel what runs, and wait until it has ended."""
        with self._lock:
            for export in self._known.values():
                export.cancelled.set()
        self._worker.shutdown(cancel_futures=True)

    def _run(self, export: Export, write: Write) -> None:
        part = export.file.with_suffix(".part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(export, part, write)
            part.replace(export.file)
            self._end(export, "finished")
        except Cancelled:
            self._end(export, "cancelled")
        except (OSError, Refusal) as error:
            log.warning("An export failed: %s", error)
            words = getattr(error, "detail", None) or getattr(error, "strerror", None) or error
            self._end(export, "failed", str(words))
        except Exception:
            log.exception("An export failed")
            self._end(export, "failed", "An error of the workspace; its log says more.")
        finally:
            part.unlink(missing_ok=True)

    def _end(self, export: Export, state: State, problem: str | None = None) -> None:
        with self._lock:
            if state == "finished":
                export.size = export.file.stat().st_size
            export.state, export.problem = state, problem
            over = [one for one in self._known.values() if one.is_over]
            for old in over[:-KEPT]:
                self._forget(old)

    def _forget(self, export: Export) -> None:
        self._known.pop(export.key, None)
        # One that is being downloaded stays on the disk until that ends.
        export.file.unlink(missing_ok=True)


def _write(export: Export, part: Path, write: Write) -> None:
    with part.open("wb") as file:
        archive = Archive(file, export.cancelled)
        archive.check()
        export.state = "running"
        write(export, archive)
        archive.close()
        file.flush()
        os.fsync(file.fileno())
