"""Which stored embeddings nobody has asked for yet, and how many bytes they may take."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass
class AheadCounters:
    """What became of embeddings that were made before anybody asked for them.

    Attributes:
        made: encoded, or read from a file.
        used: of these, asked for while they were kept or being made.
        wasted: of these, pushed out before anybody asked.
    """

    made: int = 0
    used: int = 0
    wasted: int = 0


class AheadShare(Generic[Key]):
    """Keeps account of embeddings made ahead of time. Used under the lock of their store.

    They take their share of the store and no more: beyond it, the one that was made or wanted
    longest ago goes. So the rest of the store belongs to what was asked for.
    """

    def __init__(self, budget: int) -> None:
        """Begin with none; `budget` is in bytes."""
        self.counters = AheadCounters()
        self._budget = budget
        self._sizes: OrderedDict[Key, int] = OrderedDict()
        self._bytes = 0
        self._largest = 0

    @property
    def capacity(self) -> int | None:
        """How many embeddings fit the share; None while it is not known how large they are."""
        if self._budget <= 0:
            return 0
        return self._budget // self._largest if self._largest else None

    def __contains__(self, key: Hashable) -> bool:
        """Tell whether an embedding is kept that nobody has asked for."""
        return key in self._sizes

    def add(self, key: Key, nbytes: int) -> list[Key]:
        """Note an embedding; returns those that have to go, itself if it is too large."""
        self._largest = max(self._largest, nbytes)
        self._sizes[key] = nbytes
        self._bytes += nbytes
        gone = []
        while self._bytes > self._budget:
            oldest = next(iter(self._sizes))
            self.lose(oldest)
            gone.append(oldest)
        return gone

    def want_again(self, key: Key) -> None:
        """Note that an embedding is still thought to be needed next."""
        self._sizes.move_to_end(key)

    def use(self, key: Key) -> None:
        """Note that somebody asked; nothing happens if the embedding is none of these."""
        if self._forget(key):
            self.counters.used += 1

    def lose(self, key: Key) -> None:
        """Note that an embedding is pushed out; nothing happens if it is none of these."""
        if self._forget(key):
            self.counters.wasted += 1

    def clear(self) -> None:
        """Forget all."""
        self._sizes.clear()
        self._bytes = 0

    def _forget(self, key: Key) -> bool:
        nbytes = self._sizes.pop(key, None)
        if nbytes is None:
            return False
        self._bytes -= nbytes
        return True
