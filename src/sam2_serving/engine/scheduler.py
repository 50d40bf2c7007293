"""One thread owns the device; everything that needs it waits in one queue.

A unit of work is a short call (see the table of priorities). What waits grows older: a job is
passed over at most `MAX_PASSED_OVER` times, so that a stream of clicks cannot starve it. Never do
two units that overtook a click run one after the other, so that a click waits for one at most.
Of one priority, clients are served in turn, so that one who asks much keeps nobody waiting; and one
client may have only so many units waiting. An encode ahead of time that has not begun never waits
beside anything else: it is dropped when something comes, or if something is there.

A unit may come in parts. Between two of them it makes way for what is more urgent, and goes on
behind it from where it was: nothing that was done is lost, and at most one unit of each priority
(and what was moved forward meanwhile) is half done. The turns of others that would begin meanwhile
are its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.costs import UnitCosts
from sam2_serving.engine.errors import Busy, ClientBusy, EngineClosed, OutOfMemory
from sam2_serving.engine.observing import NOBODY, Observer
from sam2_serving.engine.shortage import FreeMemory, forget_frames, is_out_of_memory
from sam2_serving.model.devices import take_all_cores
from sam2_serving.model.parts import InParts, Parts

T = TypeVar("T")
logger = logging.getLogger(__name__)

MAX_PASSED_OVER = 9
"""A job's next unit runs at the latest as the tenth, if at most ten jobs wait; if more do, every
other unit is one of theirs."""
LONGEST_TURN_S = 0.15
"""A unit in parts that overtook what is more urgent makes way again after so many seconds; one that
made way at once would hardly get on."""
TURNS_REMEMBERED = 1024
"""Clients of whom it is known when they were last served; then those who wait for nothing go."""


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
    """Nobody waits: dropped the instant anything else does."""


class _Work:
    """What a unit does, in one part or many.

    Does not know the unit: whoever waits for that gets an error, which holds the frames that it
    came through, and so what is known here.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self.in_parts = isinstance(call, InParts)
        self.finished = False
        self.result: Any = None
        self.is_second_try = False
        self._call = call
        self._start()

    def advance(self) -> None:
        """Do the next part."""
        self.begun = True
        try:
            next(self._parts)
        except StopIteration as end:
            self.finished, self.result = True, end.value

    def try_again(self) -> None:
        """Begin anew."""
        self.close()
        self._start()
        self.is_second_try = True

    def close(self) -> None:
        """Give back what the parts done so far hold."""
        self._parts.close()

    def _start(self) -> None:
        self.begun = False
        self._parts = _in_parts(self._call)


@dataclass(eq=False)
class _Unit:
    priority: Priority
    work: _Work
    job: Hashable
    client: str = ""
    future: Future[Any] = field(default_factory=Future)
    passed_over: int = 0
    # what the one who asked has set holds for the work too: the id of a request in the log, say
    context: Context = field(default_factory=copy_context)
    queued: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    ran: float = 0.0

    @property
    def begun(self) -> bool:
        return self.work.begun

    def fail(self, error: Exception) -> None:
        """End a unit that waits."""
        self.work.close()
        if self.begun or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    @property
    def of_long_job(self) -> bool:
        return self.priority in (Priority.TRACK, Priority.AUTOMATIC)


