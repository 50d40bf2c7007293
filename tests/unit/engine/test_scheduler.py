"""The queue's promises, shown with units that note when they run."""

import concurrent.futures
import gc
import itertools
import threading
import time
import weakref
from concurrent.futures import CancelledError

import pytest

from sam2_serving.engine import Busy, CancelToken, EngineClosed, Priority
from sam2_serving.engine.scheduler import MAX_PASSED_OVER, Scheduler


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
    for priority in (Priority.PREFETCH, Priority.TRACK, Priority.CLICK_DECODE, Priority.TRACK):
        name = (priority, len(order), priority.name)
        scheduler.submit(priority, lambda name=name: order.append(name[0]))
    last = scheduler.submit(Priority.PREFETCH, lambda: None)
    gate.open()
    last.result(10)
    assert order == [Priority.CLICK_DECODE, Priority.TRACK, Priority.TRACK, Priority.PREFETCH]


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


def test_prefetch_never_overtakes(scheduler):
    gate, order = Gate(scheduler), []
    prefetch = scheduler.submit(Priority.PREFETCH, lambda: order.append("prefetch"))
    for _ in range(30):
        scheduler.submit(Priority.CLICK_DECODE, lambda: order.append("click"))
    gate.open()
    prefetch.result(10)
    assert order[-1] == "prefetch"


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


def test_a_full_queue_drops_prefetches_first_and_the_youngest_of_them(scheduler):
    gate = Gate(scheduler)
    prefetches = [scheduler.submit(Priority.PREFETCH, lambda: None) for _ in range(40)]
    click = scheduler.submit(Priority.CLICK_DECODE, lambda: "mask")
    assert [future.cancelled() for future in prefetches] == [False] * 39 + [True]
    with pytest.raises(Busy):
        scheduler.submit(Priority.PREFETCH, lambda: None)
    gate.open()
    assert click.result(10) == "mask"


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
        raise MemoryError

    pixels = Pixels()
    fate = weakref.ref(pixels)
    gc.disable()
    try:
        future = scheduler.submit(Priority.CLICK_DECODE, lambda p=pixels: fail(p))
        assert isinstance(future.exception(10), MemoryError)
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
    prefetches = [scheduler.submit(Priority.PREFETCH, lambda: None) for _ in range(40)]
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


def test_costs_are_measured_by_kind(scheduler):
    pause = threading.Event()
    scheduler.run(Priority.TRACK, lambda: pause.wait(0.02))
    assert scheduler.costs.predict(Priority.TRACK) >= 0.02
    assert scheduler.costs.predict(Priority.AUTOMATIC) == 0
