"""The queue's promises, shown with units that note when they run."""

import concurrent.futures
import gc
import itertools
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import closing

import pytest

from sam2_serving.engine import Busy, CancelToken, EngineClosed, Priority
from sam2_serving.engine.errors import ClientBusy
from sam2_serving.engine.scheduler import (
    LONGEST_TURN_S,
    MAX_PASSED_OVER,
    TURNS_REMEMBERED,
    Scheduler,
)
from sam2_serving.model.parts import InParts, Parts


@pytest.fixture
def scheduler():
    scheduler = Scheduler(queue_limit=40)
    yield scheduler
    scheduler.close()


class Gate:
    """Holds the device until it is opened, so that a test can fill the queue at leisure."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._open = threading.Event()
        running = threading.Event()

        def hold() -> None:
            running.set()
            self._open.wait(10)

        self.future = scheduler.submit(Priority.CLICK_DECODE, hold)
        running.wait(10)

    def open(self) -> None:
        self._open.set()


def test_lower_numbers_go_first_and_equals_in_order_of_arrival(scheduler):
    gate, order = Gate(scheduler), []
    for priority in (Priority.AUTOMATIC, Priority.TRACK, Priority.CLICK_DECODE, Priority.TRACK):
        scheduler.submit(priority, lambda name=priority: order.append(name))
    last = scheduler.submit(Priority.AUTOMATIC, lambda: None)
    gate.open()
    last.result(10)
    assert order == [Priority.CLICK_DECODE, Priority.TRACK, Priority.TRACK, Priority.AUTOMATIC]


def order_of_units(scheduler, jobs: list[Priority], clicks: int, units: int = 1) -> list[str]:
    """Let jobs of `units` units each wait beside clicks; return the order in which they ran."""
    gate, order = Gate(scheduler), []
    futures = [
        scheduler.submit(priority, lambda n=number: order.append(f"job {n}"), job=number)
        for _ in range(units)
        for number, priority in enumerate(jobs)
    ]
    futures += [
        scheduler.submit(Priority.CLICK_DECODE, lambda: order.append("click"))
        for _ in range(clicks)
    ]
    gate.open()
    for future in futures:
        future.result(10)
    return order


@pytest.mark.parametrize("priority", [Priority.MANY, Priority.TRACK, Priority.AUTOMATIC])
def test_a_job_advances_with_every_tenth_unit_at_the_latest(scheduler, priority):
    order = order_of_units(scheduler, [priority], clicks=30, units=3)
    assert [place for place, ran in enumerate(order) if ran == "job 0"] == [9, 19, 29]


@pytest.mark.parametrize("count", [2, 5, 10])
def test_each_of_several_jobs_advances_in_time(scheduler, count):
    jobs = [Priority.TRACK, Priority.AUTOMATIC] * (count // 2) + [Priority.TRACK] * (count % 2)
    order = order_of_units(scheduler, jobs, clicks=28)
    for job in range(count):
        clicks_before = order[: order.index(f"job {job}")].count("click")
        assert clicks_before <= MAX_PASSED_OVER


@pytest.mark.parametrize("count", [3, 10, 38])
def test_a_click_never_waits_for_more_than_one_of_them(scheduler, count):
    order = order_of_units(scheduler, [Priority.TRACK] * count, clicks=38 - count + 1)
    last_click = len(order) - 1 - order[::-1].index("click")
    for before, after in itertools.pairwise(order[: last_click + 1]):
        assert "click" in (before, after), order


def test_one_job_with_many_units_does_not_crowd_out_another(scheduler):
    gate, order = Gate(scheduler), []
    for _ in range(20):
        scheduler.submit(Priority.MANY, lambda: order.append("many"), job="boxes")
    track = scheduler.submit(Priority.TRACK, lambda: order.append("track"), job="track")
    gate.open()
    track.result(10)
    assert order.index("track") == MAX_PASSED_OVER


def test_a_prefetch_is_dropped_the_instant_anything_else_waits(scheduler):
    gate, ran = Gate(scheduler), []
    waiting = [scheduler.submit(Priority.PREFETCH, lambda: ran.append(1)) for _ in range(3)]
    assert not any(future.done() for future in waiting), "what runs is not what waits"
    track = scheduler.submit(Priority.TRACK, lambda: None)
    late = scheduler.submit(Priority.PREFETCH, lambda: ran.append(1))
    assert all(future.cancelled() for future in (*waiting, late))
    gate.open()
    track.result(10)
    assert not ran
    assert scheduler.run(Priority.PREFETCH, lambda: "alone") == "alone"


def test_a_prefetch_that_somebody_waits_for_is_no_longer_one(scheduler):
    gate, order = Gate(scheduler), []
    taken = scheduler.submit(Priority.PREFETCH, lambda: order.append("taken"), client="reader")
    scheduler.hurry(taken, Priority.CLICK_ENCODE, "clicker")
    track = scheduler.submit(Priority.TRACK, lambda: order.append("track"))
    scheduler.hurry(taken, Priority.AUTOMATIC, "reader")
    assert scheduler.depth()[Priority.CLICK_ENCODE] == 1, "nobody is moved back"
    gate.open()
    track.result(10)
    assert order == ["taken", "track"]


def test_who_wants_to_begin_when_it_is_quiet_is_told(scheduler):
    assert scheduler.wait_until_idle(10)
    gate = Gate(scheduler)
    assert not scheduler.wait_until_idle(0.01), "a unit runs"
    scheduler.submit(Priority.TRACK, gate.future.result)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        told = threads.submit(scheduler.wait_until_idle, 10)
        gate.open()
        assert told.result(10)
    assert not any(scheduler.depth().values())


@pytest.mark.parametrize("priority", [Priority.CLICK_DECODE, Priority.MANY, Priority.TRACK])
def test_of_one_priority_clients_are_served_in_turn(scheduler, priority):
    gate, order = Gate(scheduler), []
    asked = [("a", 20), ("b", 3), ("c", 3)]
    futures = [
        scheduler.submit(priority, lambda who=who: order.append(who), client=who)
        for who, count in asked
        for _ in range(count)
    ]
    gate.open()
    concurrent.futures.wait(futures, 10)
    assert order[:9] == ["a", "b", "c"] * 3
    assert order[9:] == ["a"] * 17


def test_who_comes_back_at_once_is_not_always_first(scheduler):
    """One at a time, but at once again: beside one who has a hundred waiting they take turns."""
    gate, order = Gate(scheduler), []
    future = scheduler.submit(Priority.CLICK_DECODE, lambda: order.append("one"), client="one")
    many = [
        scheduler.submit(Priority.CLICK_DECODE, lambda: again(), client="many") for _ in range(20)
    ]

    def again() -> None:
        order.append("many")
        scheduler.submit(Priority.CLICK_DECODE, lambda: order.append("one"), client="one")

    gate.open()
    concurrent.futures.wait([future, *many], 10)
    assert order[:10] == ["one", "many"] * 5


def test_clients_who_were_served_are_not_remembered_for_ever(scheduler):
    for number in range(TURNS_REMEMBERED + 50):
        scheduler.run(Priority.CLICK_DECODE, lambda: None, client=str(number))
    assert len(scheduler._turns) <= TURNS_REMEMBERED


def test_a_full_share_is_one_clients_own_trouble():
    scheduler = Scheduler(queue_limit=40, client_limit=3)
    gate, token = Gate(scheduler), CancelToken()

    def ask(priority: Priority = Priority.CLICK_DECODE, client: str = "a") -> None:
        scheduler.submit(priority, lambda: None, token, client=client)

    for _ in range(3):
        ask()
    with pytest.raises(ClientBusy) as refused:
        ask()
    assert refused.value.retry_after_s >= 1
    ask(client="b")
    for _ in range(3):
        ask(Priority.TRACK)
    with pytest.raises(ClientBusy):
        ask(Priority.AUTOMATIC)
    token.cancel()
    scheduler.submit(Priority.CLICK_DECODE, lambda: None, client="a")
    gate.open()
    scheduler.close()


def test_a_full_queue_refuses_and_says_when_to_come_back(scheduler):
    gate = Gate(scheduler)
    futures = [scheduler.submit(Priority.CLICK_DECODE, lambda: None) for _ in range(40)]
    with pytest.raises(Busy) as refused:
        scheduler.submit(Priority.CLICK_DECODE, lambda: None)
    assert refused.value.retry_after_s >= 1
    assert "try again in" in str(refused.value)
    gate.open()
    futures[-1].result(10)
    assert scheduler.run(Priority.CLICK_DECODE, lambda: "again") == "again"


def test_a_queue_full_of_prefetches_is_no_full_queue(scheduler):
    gate = Gate(scheduler)
    for _ in range(40):
        scheduler.submit(Priority.PREFETCH, lambda: None)
    with pytest.raises(Busy):
        scheduler.submit(Priority.PREFETCH, lambda: None)
    click = scheduler.submit(Priority.CLICK_DECODE, lambda: "mask")
    gate.open()
    assert click.result(10) == "mask"


def test_what_was_cancelled_does_not_pile_up(scheduler):
    gate = Gate(scheduler)
    for _ in range(200):
        scheduler.submit(Priority.CLICK_DECODE, lambda: None).cancel()
    assert len(scheduler._waiting) <= 41
    gate.open()


def test_a_cancelled_unit_costs_nothing_and_leaves_its_place(scheduler):
    gate, ran, token = Gate(scheduler), [], CancelToken()
    futures = [
        scheduler.submit(Priority.CLICK_DECODE, lambda: ran.append(1), token) for _ in range(40)
    ]
    token.cancel()
    assert scheduler.depth()[Priority.CLICK_DECODE] == 0
    after = scheduler.submit(Priority.CLICK_DECODE, lambda: "next")
    gate.open()
    assert after.result(10) == "next"
    assert not ran
    with pytest.raises(CancelledError):
        futures[0].result(10)


def test_a_token_cancelled_earlier_cancels_what_comes_later(scheduler):
    gate, token = Gate(scheduler), CancelToken()
    token.cancel()
    assert scheduler.submit(Priority.CLICK_DECODE, lambda: None, token).cancelled()
    gate.open()


def test_an_error_reaches_the_one_who_asked_and_nobody_else(scheduler):
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scheduler.run(Priority.CLICK_DECODE, fail)
    assert scheduler.run(Priority.CLICK_DECODE, lambda: 1) == 1


def test_close_fails_what_waits_and_refuses_what_comes():
    scheduler = Scheduler()
    gate = Gate(scheduler)
    waiting = scheduler.submit(Priority.CLICK_DECODE, lambda: None)
    closer = threading.Thread(target=scheduler.close)
    closer.start()
    with pytest.raises(EngineClosed):
        waiting.result(10)
    gate.open()
    closer.join(10)
    assert not closer.is_alive()
    with pytest.raises(EngineClosed):
        scheduler.submit(Priority.CLICK_DECODE, lambda: None)


def test_the_device_thread_keeps_no_result_alive(scheduler):
    class Result:
        pass

    result = scheduler.run(Priority.CLICK_DECODE, Result)
    fate = weakref.ref(result)
    del result
    wait_for(lambda: fate() is None)


def test_a_failed_unit_leaves_nothing_behind_even_without_the_collector(scheduler):
    class Pixels:
        pass

    def fail(pixels: Pixels) -> None:
        raise ArithmeticError

    pixels = Pixels()
    fate = weakref.ref(pixels)
    gc.disable()
    try:
        future = scheduler.submit(Priority.CLICK_DECODE, lambda p=pixels: fail(p))
        assert isinstance(future.exception(10), ArithmeticError)
        del pixels, future
        wait_for(lambda: fate() is None)
    finally:
        gc.enable()


def wait_for(condition) -> None:
    """The device thread lets go a moment after the result is out."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never happened")


