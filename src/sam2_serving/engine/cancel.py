"""Let the one who asked for work take the request back."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any


class CancelToken:
    """Cancels every unit of work that was started under it, now or later. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: set[Future[Any]] = set()
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Tell whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Drop what still waits; a unit that runs already ends normally, unread."""
        with self._lock:
            self._cancelled = True
            futures = list(self._futures)
        for future in futures:
            future.cancel()

    def watch(self, future: Future[Any]) -> None:
        """Cancel `future` together with this token."""
        with self._lock:
            too_late = self._cancelled
            if not too_late:
                self._futures.add(future)
        if too_late:
            future.cancel()
        else:
            future.add_done_callback(self._forget)

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._futures.discard(future)
