"""Encode ahead of the click: what clients will open next, while nobody waits for anything.

A plan says what one client needs next. Plans are carried out by one thread, in turn between
clients, and only while the device is idle and nobody's image is being fetched. When that changes,
a plan is given up at once, its download too, and begun again when it is quiet. What the device has
begun is not given up: it makes way for everything else between its parts, and then goes on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.errors import EngineClosed

Source = TypeVar("Source")

MAX_CLIENTS = 256
PLANS_OF_ONE_CLIENT = 8
TRIES = 6
"""A plan that was given up so often is dropped: each time a download may have been in vain."""
FAILURES = 3
"""A plan of which so many pictures could not be had is dropped, too."""
FIRST_PAUSE_S = 0.05
"""After a plan was given up; doubled each time."""
QUIET_CHECK_S = 1.0


@dataclass
class PrefetchCounters:
    """What became of plans.

    Attributes:
        given_up: times that a plan had to make way.
        failed: pictures of a plan that could not be had.
    """

    given_up: int = 0
    failed: int = 0


class Attempt:
    """One try to carry a plan out. Thread-safe."""

    def __init__(self) -> None:
        self.cancel = CancelToken()
        self._lock = threading.Lock()
        self._goes_on = False

    @property
    def goes_on(self) -> bool:
        """Tell whether it is too late to give up."""
        return self._goes_on

    def give_up(self) -> None:
        """Make way, if it is not too late."""
        with self._lock:
            if not self._goes_on:
                self.cancel.cancel()

    def go_on(self) -> bool:
        """Go on whatever comes: the device has begun, or somebody waits for what is being made.

        Returns:
            whether it was not given up before.
        """
        with self._lock:
            self._goes_on = not self.cancel.cancelled
            return self._goes_on


Find = Callable[[], Source]
"""Says where a picture is; raises if the client may not see it."""
Plan = Callable[[CancelToken], Iterable[Find[Source]]]
"""Says what is needed next, the most urgent first. Fetching stops when the token is cancelled."""


@dataclass(frozen=True)
class _Wanted(Generic[Source]):
    client: str
    topic: Hashable
    plan: Plan[Source]
    done: int = 0
    failures: int = 0
    tries: int = 0


class Prefetcher(Generic[Source]):
    """Carries plans out. Thread-safe; its thread starts with the first plan."""

    def __init__(
        self,
        make: Callable[[Source, Attempt], bool],
        wait_until_idle: Callable[[float], bool],
        capacity: Callable[[], int | None],
    ) -> None:
        """Take what it needs.

        Args:
            make: makes and keeps a picture's embedding; tells whether that was needed.
            wait_until_idle: waits for the device, so many seconds at most; tells if it is idle.
            capacity: how many embeddings may be kept that nobody has asked for; None: not known.
        """
        self._make = make
        self._wait_until_idle = wait_until_idle
        self._capacity = capacity
        self._changed = threading.Condition()
        self._plans: OrderedDict[str, OrderedDict[Hashable, _Wanted[Source]]] = OrderedDict()
        self._current: Attempt | None = None
        self._in_foreground = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._counters = PrefetchCounters()

    @property
    def counters(self) -> PrefetchCounters:
        """What was done so far; a copy."""
        with self._changed:
            return replace(self._counters)

    def want(self, client: str, topic: Hashable, plan: Plan[Source]) -> None:
        """Carry a plan out when it is quiet.

        Args:
            client: whose it is.
            topic: a client's new plan takes the place of the one on the same topic.
            plan: called on the thread of this class, again each time it had to make way.
        """
        if self._capacity() == 0:
            return
        with self._changed:
            if self._closed:
                return
            self._put(_Wanted(client, topic, plan))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def give_up(self) -> None:
        """Make way at once: somebody asked for something."""
        with self._changed:
            current = self._current
        if current is not None:
            current.give_up()

    @contextmanager
    def foreground(self) -> Iterator[None]:
        """Begin nothing during the block: somebody waits for an answer."""
        with self._changed:
            self._in_foreground += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_foreground -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Forget all plans; what is under way is given up, its thread is not waited for."""
        with self._changed:
            self._closed = True
            self._plans.clear()
            current = self._current
            self._changed.notify_all()
        if current is not None:
            current.cancel.cancel()

    def _put(self, wanted: _Wanted[Source]) -> None:
        """Note a plan as its client's newest; holds the lock."""
        plans = self._plans.setdefault(wanted.client, OrderedDict())
        plans[wanted.topic] = wanted
        plans.move_to_end(wanted.topic)
        while len(plans) > PLANS_OF_ONE_CLIENT:
            plans.popitem(last=False)
        while len(self._plans) > MAX_CLIENTS:
            self._plans.popitem(last=False)

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            wanted, attempt = taken
            rest = self._carry_out(wanted, attempt)
            with self._changed:
                self._current = None
                if rest is not None and not self._closed:
                    self._again(rest, attempt.cancel.cancelled)
            del taken, wanted, attempt, rest  # a plan holds its client's token

    def _next(self) -> tuple[_Wanted[Source], Attempt] | None:
        """Wait for a plan and for quiet; None when closed."""
        while True:
            with self._changed:
                while not self._closed and (self._in_foreground or not self._plans):
                    self._changed.wait()
                if self._closed:
                    return None
            if not self._wait_until_idle(QUIET_CHECK_S):
                continue
            with self._changed:
                if self._closed or self._in_foreground or not self._plans:
                    continue
                client, plans = self._plans.popitem(last=False)
                _, wanted = plans.popitem()
                if plans:
                    self._plans[client] = plans  # behind the other clients
                self._current = Attempt()
                return wanted, self._current

    def _carry_out(self, wanted: _Wanted[Source], attempt: Attempt) -> _Wanted[Source] | None:
        """Make what a plan names; returns what is left for later."""
        failures = wanted.failures
        try:
            for place, find in enumerate(wanted.plan(attempt.cancel)):
                if place < wanted.done:
                    continue
                capacity = self._capacity()
                if capacity is not None and place >= capacity:
                    break
                made = self._make_one(find, attempt)
                if attempt.cancel.cancelled:
                    return replace(wanted, done=place, failures=failures)
                failures += made is None
                if failures == FAILURES:
                    break
                if attempt.goes_on or (made and self._others_wait()):
                    # this attempt gives up for nobody any more: the rest is another one
                    return replace(wanted, done=place + 1, failures=failures)
        except EngineClosed:
            return None
        except Exception:
            if attempt.cancel.cancelled:
                return wanted
            self._count_failure()
        return None

    def _make_one(self, find: Find[Source], attempt: Attempt) -> bool | None:
        """Make one picture's embedding; tells whether that was needed, None if it failed."""
        try:
            return self._make(find(), attempt)
        except EngineClosed:
            raise
        except CancelledError:
            attempt.give_up()  # the unit was dropped from the queue
        except Exception:
            # What could not be had is left out, in silence: nobody asked for it.
            if not attempt.cancel.cancelled:
                self._count_failure()
        return None

    def _count_failure(self) -> None:
        with self._changed:
            self._counters.failed += 1

    def _others_wait(self) -> bool:
        """Tell whether another client's turn has come, or this one has newer wishes."""
        with self._changed:
            return bool(self._plans)

    def _again(self, rest: _Wanted[Source], given_up: bool) -> None:
        """Put a plan back, unless its client has a newer one; holds the lock."""
        self._counters.given_up += given_up
        tries = rest.tries + given_up
        if tries >= TRIES or rest.topic in self._plans.get(rest.client, ()):
            return
        plans = self._plans.setdefault(rest.client, OrderedDict())
        plans[rest.topic] = replace(rest, tries=tries)
        plans.move_to_end(rest.topic, last=False)
        if given_up:
            # not long if something changes: a newer plan may have come
            self._changed.wait(FIRST_PAUSE_S * 2 ** (tries - 1))