def test_those_who_wait_for_many_hear_of_cancelled_ones(scheduler):
    gate, token = Gate(scheduler), CancelToken()
    future = scheduler.submit(Priority.CLICK_DECODE, lambda: None, token)
    token.cancel()
    gate.open()
    done, _ = concurrent.futures.wait([future], timeout=10)
    assert done == {future}


def test_what_a_dropped_prefetch_sets_off_is_not_lost(scheduler):
    gate = Gate(scheduler)
    prefetches = [scheduler.submit(Priority.PREFETCH, lambda: None) for _ in range(2)]
    chained: list[concurrent.futures.Future] = []

    def chain(_: concurrent.futures.Future) -> None:
        try:
            chained.append(scheduler.submit(Priority.TRACK, lambda: "ran"))
        except Busy:
            chained.append(None)

    prefetches[-1].add_done_callback(chain)
    scheduler.submit(Priority.CLICK_DECODE, lambda: None)
    gate.open()
    assert chained[0] is None or chained[0].result(10) == "ran"


class Part:
    """A unit in three parts, before each of which something happens."""

    def __init__(self, order: list[str], name: str, *before: Callable[[], object]) -> None:
        self.call = InParts(self._parts)
        self.ended = False
        self._order, self._name, self._before = order, name, before

    def _parts(self) -> Parts[str]:
        try:
            for number, before in enumerate(self._before):
                self._order.append(f"{self._name}{number}")
                before()
                yield
        finally:
            self.ended = True
        return self._name


