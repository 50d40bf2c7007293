"""What is encoded before the click: when, how much, and who goes first after all."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from sam2_serving.engine import CancelToken, Engine, ImageKey, ImageSource, Priority
from sam2_serving.engine.prefetch import FAILURES, TRIES, Attempt, Prefetcher
from sam2_serving.model import Point, Prompts, load_model
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

IMAGE = draw_scene(1, size=(120, 90)).image
CLICK = Prompts(points=(Point(60, 40),))


class Maker:
    """Makes what it is told to, slowly if a test wants so."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.idle = threading.Event()
        self.idle.set()
        self.before: Callable[[str, Attempt], None] = lambda name, attempt: None
        self.capacity: int | None = None
        self.prefetcher = Prefetcher(self._make, self.idle.wait, lambda: self.capacity)

    def _make(self, name: str, attempt: Attempt) -> bool:
        self.before(name, attempt)
        if attempt.cancel.cancelled:
            raise ConnectionError("given up")
        new = name not in self.made
        if new:
            self.made.append(name)
        return new

    def want(self, client: str, names: str, topic: str = "row") -> None:
        self.prefetcher.want(client, topic, lambda _: [lambda one=one: one for one in names])

    def until(self, made: str) -> None:
        until(lambda: "".join(self.made) == made)


def until(happened: Callable[[], bool]) -> None:
    for _ in range(1000):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


@pytest.fixture
def maker() -> Iterator[Maker]:
    maker = Maker()
    yield maker
    maker.prefetcher.close()


def test_plans_are_carried_out_in_turn_between_clients(maker):
    with maker.prefetcher.foreground():
        maker.want("a", "123")
        maker.want("b", "456")
    maker.until("142536")


def test_nothing_begins_while_somebody_waits_or_the_device_works(maker):
    maker.idle.clear()
    with maker.prefetcher.foreground():
        maker.want("a", "1")
        maker.idle.set()
        time.sleep(0.05)
        assert not maker.made
        maker.idle.clear()
    time.sleep(0.05)
    assert not maker.made
    maker.idle.set()
    maker.until("1")


def test_a_newer_plan_takes_the_place_of_the_older_one(maker):
    with maker.prefetcher.foreground():
        maker.want("a", "12")
        maker.want("a", "34")
        maker.want("a", "5", topic="another row")
    maker.until("534")


def test_no_more_than_there_is_room_for(maker):
    maker.capacity = 2
    maker.want("a", "12345")
    maker.until("12")
    time.sleep(0.05)
    assert maker.made == ["1", "2"]
    maker.capacity = 0
    maker.want("a", "6")
    time.sleep(0.05)
    assert maker.made == ["1", "2"]


def test_two_clients_do_not_push_each_others_out_for_ever(maker):
    """With room for one, each makes its own once."""
    maker.capacity = 1
    with maker.prefetcher.foreground():
        maker.want("a", "12")
        maker.want("b", "34")
    maker.until("13")
    time.sleep(0.05)
    assert maker.made == ["1", "3"]


def test_what_makes_way_comes_again_and_not_what_is_done(maker):
    began, tried = threading.Event(), []

    def hang(name: str, attempt: Attempt) -> None:
        tried.append(name)
        if tried == ["1", "2"]:
            began.set()
            until(lambda: attempt.cancel.cancelled)

    maker.before = hang
    maker.want("a", "123")
    began.wait(10)
    maker.prefetcher.give_up()
    maker.until("123")
    assert tried == ["1", "2", "2", "3"]
    assert maker.prefetcher.counters.given_up == 1
    assert maker.prefetcher.counters.failed == 0


def test_what_makes_way_again_and_again_is_dropped(maker):
    tried = []

    def busy(name: str, attempt: Attempt) -> None:
        tried.append(name)
        attempt.give_up()

    maker.before = busy
    maker.want("a", "1")
    until(lambda: maker.prefetcher.counters.given_up == TRIES)
    assert len(tried) == TRIES
    maker.before = lambda name, attempt: None
    maker.want("a", "2")
    maker.until("2")


def test_what_somebody_waits_for_does_not_make_way(maker):
    def taken(name: str, attempt: Attempt) -> None:
        assert attempt.go_on()
        attempt.give_up()

    maker.before = taken
    maker.want("a", "12")
    maker.until("12")  # the one who waits may be another client, or a long list was named
    assert maker.prefetcher.counters.given_up == 0


def test_what_was_given_up_does_not_go_on(maker):
    attempt = Attempt()
    attempt.give_up()
    assert not attempt.go_on()
    assert attempt.cancel.cancelled
    assert not attempt.goes_on


