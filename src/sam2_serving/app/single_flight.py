"""Work that several threads want at once is done once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Lets those who ask the same at the same time share one answer, be it an error. Thread-safe.

    Whoever comes after the answer asks anew: nothing is remembered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[Hashable, Future[Result]] = {}

    def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """Return the result of `work`, or of the `work` that is under way for this key."""
        with self._lock:
            flying = self._flying.get(key)
            if flying is None:
                own = self._flying[key] = Future()
        if flying is not None:
            return flying.result()
        try:
            result = work()
        except BaseException as error:
            self._land(key)
            own.set_exception(error)
            raise
        self._land(key)
        own.set_result(result)
        return result

    def _land(self, key: Hashable) -> None:
        with self._lock:
            del self._flying[key]