def nothing() -> None:
    """Do it."""


@pytest.mark.parametrize("priority", [Priority.CLICK_ENCODE, Priority.TRACK, Priority.PREFETCH])
def test_between_two_parts_a_unit_makes_way_and_then_goes_on(scheduler, priority):
    order: list[str] = []

    def click() -> None:
        order.append("click")
        if order.count("click") == 1:
            scheduler.submit(Priority.CLICK_DECODE, click)

    def arrive() -> None:
        scheduler.submit(Priority.CLICK_DECODE, click)
        scheduler.submit(priority, lambda: order.append("equal"), client="another")

    unit = Part(order, "part", nothing, arrive, nothing)
    assert scheduler.run(priority, unit.call) == "part"
    assert scheduler.wait_until_idle(10)
    equal = [] if priority is Priority.PREFETCH else ["equal"]
    assert order == ["part0", "part1", "click", "click", "part2", *equal]


def test_who_waits_for_a_unit_that_runs_or_made_way_moves_it_forward(scheduler):
    order: list[str] = []

    def hurry(priority: Priority) -> None:
        scheduler.hurry(futures[0], priority, "clicker")

    def click_encode() -> None:
        scheduler.submit(Priority.CLICK_ENCODE, lambda: order.append("encode"))
        scheduler.submit(Priority.CLICK_DECODE, lambda: hurry(Priority.CLICK_ENCODE))
        scheduler.submit(Priority.MANY, lambda: order.append("many"))

    ahead = Part(order, "ahead", click_encode, nothing)
    gate = Gate(scheduler)
    futures = [scheduler.submit(Priority.PREFETCH, ahead.call)]
    gate.open()
    futures[0].result(10)
    assert scheduler.wait_until_idle(10)
    assert order == ["ahead0", "ahead1", "encode", "many"], "when it had made way"

    def running() -> None:
        hurry(Priority.CLICK_ENCODE)
        scheduler.submit(Priority.MANY, lambda: order.append("many"))

    order.clear()
    gate = Gate(scheduler)
    futures[0] = scheduler.submit(Priority.PREFETCH, Part(order, "ahead", running, nothing).call)
    gate.open()
    assert scheduler.wait_until_idle(10)
    assert order == ["ahead0", "ahead1", "many"], "while it ran"