def test_what_cannot_be_had_is_left_out_and_counted(maker):
    def refuse() -> str:
        raise PermissionError

    maker.prefetcher.want("a", "row", lambda _: [refuse, lambda: "2"])
    maker.until("2")

    def fail(_: CancelToken) -> Iterator[Callable[[], str]]:
        raise ConnectionError
        yield

    maker.prefetcher.want("a", "row", fail)
    until(lambda: maker.prefetcher.counters.failed == 2)
    maker.want("a", "3")
    maker.until("23")
    maker.prefetcher.want("a", "row", lambda _: [*[refuse] * FAILURES, lambda: "4"])
    maker.want("a", "5", topic="another row")
    maker.until("235")
    time.sleep(0.05)
    assert maker.made[-1] == "5", "a plan of which nothing can be had comes to an end"


def test_failures_count_for_the_whole_plan(maker):
    """An attempt ends with what the device has begun, the plan does not."""

    def refuse() -> str:
        raise PermissionError

    names = [lambda: "1", refuse, lambda: "2", refuse, lambda: "3", refuse, lambda: "4"]
    assert names.count(refuse) == FAILURES
    maker.before = lambda _, attempt: attempt.go_on()
    maker.prefetcher.want("a", "row", lambda _: names)
    until(lambda: maker.prefetcher.counters.failed == FAILURES)
    maker.want("b", "5")
    maker.until("1235")


def test_a_closed_one_does_nothing(maker):
    with maker.prefetcher.foreground():
        maker.want("a", "1")
        maker.prefetcher.close()
    maker.want("a", "2")
    until(lambda: not maker.prefetcher._thread.is_alive())
    assert not maker.made


# The whole engine with nano


class Library:
    """Images, and a note of how often each was fetched."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.hold: dict[str, threading.Event] = {}

    def source(self, name: str) -> ImageSource:
        def load() -> np.ndarray:
            self.loads.append(name)
            if name in self.hold:
                self.hold[name].wait(10)
            return IMAGE

        return ImageSource(ImageKey("image", "http://here", name), load)

    def plan(self, *names: str):
        return lambda _: [lambda name=name: self.source(name) for name in names]


@pytest.fixture
def engine() -> Iterator[Engine]:
    nano = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    engine = Engine(nano, store_bytes=2**30)
    yield engine
    engine.close()


def test_a_click_on_what_was_made_ahead_costs_no_fetch_and_no_encode(engine):
    library = Library()
    engine.look_ahead("client", "row", library.plan("next"))
    until(lambda: engine.stats().ahead.embeddings.made == 1)
    first = engine.segment(library.source("next"), CLICK)
    assert library.loads == ["next"]
    assert engine.stats().store.made == engine.stats().ahead.embeddings.used == 1
    again = engine.segment(library.source("another"), CLICK)
    assert np.array_equal(first.mask, again.mask), "the same pixels, however they came"


def test_a_click_takes_over_what_is_being_fetched(engine):
    """One fetch, one encode, in the click's place, whatever else waits."""
    library, device = Library(), threading.Event()
    library.hold["next"] = threading.Event()
    engine.look_ahead("client", "row", library.plan("next"))
    until(lambda: library.loads == ["next"])
    answer = []
    click = threading.Thread(
        target=lambda: answer.append(engine.segment(library.source("next"), CLICK))
    )
    click.start()
    until(lambda: any(flight.joined for flight in engine._store._in_flight.values()))
    engine._scheduler.submit(Priority.TRACK, lambda: device.wait(10))  # makes a prefetch give up
    track = engine._scheduler.submit(Priority.TRACK, lambda: None)
    library.hold["next"].set()
    until(lambda: engine._scheduler.depth()[Priority.CLICK_ENCODE] == 1)
    device.set()
    click.join(10)
    track.result(10)
    assert answer
    assert library.loads == ["next"]
    assert engine.stats().store.made == 1
    assert engine.stats().ahead.embeddings.used == 1
    assert engine.stats().ahead.plans.given_up == 0


def test_a_click_on_another_image_makes_a_fetch_give_up(engine):
    library, told = Library(), []
    library.hold["next"] = threading.Event()

    def plan(cancel: CancelToken):
        told.append(cancel)
        return library.plan("next")(cancel)

    engine.look_ahead("client", "row", plan)
    until(lambda: library.loads == ["next"])
    engine.segment(library.source("clicked"), CLICK)
    assert told[0].cancelled
    library.hold["next"].set()
    until(lambda: engine.stats().ahead.embeddings.made == 1)
    assert library.loads == ["next", "clicked", "next"]
    assert engine.stats().ahead.plans.given_up == 1


