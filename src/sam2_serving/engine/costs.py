"""How long each kind of unit takes here: measured as it runs, used to predict."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum

_WEIGHT_OF_NEWEST = 0.2


class UnitCosts:
    """A moving average of seconds for each kind of unit. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[IntEnum, float] = {}

    @contextmanager
    def measure(self, kind: IntEnum) -> Iterator[None]:
        """Time the block as one unit of `kind`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            with self._lock:
                average = self._seconds.get(kind, taken)
                self._seconds[kind] = average + _WEIGHT_OF_NEWEST * (taken - average)

    def predict(self, kind: IntEnum) -> float:
        """Return the expected seconds of one unit; 0 before the first was seen."""
        with self._lock:
            return self._seconds.get(kind, 0.0)

    def predict_total(self, kinds: Iterable[IntEnum]) -> float:
        """Return the expected seconds of several units, one after the other."""
        return sum(self.predict(kind) for kind in kinds)