def test_parts_of_a_job_come_before_its_next_unit(scheduler):
    order: list[str] = []

    def click() -> None:
        scheduler.submit(Priority.CLICK_DECODE, lambda: order.append("click"))

    gate = Gate(scheduler)
    scheduler.submit(Priority.TRACK, Part(order, "encode", click, nothing).call, job="job")
    scheduler.submit(Priority.TRACK, lambda: order.append("decode"), job="job")
    gate.open()
    assert scheduler.wait_until_idle(10)
    assert order == ["encode0", "click", "encode1", "decode"]


def test_a_unit_whose_turn_has_come_gets_on_for_a_while_and_no_longer():
    """Part by part it would take for ever, and all at once a click would wait too long."""
    order, now = [], [0.0]
    with closing(Scheduler(clock=lambda: now[0])) as scheduler:

        def take_time() -> None:
            now[0] += LONGEST_TURN_S / 2

        gate = Gate(scheduler)
        encode = Part(order, "", *[take_time] * 5)
        scheduler.submit(Priority.TRACK, encode.call)
        clicks = 2 * MAX_PASSED_OVER
        for _ in range(clicks):
            scheduler.submit(Priority.CLICK_DECODE, lambda: order.append("c"))
        gate.open()
        assert scheduler.wait_until_idle(10)
    first = "c" * MAX_PASSED_OVER
    assert "".join(order) == first + "01" + first + "234"


