"""The queue's promises, shown with units that note when they run."""

import gc
import threading
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


@pytest.mark.parametrize("priority", [Priority.MANY, Priority.TRACK, Priority.AUTOMATIC])
def test_every_waiting_unit_runs_within_ten_clicks(scheduler, priority):
    gate, order = Gate(scheduler), []
    for _ in range(3):
        scheduler.submit(priority, lambda: order.append("job"))
    futures = [
        scheduler.submit(Priority.CLICK_DECODE, lambda: order.append("click")) for _ in range(30)
    ]
    gate.open()
    futures[-1].result(10)
    assert order.index("job") == MAX_PASSED_OVER
    assert order.count("job") == 3


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
    assert refused.value.retry_after_s >= 0
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
    scheduler.run(Priority.CLICK_DECODE, lambda: None)
    del result
    gc.collect()
    assert fate() is None


def test_costs_are_measured_by_kind(scheduler):
    pause = threading.Event()
    scheduler.run(Priority.TRACK, lambda: pause.wait(0.02))
    assert scheduler.costs.predict(Priority.TRACK) >= 0.02
    assert scheduler.costs.predict(Priority.AUTOMATIC) == 0