def test_a_decode_is_enough_to_make_a_fetch_give_up(engine):
    library = Library()
    engine.segment(library.source("here"), CLICK)
    library.hold["next"] = threading.Event()
    engine.look_ahead("client", "row", library.plan("next"))
    until(lambda: library.loads == ["here", "next"])
    engine.segment(library.source("here"), CLICK)
    library.hold["next"].set()
    until(lambda: engine.stats().ahead.plans.given_up == 1)


class HeldEncode:
    """Holds the encoder of an engine before its second block and before its last."""

    def __init__(self, engine: Engine) -> None:
        self.reached = [threading.Event(), threading.Event()]
        self.open = [threading.Event(), threading.Event()]
        blocks = engine._model.network.image_encoder.trunk.blocks
        self._hooks = [
            block.register_forward_pre_hook(partial(self._hold, place))
            for place, block in enumerate((blocks[1], blocks[-1]))
        ]

    def _hold(self, place: int, *_: object) -> None:
        self.reached[place].set()
        assert self.open[place].wait(10)

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def test_a_click_waits_for_a_block_of_an_encode_ahead_of_time_and_not_for_all_of_it(engine):
    """And the encode, which stopped in the middle, is neither lost nor another one."""
    library = Library()
    engine.segment(library.source("here"), CLICK)
    encode = HeldEncode(engine)
    engine.look_ahead("client", "row", library.plan("next"))
    assert encode.reached[0].wait(10)
    with ThreadPoolExecutor() as threads:
        click = threads.submit(engine.segment, library.source("here"), CLICK)
        until(lambda: engine._scheduler.depth()[Priority.CLICK_DECODE] == 1)
        encode.open[0].set()
        here = click.result(10)
        assert engine.stats().ahead.embeddings.made == 0
        encode.open[1].set()
    until(lambda: engine.stats().ahead.embeddings.made == 1)
    encode.remove()
    following = engine.segment(library.source("next"), CLICK)
    assert np.array_equal(here.mask, following.mask), "the same pixels"
    assert here.predicted_iou == following.predicted_iou
    assert library.loads == ["here", "next"]
    assert engine.stats().store.made == 2
    assert engine.stats().ahead.plans.given_up == 0


def test_a_click_takes_over_an_encode_that_has_made_way_for_another_click(engine):
    library = Library()
    engine.segment(library.source("here"), CLICK)
    encode = HeldEncode(engine)
    engine.look_ahead("client", "row", library.plan("next"))
    assert encode.reached[0].wait(10)
    with ThreadPoolExecutor() as threads:
        other = threads.submit(engine.segment, library.source("here"), CLICK)
        until(lambda: engine._scheduler.depth()[Priority.CLICK_DECODE] == 1)
        click = threads.submit(engine.segment, library.source("next"), CLICK)
        until(lambda: engine._scheduler._running.priority is Priority.CLICK_ENCODE)
        track = engine._scheduler.submit(Priority.TRACK, encode.reached[1].is_set)
        for gate in encode.open:
            gate.set()
        assert track.result(10), "the encode is a click's now, and goes first"
        assert other.result(10).predicted_iou == click.result(10).predicted_iou
    encode.remove()
    assert library.loads == ["here", "next"]
    assert engine.stats().ahead.embeddings.used == 1


def test_stopping_the_model_ends_an_encode_that_made_way():
    engine = Engine(
        load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32"), store_bytes=2**30
    )
    encode, network = HeldEncode(engine), weakref.ref(engine._model.network)
    engine.look_ahead("client", "row", Library().plan("next"))
    assert encode.reached[0].wait(10)
    work = engine._scheduler.submit(Priority.TRACK, encode.open[1].wait)
    with ThreadPoolExecutor() as threads:
        encode.open[0].set()
        until(work.running)
        closing = threads.submit(engine.close)
        until(lambda: engine._scheduler._closed)
        encode.open[1].set()
        closing.result(10)
    encode.remove()
    until(lambda: not gc.collect() and network() is None)
    assert not encode.reached[1].is_set()


def test_no_share_no_work():
    nano = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    with Engine(nano, store_bytes=2**30, ahead_share=0) as engine:
        library = Library()
        engine.look_ahead("client", "row", library.plan("next"))
        assert engine._embedder._prefetcher._thread is None
