"""Do not wait for a platform that has not answered for a while: say so at once.

Without this every click waits for the whole time-out while the platform hangs, and all threads for
requests wait with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sam2_serving.app.reporting import ClientGone, PlatformTimeout, PlatformUnavailable

SILENT_CALLS = 5
SILENT_S = 10.0
PAUSE_S = 5.0


class PlatformUnreachable(PlatformUnavailable):
    """No answer came: the connection could not be made, or broke."""


class PlatformSilent(PlatformUnavailable):
    """The platform is not asked for some seconds, because it has not answered for a while."""

    status = 503


@dataclass
class _Server:
    calls: int = 0
    since: float | None = None
    """When the first of the unanswered calls failed."""
    asked_again: float = 0.0
    trial: bool = False


class Breaker:
    """Knows which platforms do not answer. Thread-safe.

    A platform counts as silent when so many calls in a row, over so many seconds, got no answer at
    all; a refusal and a status of 500 are answers. Then one call at a time is let through, every
    few seconds, and the first answer ends it.
    """

    def __init__(
        self,
        calls: int = SILENT_CALLS,
        silent_s: float = SILENT_S,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Trust every platform at first.

        Args:
            calls: in a row without an answer.
            silent_s: from the first of them to the last, seconds.
            pause_s: between two calls that try whether it answers again.
            clock: seconds.
        """
        self._calls = calls
        self._silent_s = silent_s
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._servers: dict[str, _Server] = {}

    @contextmanager
    def call(self, server: str) -> Iterator[None]:
        """The block calls a platform once.

        Raises:
            PlatformSilent: it is not asked now.
        """
        trial = self._enter(server)
        try:
            yield
        except (PlatformTimeout, PlatformUnreachable):
            self._failed(server)
            raise
        except ClientGone:
            raise  # says nothing about the platform
        except BaseException:
            self._answered(server)
            raise
        else:
            self._answered(server)
        finally:
            if trial:
                self._end_trial(server)

    def _enter(self, server: str) -> bool:
        """Tell whether the call is one that tries whether the platform is back."""
        with self._lock:
            state = self._servers.get(server)
            if state is None or state.since is None or not self._is_silent(state):
                return False
            now = self._clock()
            if state.trial or now < state.asked_again:
                silence = PlatformSilent(
                    f"The platform at {server} has not answered for {now - state.since:.0f} s: "
                    "try again in a moment."
                )
                silence.retry_after_s = max(1.0, state.asked_again - now)
                raise silence
            state.trial = True
            return True

    def _is_silent(self, state: _Server) -> bool:
        return state.calls >= self._calls and state.asked_again > 0

    def _failed(self, server: str) -> None:
        with self._lock:
            state, now = self._servers.setdefault(server, _Server()), self._clock()
            state.calls += 1
            state.since = now if state.since is None else state.since
            if state.calls >= self._calls and now - state.since >= self._silent_s:
                state.asked_again = now + self._pause_s

    def _answered(self, server: str) -> None:
        with self._lock:
            self._servers.pop(server, None)

    def _end_trial(self, server: str) -> None:
        with self._lock:
            if server in self._servers:
                self._servers[server].trial = False
