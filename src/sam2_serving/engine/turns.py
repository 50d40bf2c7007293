"""The turns of one long job on the device."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TypeVar

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.errors import Busy
from sam2_serving.engine.scheduler import Priority, Scheduler

T = TypeVar("T")

_LONGEST_PAUSE_S = 1.0


class DeviceTurns:
    """Runs the units of one job on the device. A full queue makes a job wait, not fail."""

    def __init__(self, scheduler: Scheduler, priority: Priority, cancel: CancelToken) -> None:
        self._scheduler = scheduler
        self._priority = priority
        self._cancel = cancel
        self._job = object()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a unit; units of a job run in order.

        Raises:
            concurrent.futures.CancelledError: the job's token was cancelled.
            EngineClosed: the model was stopped.
        """
        while True:
            if self._cancel.cancelled:
                raise CancelledError
            try:
                return self._scheduler.submit(self._priority, call, self._cancel, self._job)
            except Busy as busy:
                time.sleep(min(max(busy.retry_after_s, 0.01), _LONGEST_PAUSE_S))

    def run(self, call: Callable[[], T]) -> T:
        """Queue a unit and wait for it."""
        return self.submit(call).result()
