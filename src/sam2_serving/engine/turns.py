"""Turns on the device: those of one long job, and the one of an encode that many may wait for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from typing import Any, TypeVar

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.errors import Busy
from sam2_serving.engine.scheduler import Priority, Scheduler

T = TypeVar("T")

_LONGEST_PAUSE_S = 1.0


class DeviceTurns:
    """Runs the units of one job on the device. A full queue makes a job wait, not fail."""

    def __init__(
        self, scheduler: Scheduler, priority: Priority, cancel: CancelToken, client: str = ""
    ) -> None:
        self._scheduler = scheduler
        self._priority = priority
        self._cancel = cancel
        self._client = client
        self._job = object()
        self._sent: deque[Future[Any]] = deque()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a unit; units of a job run in order.

        Raises:
            concurrent.futures.CancelledError: the job's token was cancelled.
            EngineClosed: the model was stopped.
        """
        while self._sent and self._sent[0].done():
            self._sent.popleft()
        while True:
            if self._cancel.cancelled:
                raise CancelledError
            try:
                future = self._scheduler.submit(
                    self._priority, call, self._cancel, self._job, self._client
                )
            except Busy as busy:
                self._wait_for_room(busy.retry_after_s)
            else:
                self._sent.append(future)
                return future

    def run(self, call: Callable[[], T]) -> T:
        """Queue a unit and wait for it."""
        return self.submit(call).result()

    def _wait_for_room(self, seconds: float) -> None:
        """Wait for a unit of this job, which makes room; if it has none waiting, for a while."""
        pause = min(max(seconds, 0.01), _LONGEST_PAUSE_S)
        if self._sent:
            wait([self._sent.popleft()], pause)
        else:
            time.sleep(pause)


class EncodeTurn:
    """The place in the queue of one encode. Who joins those who wait for it may move it forward.

    Thread-safe.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        priority: Priority,
        client: str = "",
        cancel: CancelToken | None = None,
        on_hurry: Callable[[], object] = lambda: None,
    ) -> None:
        """Make a turn.

        Args:
            scheduler: whose queue it is.
            priority: of the one who asked first.
            client: who that is.
            cancel: drops the unit while it waits.
            on_hurry: called when someone joins who is in more of a hurry.
        """
        self._scheduler = scheduler
        self._priority = priority
        self._client = client
        self._cancel = cancel
        self._on_hurry = on_hurry
        self._lock = threading.Lock()
        self._sent: Future[Any] | None = None

    @property
    def given_up(self) -> bool:
        """Tell whether this encode will not be done any more."""
        return self._cancel is not None and self._cancel.cancelled

    def run(self, call: Callable[[], T]) -> T:
        """Queue the encode and wait for it; raises what `Scheduler.run` raises."""
        with self._lock:
            future = self._scheduler.submit(self._priority, call, self._cancel, client=self._client)
            self._sent = future
        return future.result()

    def join(self, other: EncodeTurn) -> None:
        """Let this encode go where `other` would be, if that is further ahead."""
        with self._lock:
            if other._priority >= self._priority:
                return
            self._priority, self._client = other._priority, other._client
            self._on_hurry()
            if self._sent is not None:
                self._scheduler.hurry(self._sent, other._priority, other._client)
