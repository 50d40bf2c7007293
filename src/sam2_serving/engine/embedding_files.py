"""Embeddings that outlive the process: the disk behind the store."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path

from sam2_serving.engine.embedding_folder import EmbeddingFolder
from sam2_serving.engine.embedding_format import Damaged, Origin, file_name, from_file, to_file
from sam2_serving.engine.embeddings import EmbeddingKey
from sam2_serving.engine.errors import Busy, EngineClosed
from sam2_serving.model import ImageEmbedding

logger = logging.getLogger(__name__)

WAITING_BYTES = 64 * 2**20
"""Embeddings that wait to be written, at most; they may have left the store's budget already."""
PAUSE_S = 600.0
"""How long nothing is written after the disk refused."""

ToHost = Callable[[ImageEmbedding], ImageEmbedding]


@dataclass(frozen=True)
class DiskTier:
    """Where embeddings are kept on disk, and how many bytes of them."""

    folder: Path
    budget: int


@dataclass
class FileCounters:
    """What was done with files since the engine was made.

    Attributes:
        nbytes: of the files in the folder, as far as known.
        read: files that were read, for their embedding or for the size of the image.
        written: embeddings that were written.
        skipped: embeddings that were not written: too much waited, or the disk refused.
        damaged: files that were not whole and were removed.
        removed: files that had to go for the budget.
    """

    nbytes: int = 0
    read: int = 0
    written: int = 0
    skipped: int = 0
    damaged: int = 0
    removed: int = 0


class EmbeddingFiles:
    """Reads embeddings on the thread of the one who asks, writes them on a thread of its own.

    Only images whose key holds a hash of their content are kept: of others nobody can tell after
    a restart whether they changed. A disk that is full or cannot be written to is told once, and
    costs nothing else. Who may see an image is checked before anyone comes here. Thread-safe.
    """

    def __init__(
        self, tier: DiskTier, origin: Origin, to_host: ToHost = lambda embedding: embedding
    ) -> None:
        """Use a folder; nothing is looked at before the first embedding comes.

        Args:
            tier: the folder; other processes may use it, too.
            origin: of all embeddings that come and go here.
            to_host: copies an embedding to the CPU; called on the writing thread.
        """
        self._folder = EmbeddingFolder(tier.folder, tier.budget)
        self._origin = origin
        self._to_host = to_host
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, tuple[EmbeddingKey, ImageEmbedding]] = OrderedDict()
        self._waiting_bytes = 0
        self._writer: threading.Thread | None = None
        self._writing = False
        self._closed = False
        self._told = False
        self._paused_until = 0.0
        self._counters = FileCounters()

    @property
    def counters(self) -> FileCounters:
        """What was done so far; a copy."""
        with self._changed:
            return replace(self._counters, nbytes=self._folder.nbytes, removed=self._folder.removed)

    def read(self, key: EmbeddingKey) -> ImageEmbedding | None:
        """Return a kept embedding, on the CPU; a damaged file is removed."""
        if not key.image.by_content:
            return None
        name = file_name(key, self._origin)
        try:
            content = self._folder.read(name, self._origin.largest_file)
        except OSError as error:
            self._tell("read", error)
            return None
        if content is None:
            return None
        try:
            embedding = from_file(content, key, self._origin)
        except Damaged as error:
            self._folder.remove(name)
            logger.warning("A stored embedding is made anew: %s.", error)
            self._count(damaged=1)
            return None
        self._count(read=1)
        return embedding

    def offer(self, key: EmbeddingKey, embedding: ImageEmbedding) -> None:
        """Keep an embedding, unless it is here; returns at once, and fails silently.

        What is not kept now, because too much waits, can be offered again at its next use.
        """
        if not key.image.by_content:
            return
        name = file_name(key, self._origin)
        if self._folder.knows(name):
            return
        with self._changed:
            if self._closed or name in self._waiting or time.monotonic() < self._paused_until:
                return
            if self._waiting and self._waiting_bytes + embedding.nbytes > WAITING_BYTES:
                self._counters.skipped += 1
                return
            self._waiting[name] = (key, embedding)
            self._waiting_bytes += embedding.nbytes
            if self._writer is None:
                self._writer = threading.Thread(
                    target=self._work, name="embedding-writer", daemon=True
                )
                self._writer.start()
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing waits to be written; tell whether that came to pass."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._writing, timeout_s
            )

    def close(self) -> None:
        """Drop what waits; a file that is being written is finished beside the caller's work."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                name, (key, embedding) = self._waiting.popitem(last=False)
                self._waiting_bytes -= embedding.nbytes
                self._writing = True
            self._write(name, key, embedding)
            del embedding  # it may not live on until the next one comes

    def _write(self, name: str, key: EmbeddingKey, embedding: ImageEmbedding) -> None:
        try:
            content = to_file(key, self._to_host(embedding), self._origin)
            written = content is not None and self._folder.write(name, content)
        except (Busy, EngineClosed, CancelledError):  # the device has more important work
            self._count(skipped=1)
        except OSError as error:
            with self._changed:
                self._paused_until = time.monotonic() + PAUSE_S
            self._count(skipped=1)
            self._tell("written", error)
        except Exception:
            # a device out of memory, say: this thread must live for all that comes after
            self._count(skipped=1)
            logger.exception("An embedding could not be made ready for the disk; goes on without")
        else:
            self._count(written=int(written))

    def _tell(self, what: str, error: OSError) -> None:
        """Say once that the disk refuses."""
        level = logging.DEBUG if self._told else logging.WARNING
        self._told = True
        logger.log(level, "Embeddings cannot be %s on disk; goes on without: %r", what, error)

    def _count(self, read: int = 0, written: int = 0, skipped: int = 0, damaged: int = 0) -> None:
        with self._changed:
            self._counters.read += read
            self._counters.written += written
            self._counters.skipped += skipped
            self._counters.damaged += damaged
