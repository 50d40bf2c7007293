"""One thread owns the device; everything that needs it waits in one queue.

A unit of work is a short call (see the table of priorities). What waits grows older: a job is
passed over at most `MAX_PASSED_OVER` times, so that a stream of clicks cannot starve it. Never do
two units that overtook a click run one after the other, so that a click waits for one at most.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.costs import UnitCosts
from sam2_serving.engine.errors import Busy, EngineClosed

T = TypeVar("T")

MAX_PASSED_OVER = 9
"""A job's next unit runs at the latest as the tenth, if at most ten jobs wait; if more do, every
other unit is one of theirs."""


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
    job: Hashable
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
        self._overtook = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="device-owner", daemon=True)
        self._thread.start()

    def submit(
        self,
        priority: Priority,
        call: Callable[[], T],
        cancel: CancelToken | None = None,
        job: Hashable = None,
    ) -> Future[T]:
        """Queue a unit of work.

        Args:
            priority: its place.
            call: runs on the device thread.
            cancel: drops the unit if it still waits when the token is cancelled.
            job: units of one job run in order and grow older together; default: a job of its own.

        Raises:
            Busy: as many units wait as may, and none of them is a prefetch to drop.
            EngineClosed: `close` was called.
        """
        unit = _Unit(priority, call, job if job is not None else object())
        with self._changed:
            if self._closed:
                raise EngineClosed("The model was stopped.")
            dropped = self._make_room(priority)
            self._waiting.append(unit)
            self._changed.notify()
        _drop(dropped)
        if cancel is not None:
            cancel.watch(unit.future)
        return unit.future

    def run(
        self,
        priority: Priority,
        call: Callable[[], T],
        cancel: CancelToken | None = None,
        job: Hashable = None,
    ) -> T:
        """Queue a unit and wait for its result; raises what `submit` and `call` raise.

        Raises:
            concurrent.futures.CancelledError: cancelled, or dropped to make room.
        """
        return self.submit(priority, call, cancel, job).result()

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

    def _make_room(self, priority: Priority) -> list[_Unit]:
        """Take out what was cancelled and, if need be, the youngest prefetch; holds the lock."""
        if len(self._waiting) < self._queue_limit:
            return []
        dropped = [unit for unit in self._waiting if unit.future.cancelled()]
        if not dropped and priority is not Priority.PREFETCH:
            dropped = [u for u in self._waiting if u.priority is Priority.PREFETCH][-1:]
        if not dropped:
            raise Busy(self.costs.predict_total(unit.priority for unit in self._waiting))
        self._waiting = [unit for unit in self._waiting if unit not in dropped]
        return dropped

    def _take(self) -> _Unit | None:
        """Wait for the next unit; None when the scheduler is closed."""
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return None
                unit = self._pick()
            # also tells those who wait for a cancelled one that it will not come
            if unit.future.set_running_or_notify_cancel():
                return unit

    def _pick(self) -> _Unit:
        """Take out the unit whose turn it is; the jobs it overtakes grow older."""
        cancelled = next((unit for unit in self._waiting if unit.future.cancelled()), None)
        if cancelled is not None:
            self._waiting.remove(cancelled)
            return cancelled
        by_job: dict[Hashable, _Unit] = {}
        for unit in self._waiting:
            by_job.setdefault(unit.job, unit)
        heads = by_job.values()
        first = min(heads, key=lambda unit: unit.priority)  # of equals the one that came first
        behind = [
            unit
            for unit in heads
            if unit.priority > first.priority and unit.priority is not Priority.PREFETCH
        ]
        overdue = None if self._overtook else _overdue(behind)
        self._overtook = overdue is not None
        chosen = overdue or first
        self._waiting.remove(chosen)
        for unit in behind:
            unit.passed_over += unit.priority > chosen.priority
        return chosen

    def _work(self) -> None:
        while (unit := self._take()) is not None:
            _run(unit, self.costs)
            del unit  # neither it nor its result may live on until the next one comes


def _overdue(behind: Iterable[_Unit]) -> _Unit | None:
    """Return the unit that must run now, so that each can still run in time, one a turn."""
    by_age = sorted(behind, key=lambda unit: -unit.passed_over)
    late = any(unit.passed_over + place >= MAX_PASSED_OVER for place, unit in enumerate(by_age))
    return by_age[0] if late else None


def _run(unit: _Unit, costs: UnitCosts) -> None:
    try:
        with costs.measure(unit.priority):
            result = unit.call()
    except BaseException as error:  # the one who waits decides what it means
        unit.future.set_exception(error)
        # the error's traceback holds this frame: without this, frame and error hold each other
        del unit
    else:
        unit.future.set_result(result)


def _drop(units: Iterable[_Unit]) -> None:
    """Cancel units that were taken out of the queue, and tell those who wait for them."""
    for unit in units:
        unit.future.cancel()
        unit.future.set_running_or_notify_cancel()
