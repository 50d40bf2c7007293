"""Who may see what, as the platform said within the last minute."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from sam2_serving.app.platform.api import Caller
from sam2_serving.app.single_flight import SingleFlight

PERMISSION_S = 60.0
"""How long an answer counts; a right that is taken away lasts no longer than this."""
MAX_REMEMBERED = 20_000


@dataclass(frozen=True)
class MediaInfo:
    """What the platform says about a medium.

    Attributes:
        version: changes whenever the pixels do.
        size: (width, height) in pixels, or None if the platform does not say.
        by_content: the version is a hash of the content.
    """

    version: str
    size: tuple[int, int] | None = None
    by_content: bool = False


Info = TypeVar("Info", bound=MediaInfo)


@dataclass(frozen=True)
class _Right:
    server: str
    token_hash: str
    kind: str
    id: str


class Permissions:
    """Remembers for a minute who may see what. Only a yes is remembered. Thread-safe.

    Requests of one caller that ask the same at once share one answer, be it a refusal: if the
    platform hangs, they hang beside each other, not one after the other.
    """

    def __init__(
        self, lifetime_s: float = PERMISSION_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[_Right, tuple[float, MediaInfo]] = OrderedDict()
        self._asking: SingleFlight[MediaInfo] = SingleFlight()

    def info(self, caller: Caller, kind: str, id: str, ask: Callable[[], Info]) -> Info:
        """Return what is remembered, or the answer of `ask`, whose exceptions pass through."""
        right = _Right(caller.server, caller.token_hash, kind, id)

        def ask_and_remember() -> MediaInfo:
            # It may have been answered between the look at what is known and now.
            known = self._recall(right)
            if known is None:
                known = ask()
                self._remember(right, known)
            return known

        known = self._recall(right)
        # One kind of medium has one kind of info.
        return cast(Info, known or self._asking.run(right, ask_and_remember))

    def forget(self, caller: Caller, kind: str, id: str) -> None:
        """Ask again at the next request."""
        with self._lock:
            self._known.pop(_Right(caller.server, caller.token_hash, kind, id), None)

    def _recall(self, right: _Right) -> MediaInfo | None:
        with self._lock:
            entry = self._known.get(right)
            if entry is None or entry[0] <= self._clock():
                self._known.pop(right, None)
                return None
            return entry[1]

    def _remember(self, right: _Right, info: MediaInfo) -> None:
        with self._lock:
            self._known[right] = (self._clock() + self._lifetime_s, info)
            self._known.move_to_end(right)
            while len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
