"""One thread owns the device; everything that needs it waits in one queue.

A unit of work is a short call (see the table of priorities). What waits grows older: a unit is
passed over at most `MAX_PASSED_OVER` times, so that a stream of clicks cannot starve a long job,
whose units are so short that a click never waits for more than one of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.costs import UnitCosts
from sam2_serving.engine.errors import Busy, EngineClosed

T = TypeVar("T")
logger = logging.getLogger(__name__)

MAX_PASSED_OVER = 9
"""A waiting unit runs at the latest as the tenth after it came first in its line."""


class Priority(IntEnum):
    """Who goes first; the lower number does."""

    CLICK_DECODE = 0
    CLICK_ENCODE = 1
    MANY = 2
    """Batched boxes, apply model: a person waits for many."""
    TRACK = 3
    """One frame of a tracking job."""
    AUTOMATIC = 4
    """One batch of points of an automatic-mask job."""
    PREFETCH = 5
    """Nobody waits: never grows older, dropped first when the queue is full."""


@dataclass(eq=False)
class _Unit:
    priority: Priority
    call: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)
    passed_over: int = 0


class Scheduler:
    """A bounded priority queue with one worker thread.

    Thread-safe. The worker is the only thread that may touch the model.
    """

    def __init__(self, queue_limit: int = 256) -> None:
        self.costs = UnitCosts()
        self._queue_limit = queue_limit
        self._waiting: list[_Unit] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="device-owner", daemon=True)
        self._thread.start()

    def submit(
        self, priority: Priority, call: Callable[[], T], cancel: CancelToken | None = None
    ) -> Future[T]:
        """Queue a unit of work.

        Args:
            priority: its place.
            call: runs on the device thread.
            cancel: drops the unit if it still waits when the token is cancelled.

        Raises:
            Busy: as many units wait as may, and none of them is a prefetch to drop.
            EngineClosed: `close` was called.
        """
        unit = _Unit(priority, call)
        with self._changed:
            if self._closed:
                raise EngineClosed("The model was stopped.")
            if len(self._waiting) >= self._queue_limit:
                self._make_room(priority)
            self._waiting.append(unit)
            self._changed.notify()
        if cancel is not None:
            cancel.watch(unit.future)
        return unit.future

    def run(
        self, priority: Priority, call: Callable[[], T], cancel: CancelToken | None = None
    ) -> T:
        """Queue a unit and wait for its result; raises what `call` raises.

        Raises:
            concurrent.futures.CancelledError: cancelled, or dropped to make room.
        """
        return self.submit(priority, call, cancel).result()

    def depth(self) -> dict[Priority, int]:
        """Return how many units wait, by priority."""
        with self._changed:
            waiting = [u.priority for u in self._waiting if not u.future.cancelled()]
        return {priority: waiting.count(priority) for priority in Priority}

    def close(self) -> None:
        """Fail everything that waits with `EngineClosed`; return when the device is idle."""
        with self._changed:
            self._closed = True
            dropped, self._waiting = self._waiting, []
            self._changed.notify_all()
        for unit in dropped:
            if unit.future.set_running_or_notify_cancel():
                unit.future.set_exception(EngineClosed("The model was stopped."))
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _make_room(self, priority: Priority) -> None:
        """Drop what was cancelled, else the youngest prefetch; the caller holds the lock."""
        alive = [unit for unit in self._waiting if not unit.future.cancelled()]
        if len(alive) == len(self._waiting) and priority is not Priority.PREFETCH:
            prefetches = [unit for unit in alive if unit.priority is Priority.PREFETCH]
            for unit in prefetches[-1:]:
                alive.remove(unit)
                unit.future.cancel()
        if len(alive) >= self._queue_limit:
            raise Busy(self.costs.predict_total(unit.priority for unit in alive))
        self._waiting = alive

    def _take(self) -> _Unit | None:
        """Wait for the next unit; None when the scheduler is closed."""
        with self._changed:
            while True:
                self._waiting = [u for u in self._waiting if not u.future.cancelled()]
                if self._waiting:
                    return self._pick()
                if self._closed:
                    return None
                self._changed.wait()

    def _pick(self) -> _Unit:
        """Take out the unit whose turn it is; those it overtakes grow older."""
        overdue = [unit for unit in self._waiting if unit.passed_over >= MAX_PASSED_OVER]
        # min takes the first of equals, and the list is in order of arrival
        chosen = overdue[0] if overdue else min(self._waiting, key=lambda unit: unit.priority)
        self._waiting.remove(chosen)
        for unit in self._waiting:
            if unit.priority > chosen.priority and unit.priority is not Priority.PREFETCH:
                unit.passed_over += 1
        return chosen

    def _work(self) -> None:
        while (unit := self._take()) is not None:
            if not unit.future.set_running_or_notify_cancel():
                continue
            try:
                with self.costs.measure(unit.priority):
                    result = unit.call()
            except BaseException as error:  # the one who waits decides what it means
                unit.future.set_exception(error)
            else:
                unit.future.set_result(result)
            del unit  # a result must not live on until the next unit comes
