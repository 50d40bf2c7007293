"""Notice when nothing was asked for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class IdleWatch:
    """Calls back once after a time without a touch. Thread-safe."""

    def __init__(self, idle_s: float, on_idle: Callable[[], object]) -> None:
        """Make a watch; it runs from the first touch on.

        Args:
            idle_s: how long nothing must happen, seconds.
            on_idle: called on a thread of its own.
        """
        self._idle_s = idle_s
        self._on_idle = on_idle
        self._lock = threading.Lock()
        self._last = 0.0
        self._timer: threading.Timer | None = None

    def touch(self) -> None:
        """Something is going on."""
        with self._lock:
            self._last = time.monotonic()
            if self._timer is None:
                self._wait(self._idle_s)

    def stop(self) -> None:
        """Do not call any more, until the next touch."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _wait(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # stopped at this moment
            left = self._last + self._idle_s - time.monotonic()
            if left > 0:
                self._wait(left)
                return
            self._timer = None
        self._on_idle()