class Scheduler:
    """A bounded priority queue with one worker thread.

    Thread-safe. The worker is the only thread that may touch the model.
    """

    def __init__(
        self,
        queue_limit: int = 256,
        client_limit: int | None = None,
        on_arrival: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        observer: Observer = NOBODY,
        free_memory: FreeMemory = lambda: None,
    ) -> None:
        """Start the worker.

        Args:
            queue_limit: units that may wait.
            client_limit: units that may wait for one client, those of its long jobs counted apart;
                default: as many as may wait at all.
            on_arrival: called after anything but a prefetch was queued, on the thread of the one
                who queued it.
            clock: seconds.
            observer: is told how long units waited and ran.
            free_memory: called on the device thread when its memory was not enough for a unit,
                which is then begun anew, once. What is raised if that does not help either:
                `OutOfMemory`.
        """
        self.costs = UnitCosts()
        self._observer = observer
        self._free_memory = free_memory
        self._queue_limit = queue_limit
        self._client_limit = queue_limit if client_limit is None else client_limit
        self._on_arrival = on_arrival
        self._clock = clock
        self._waiting: list[_Unit] = []
        self._turns: dict[tuple[Priority, str], int] = {}
        self._served = 0
        self._running: _Unit | None = None
        self._overtook = False
        self._closed = False
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._idle = threading.Condition(lock)
        self._thread = threading.Thread(target=self._work, name="device-owner", daemon=True)
        self._thread.start()

    def submit(
        self,
        priority: Priority,
        call: Callable[[], T],
        cancel: CancelToken | None = None,
        job: Hashable = None,
        client: str = "",
    ) -> Future[T]:
        """Queue a unit of work. The future of a prefetch that is dropped at once is cancelled.

        Args:
            priority: its place.
            call: runs on the device thread, in parts if it is of the kind.
            cancel: drops the unit if it has not begun when the token is cancelled.
            job: units of one job run in order and grow older together; default: a job of its own.
            client: who asks; of equal priority, clients are served in turn.

        Raises:
            Busy: as many units wait as may.
            ClientBusy: as many units of this client wait as may.
            EngineClosed: `close` was called.
        """
        unit = _Unit(priority, _Work(call), job if job is not None else object(), client)
        with self._changed:
            if self._closed:
                raise EngineClosed("The model was stopped.")
            self._check_room(unit)
            self._waiting.append(unit)
            dropped = self._clear()
            self._changed.notify()
        _drop(dropped)
        if cancel is not None:
            cancel.watch(unit.future)
        if priority is not Priority.PREFETCH:
            self._on_arrival()
        return unit.future

    def hurry(self, future: Future[Any], priority: Priority, client: str) -> None:
        """Move a unit forward, begun or not: someone needs it sooner than the one who asked."""
        with self._changed:
            for unit in filter(None, (*self._waiting, self._running)):
                if unit.future is future and priority < unit.priority:
                    unit.priority, unit.client = priority, client

    def run(
        self,
        priority: Priority,
        call: Callable[[], T],
        cancel: CancelToken | None = None,
        job: Hashable = None,
        client: str = "",
    ) -> T:
        """Queue a unit and wait for its result; raises what `submit` and `call` raise.

        Raises:
            concurrent.futures.CancelledError: cancelled, or a prefetch that was dropped.
        """
        return self.submit(priority, call, cancel, job, client).result()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until no unit waits or runs; tell whether that came true in time."""
        with self._idle:
            return self._idle.wait_for(lambda: not (self._waiting or self._running), timeout_s)

    def depth(self) -> dict[Priority, int]:
        """Return how many units wait, by priority; one that made way waits again."""
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
            unit.fail(EngineClosed("The model was stopped."))
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _check_room(self, unit: _Unit) -> None:
        """Raise Busy if neither the queue nor the client may have one more; holds the lock."""
        waiting = [one for one in self._waiting if not one.future.cancelled()]
        # a prefetch that waits goes when anything else comes
        goes = unit.priority is not Priority.PREFETCH
        staying = [one for one in waiting if not (goes and one.priority is Priority.PREFETCH)]
        if len(staying) >= self._queue_limit:
            raise Busy(self.costs.predict_total(one.priority for one in staying))
        own = [
            one
            for one in staying
            if one.client == unit.client and one.of_long_job == unit.of_long_job
        ]
        if len(own) >= self._client_limit:
            raise ClientBusy(self.costs.predict_total(one.priority for one in own))

    def _clear(self) -> list[_Unit]:
        """Take out every prefetch that has not begun if anything else waits, and what was cancelled
        if the queue is full; holds the lock.
        """
        full = len(self._waiting) > self._queue_limit
        wanted = any(unit.priority is not Priority.PREFETCH for unit in self._waiting)
        gone = [
            unit
            for unit in self._waiting
            if (full and unit.future.cancelled())
            or (wanted and unit.priority is Priority.PREFETCH and not unit.begun)
        ]
        if gone:
            self._waiting = [unit for unit in self._waiting if unit not in gone]
        return gone

    def _take(self) -> _Unit | None:
        """Wait for the next unit; None when the scheduler is closed."""
        while True:
            with self._changed:
                self._running = None
                if not self._waiting:
                    self._idle.notify_all()
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return None
                unit = self._running = self._pick()
            # also tells those who wait for a cancelled one that it will not come
            if unit.begun or unit.future.set_running_or_notify_cancel():
                return unit
            del unit

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
        # of equals one that has begun, so that few are half done; else the one whose client was
        # served longest ago, and of its units the first
        first = min(heads, key=lambda unit: (unit.priority, not unit.begun, self._last_turn(unit)))
        behind = [
            unit
            for unit in heads
            if unit.priority > first.priority and unit.priority is not Priority.PREFETCH
        ]
        overdue = None if self._overtook else _overdue(behind)
        self._overtook = overdue is not None
        chosen = overdue or first
        self._waiting.remove(chosen)
        self._remember_turn(chosen)
        for unit in behind:
            unit.passed_over += unit.priority > chosen.priority
        return chosen

    def _last_turn(self, unit: _Unit) -> int:
        return self._turns.get((unit.priority, unit.client), 0)

    def _remember_turn(self, unit: _Unit) -> None:
        self._served += 1
        self._turns[unit.priority, unit.client] = self._served
        if len(self._turns) > TURNS_REMEMBERED:
            waiting = {(one.priority, one.client) for one in self._waiting}
            self._turns = {who: when for who, when in self._turns.items() if who in waiting}

    def _work(self) -> None:
        take_all_cores()
        while (unit := self._take()) is not None:
            self._run(unit)
            del unit  # neither it nor its result may live on until the next one comes

    def _run(self, unit: _Unit) -> None:
        """Run a unit, or as many of its parts as it may now."""
        work = unit.work
        until = self._clock() + LONGEST_TURN_S if self._overtook else None
        began = time.perf_counter()
        if not unit.begun:
            unit.waited = began - unit.queued
        try:
            with self.costs.measure(unit.priority):
                unit.context.run(work.advance)
                while not (work.finished or self._makes_way(unit, until)):
                    unit.context.run(work.advance)
        except BaseException as error:  # the one who waits decides what it means
            if is_out_of_memory(error):
                forget_frames(error)
                self._run_short(unit, began, error)
                return
            self._tell(unit, began, ended=True)
            unit.future.set_exception(error)
            # the error's traceback holds this frame: without this, frame and error hold each other
            del unit
        else:
            self._tell(unit, began, ended=work.finished)
            if work.finished:
                unit.future.set_result(work.result)
            else:
                self._put_back(unit)

    def _run_short(self, unit: _Unit, began: float, error: BaseException) -> None:
        """Begin a unit anew that the device had no memory for, with nothing else in it."""
        logger.warning("The device is out of memory: %s", error)
        again = not unit.work.is_second_try
        self._tell(unit, began, ended=not again)
        unit.work.try_again()
        self._free_memory()
        if again:
            self._run(unit)
        else:
            unit.future.set_exception(OutOfMemory())

    def _tell(self, unit: _Unit, began: float, *, ended: bool) -> None:
        """Count the turn that began then; tell of a unit that ends, before its answer is out."""
        unit.ran += time.perf_counter() - began
        if ended:
            unit.context.run(self._observer.ran, unit.priority, unit.waited, unit.ran)

    def _makes_way(self, unit: _Unit, until: float | None) -> bool:
        """Tell whether something more urgent waits for a unit that stopped between two parts."""
        with self._changed:
            if self._closed:
                return True
            if until is not None and self._clock() < until:
                return False
            return any(one.priority < unit.priority for one in self._waiting)

    def _put_back(self, unit: _Unit) -> None:
        """Let a unit that made way wait again, before all others of its job."""
        with self._changed:
            closed = self._closed
            if not closed:
                unit.passed_over = 0
                self._waiting.insert(0, unit)
        if closed:
            unit.fail(EngineClosed("The model was stopped."))


def _overdue(behind: Iterable[_Unit]) -> _Unit | None:
    """Return the unit that must run now, so that each can still run in time, one a turn.

    If it comes in parts, and another of its priority is half done, that one gets the turn: a half
    done unit holds memory, and there must not be as many as jobs.
    """
    by_age = sorted(behind, key=lambda unit: -unit.passed_over)
    if not any(unit.passed_over + place >= MAX_PASSED_OVER for place, unit in enumerate(by_age)):
        return None
    oldest = by_age[0]
    alike = (unit for unit in by_age if unit.begun and unit.priority == oldest.priority)
    return next(alike, oldest) if oldest.work.in_parts else oldest


def _in_parts(call: Callable[[], Any]) -> Parts[Any]:
    """Return the parts of a call, one if it is not of the kind that has more."""
    return (yield from call.begin()) if isinstance(call, InParts) else call()


def _drop(units: Iterable[_Unit]) -> None:
    """Cancel units that were taken out of the queue, and tell those who wait for them."""
    for unit in units:
        unit.future.cancel()
        unit.future.set_running_or_notify_cancel()
