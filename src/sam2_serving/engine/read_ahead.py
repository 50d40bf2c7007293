"""Prepare what comes next while the device works on what is here."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")

_LOOK_S = 0.1


class ReadAhead(Generic[Item]):
    """Runs an iterable on a thread of its own, at most `depth` items ahead.

    What the iterable raises is raised by the `get` that would have returned its next item.
    """

    def __init__(self, items: Iterable[Item], depth: int) -> None:
        self._ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(depth)
        self._next: tuple[Item | None, BaseException | None] | None = None
        self._closed = threading.Event()
        context = contextvars.copy_context()  # the maker's, as if it did the work itself
        self._thread = threading.Thread(
            target=context.run, args=(self._work, items), name="read-ahead", daemon=True
        )
        self._thread.start()

    def get(self) -> Item:
        """Wait for the next item."""
        item, error = self._next or self._ready.get()
        if error is not None:
            raise error
        assert item is not None
        self._next = None
        return item

    def get_if_ready(self) -> Item | None:
        """Return the next item, or None if it is not here yet, or is an error."""
        try:
            self._next = self._next or self._ready.get_nowait()
        except queue.Empty:
            return None
        return self.get() if self._next[1] is None else None

    def close(self) -> None:
        """Stop soon: an item that is being made is still made, and dropped."""
        self._closed.set()

    def _work(self, items: Iterable[Item]) -> None:
        try:
            for item in items:
                if not self._put(item, None):
                    return
        except BaseException as error:  # the one who waits decides what it means
            self._put(None, error)

    def _put(self, item: Item | None, error: BaseException | None) -> bool:
        while not self._closed.is_set():
            try:
                self._ready.put((item, error), timeout=_LOOK_S)
                return True
            except queue.Full:
                continue
        return False