@pytest.mark.parametrize("priority", [Priority.CLICK_ENCODE, Priority.TRACK])
def test_of_each_priority_one_unit_is_half_done_at_most(priority):
    """Each holds what the network made on the way: one of each client would fill the memory."""
    order, now = [], [0.0]
    with closing(Scheduler(clock=lambda: now[0])) as scheduler:

        def take_time() -> None:
            now[0] += LONGEST_TURN_S

        gate = Gate(scheduler)
        for name in "abc":
            scheduler.submit(priority, Part(order, name, *[take_time] * 3).call, client=name)
        for _ in range(4 * MAX_PASSED_OVER):
            scheduler.submit(Priority.CLICK_DECODE, lambda: order.append("click"))
        gate.open()
        assert scheduler.wait_until_idle(10)
    in_parts = [one for one in order if one != "click"]
    assert in_parts == ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"]
    assert order.index("click") < order.index("a0") < order.index("c0") < len(order) - 3
    turns = [place for place, one in enumerate(order) if one != "click"][:-2]
    assert all(later > earlier + 1 for earlier, later in itertools.pairwise(turns))


def test_closing_ends_what_made_way_and_what_is_half_done():
    for keep_running in (False, True):
        order, stop = [], threading.Event()
        scheduler = Scheduler()

        def begin_closing(scheduler=scheduler, stop=stop) -> None:
            threading.Thread(target=scheduler.close).start()
            while not scheduler._closed:
                time.sleep(0.001)
            stop.set()

        def click(scheduler=scheduler, begin_closing=begin_closing) -> None:
            scheduler.submit(Priority.CLICK_DECODE, begin_closing)

        unit = Part(order, "part", begin_closing if keep_running else click, nothing)
        future = scheduler.submit(Priority.PREFETCH, unit.call)
        assert isinstance(future.exception(10), EngineClosed)
        assert stop.wait(10)
        assert unit.ended
        assert order == ["part0"]


def test_costs_are_measured_by_kind(scheduler):
    pause = threading.Event()
    scheduler.run(Priority.TRACK, lambda: pause.wait(0.02))
    assert scheduler.costs.predict(Priority.TRACK) >= 0.02
    assert scheduler.costs.predict(Priority.AUTOMATIC) == 0
