"""The store's promises: byte budget, order of eviction, single flight, no shared failures."""

import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress

import pytest
import torch

from sam2_serving.engine import Busy, CancelToken, EngineClosed, Priority
from sam2_serving.engine.embeddings import EmbeddingKey, EmbeddingStore, ImageKey, Tier
from sam2_serving.engine.errors import ClientBusy
from sam2_serving.engine.scheduler import Scheduler
from sam2_serving.engine.turns import EncodeTurn
from sam2_serving.model import ImageEmbedding

CPU = torch.device("cpu")


def key(name: str) -> EmbeddingKey:
    return EmbeddingKey("weights", 256, "float32", ImageKey("image", "server", name))


def embedding(numbers: int = 100) -> ImageEmbedding:
    nothing = torch.empty(0)
    return ImageEmbedding(torch.zeros(numbers), (nothing, nothing), (1, 1))


def test_the_budget_holds_and_the_least_recently_used_goes():
    store = EmbeddingStore(Tier(CPU, 1000))
    for name in ("a", "b"):
        store.get_or_make(key(name), embedding)
    store.get_or_make(key("a"), embedding)
    store.get_or_make(key("c"), embedding)
    assert store.nbytes == 800
    assert store.counters.evicted == 1
    store.get_or_make(key("a"), pytest.fail)
    made = []
    store.get_or_make(key("b"), lambda: made.append(1) or embedding())
    assert made, "b was used longest ago, so it must have gone"


def test_what_is_larger_than_the_budget_is_answered_but_not_kept():
    store = EmbeddingStore(Tier(CPU, 100))
    assert store.get_or_make(key("a"), embedding).nbytes == 400
    assert store.nbytes == 0


def test_what_falls_out_of_the_device_is_kept_on_the_host_and_comes_back():
    store = EmbeddingStore(Tier(CPU, 500), Tier(CPU, 500))
    for name in ("a", "b"):
        store.get_or_make(key(name), embedding)
    assert store.nbytes == 800
    store.get_or_make(key("a"), pytest.fail)
    store.get_or_make(key("b"), pytest.fail)
    store.get_or_make(key("c"), embedding)
    assert store.counters.evicted == 1
    store.get_or_make(key("b"), pytest.fail)


@pytest.mark.parametrize(
    "other",
    [
        EmbeddingKey("other", 256, "float32", ImageKey("image", "server", "a")),
        EmbeddingKey("weights", 512, "float32", ImageKey("image", "server", "a")),
        EmbeddingKey("weights", 256, "bfloat16", ImageKey("image", "server", "a")),
        EmbeddingKey("weights", 256, "float32", ImageKey("photo", "server", "a")),
        EmbeddingKey("weights", 256, "float32", ImageKey("image", "elsewhere", "a")),
        EmbeddingKey("weights", 256, "float32", ImageKey("image", "server", "a", "new")),
        EmbeddingKey("weights", 256, "float32", ImageKey("image", "server", "a", "", "40:400")),
    ],
)
def test_anything_that_changes_the_pixels_or_the_numbers_is_another_key(other):
    store = EmbeddingStore(Tier(CPU, 10_000))
    first = store.get_or_make(key("a"), embedding)
    assert store.get_or_make(other, embedding) is not first


def test_requests_for_one_new_image_make_it_once():
    store, started, go = EmbeddingStore(Tier(CPU, 10_000)), threading.Event(), threading.Event()

    def make() -> ImageEmbedding:
        started.set()
        go.wait(10)
        return embedding()

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(store.get_or_make, key("a"), make)
        started.wait(10)
        rest = [threads.submit(store.get_or_make, key("a"), pytest.fail) for _ in range(7)]
        go.set()
        assert {id(f.result(10)) for f in [first, *rest]} == {id(first.result())}
    assert store.counters.made == 1


def test_a_failure_is_told_to_its_own_request_only_and_forgotten():
    store, started, go = EmbeddingStore(Tier(CPU, 10_000)), threading.Event(), threading.Event()

    def forbidden() -> ImageEmbedding:
        started.set()
        go.wait(10)
        raise PermissionError

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(store.get_or_make, key("a"), forbidden)
        started.wait(10)
        second = threads.submit(store.get_or_make, key("a"), embedding)
        go.set()
        with pytest.raises(PermissionError):
            first.result(10)
        assert second.result(10).nbytes == 400
    store.get_or_make(key("a"), pytest.fail)


def test_after_a_failure_only_one_of_those_who_waited_makes_it():
    store, started, go = EmbeddingStore(Tier(CPU, 10_000)), threading.Event(), threading.Event()
    made = []

    def fail() -> ImageEmbedding:
        started.set()
        go.wait(10)
        raise ConnectionError

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(store.get_or_make, key("a"), fail)
        started.wait(10)
        rest = [
            threads.submit(store.get_or_make, key("a"), lambda: made.append(1) or embedding())
            for _ in range(7)
        ]
        go.set()
        assert all(future.result(10).nbytes == 400 for future in rest)
        assert isinstance(first.exception(10), ConnectionError)
    assert len(made) == 1


@pytest.mark.parametrize("reason", [Busy(1.0), EngineClosed()])
def test_the_engines_own_reasons_are_everybodys(reason):
    store, started, go = EmbeddingStore(Tier(CPU, 10_000)), threading.Event(), threading.Event()

    def refuse() -> ImageEmbedding:
        started.set()
        go.wait(10)
        raise reason

    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(store.get_or_make, key("a"), refuse)]
        started.wait(10)
        futures += [threads.submit(store.get_or_make, key("a"), pytest.fail) for _ in range(2)]
        wait_until_waiting(store, 2)
        go.set()
        told = [future.exception(10) for future in futures]
        assert [repr(one) for one in told] == [repr(reason)] * 3


def wait_until_waiting(store: EmbeddingStore, count: int) -> None:
    """Those who follow a flight hang a callback on it."""
    for _ in range(500):
        if len(store._in_flight[key("a")].landed._done_callbacks) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("give_up", ["cancel", "close"])
def test_those_who_wait_can_give_up_while_another_still_fetches(give_up):
    store, started, go = EmbeddingStore(Tier(CPU, 10_000)), threading.Event(), threading.Event()
    token = CancelToken()

    def slow() -> ImageEmbedding:
        started.set()
        go.wait(10)
        return embedding()

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(store.get_or_make, key("a"), slow)
        started.wait(10)
        second = threads.submit(store.get_or_make, key("a"), pytest.fail, token)
        wait_until_waiting(store, 1)
        token.cancel() if give_up == "cancel" else store.close()
        with pytest.raises(CancelledError if give_up == "cancel" else EngineClosed):
            second.result(10)
        assert not first.done()
        go.set()
        assert first.result(10).nbytes == 400
    assert store.nbytes == (400 if give_up == "cancel" else 0)


def test_copies_between_tiers_go_where_they_are_told_to():
    copies = []
    store = EmbeddingStore(
        Tier(CPU, 500), Tier(CPU, 500), transfer=lambda copy: copies.append(1) or copy()
    )
    for name in ("a", "b", "a"):
        store.get_or_make(key(name), embedding)
    assert len(copies) == 3, "a sank, then a was lifted and b sank"
    assert store.counters.made == 2


def test_when_the_first_gives_up_the_next_takes_over_for_all():
    store, started, go = EmbeddingStore(Tier(CPU, 10_000)), threading.Event(), threading.Event()

    def given_up() -> ImageEmbedding:
        started.set()
        go.wait(10)
        raise CancelledError

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(store.get_or_make, key("a"), given_up)
        started.wait(10)
        rest = [threads.submit(store.get_or_make, key("a"), embedding) for _ in range(3)]
        go.set()
        with pytest.raises(CancelledError):
            first.result(10)
        assert all(future.result(10).nbytes == 400 for future in rest)
    assert store.counters.made == 1


SHARE = 1000
"""Bytes for what nobody has asked for: two embeddings of 400."""


class Ahead:
    """A store of which a part may hold what nobody has asked for."""

    def __init__(self, budget: int = 2000, host: Tier | None = None) -> None:
        self.store = EmbeddingStore(Tier(CPU, budget), host, ahead_bytes=SHARE)
        self.scheduler = Scheduler()

    def turn(self, priority: Priority = Priority.PREFETCH) -> EncodeTurn:
        return EncodeTurn(self.scheduler, priority)

    def make(self, *names: str, numbers: int = 100) -> list[bool]:
        return [
            self.store.make_ahead(key(name), lambda: embedding(numbers), self.turn())
            for name in names
        ]

    def has(self, name: str) -> bool:
        return key(name) in self.store._device.entries


@pytest.fixture
def ahead():
    ahead = Ahead()
    yield ahead
    ahead.scheduler.close()


def test_what_nobody_asked_for_takes_its_share_and_no_more(ahead):
    for name in ("clicked 1", "clicked 2"):
        ahead.store.get_or_make(key(name), embedding)
    assert ahead.make(*"abcdefgh") == [True] * 8
    assert [name for name in "abcdefgh" if ahead.has(name)] == ["g", "h"]
    assert ahead.has("clicked 1")
    assert ahead.has("clicked 2")
    assert (ahead.store.ahead_counters.made, ahead.store.ahead_counters.wasted) == (8, 6)
    assert ahead.store.counters.made == 10
    assert ahead.store.counters.evicted == 6


def test_what_is_asked_for_leaves_the_share(ahead):
    assert ahead.make("a", "b") == [True, True]
    assert ahead.make("a", "b") == [False, False], "here already"
    ahead.store.get_or_make(key("a"), pytest.fail)
    ahead.store.get_or_make(key("a"), pytest.fail)
    ahead.make("c", "d")
    assert [name for name in "abcd" if ahead.has(name)] == ["a", "c", "d"]
    counters = ahead.store.ahead_counters
    assert (counters.made, counters.used, counters.wasted) == (4, 1, 1)
    assert ahead.store.counters.hits == 2
    assert ahead.store.counters.misses == 0


def test_what_is_still_thought_to_be_next_goes_last(ahead):
    ahead.make("a", "b", "a", "c")
    assert [name for name in "abc" if ahead.has(name)] == ["a", "c"]


def test_a_full_store_pushes_out_what_was_made_ahead_like_anything_else():
    ahead = Ahead(budget=1000, host=Tier(CPU, 1000))
    ahead.make("a")
    for name in ("clicked 1", "clicked 2"):
        ahead.store.get_or_make(key(name), embedding)
    assert not ahead.has("a")
    assert ahead.store.ahead_counters.wasted == 1
    assert ahead.store.nbytes == 800, "and it is not kept on the host"
    ahead.scheduler.close()


def test_what_is_larger_than_the_share_is_not_tried_twice(ahead):
    assert ahead.store.ahead_capacity is None
    ahead.make("large", numbers=300)
    assert not ahead.has("large")
    assert ahead.store.ahead_capacity == 0
    assert EmbeddingStore(Tier(CPU, 2000)).ahead_capacity == 0, "no share at all"


def test_who_comes_while_it_is_made_ahead_waits_for_it_and_hurries_it(ahead):
    made, go, hold = [], threading.Event(), threading.Event()
    ahead.scheduler.submit(Priority.CLICK_DECODE, lambda: hold.wait(10))
    turn = ahead.turn()

    def make() -> ImageEmbedding:
        go.wait(10)
        return turn.run(lambda: made.append(1) or embedding())

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(ahead.store.make_ahead, key("a"), make, turn)
        wait_for(lambda: ahead.store._in_flight)
        own = ahead.turn(Priority.CLICK_ENCODE)
        second = threads.submit(ahead.store.get_or_make, key("a"), pytest.fail, None, own)
        wait_until_waiting(ahead.store, 1)
        go.set()
        wait_for(lambda: ahead.scheduler.depth()[Priority.CLICK_ENCODE])
        # beside a job: a prefetch would be dropped
        ahead.scheduler.submit(Priority.TRACK, lambda: None)
        hold.set()
        assert first.result(10)
        assert second.result(10).nbytes == 400
    assert made == [1]
    assert ahead.store.ahead_counters.used == 1
    ahead.make("b", "c")
    assert ahead.has("a"), "somebody asked for it, so it is not counted among the others"


def wait_for(happened: Callable[[], object]) -> None:
    for _ in range(500):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


def test_one_clients_full_share_of_the_queue_is_not_told_to_others():
    store, started, go = EmbeddingStore(Tier(CPU, 1000)), threading.Event(), threading.Event()

    def refuse() -> ImageEmbedding:
        started.set()
        go.wait(10)
        raise ClientBusy(1)

    with ThreadPoolExecutor(2) as threads:
        greedy = threads.submit(store.get_or_make, key("a"), refuse)
        started.wait(10)
        other = threads.submit(store.get_or_make, key("a"), embedding)
        wait_until_waiting(store, 1)
        go.set()
        assert isinstance(greedy.exception(10), ClientBusy)
        assert other.result(10).nbytes == 400


def test_who_comes_while_a_given_up_one_still_fetches_does_not_wait_for_its_end(ahead):
    given_up, fetching, go = CancelToken(), threading.Event(), threading.Event()
    turn = EncodeTurn(ahead.scheduler, Priority.PREFETCH, cancel=given_up)

    def fetch_slowly() -> ImageEmbedding:
        fetching.set()
        go.wait(10)  # the first byte of a download takes its time
        return embedding()

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(ahead.store.make_ahead, key("a"), fetch_slowly, turn)
        assert fetching.wait(10)
        given_up.cancel()
        own = ahead.turn(Priority.CLICK_ENCODE)
        second = threads.submit(ahead.store.get_or_make, key("a"), embedding, None, own)
        try:
            answered = second.result(5)
        finally:
            go.set()
        assert first.result(10)
    kept = ahead.store.get_or_make(key("a"), pytest.fail)
    assert kept is answered
    assert ahead.store.ahead_counters.made == 0, "it came too late"


@pytest.mark.parametrize("way", ["asked for", "ahead"])
def test_a_failure_leaves_nothing_of_the_attempt_in_memory(ahead, way):
    class Pixels:
        pass

    held: list[weakref.ref[Pixels]] = []

    def fail() -> ImageEmbedding:
        pixels = Pixels()
        held.append(weakref.ref(pixels))
        raise Busy(1)

    gc.disable()
    try:
        with suppress(Busy):
            if way == "ahead":
                ahead.store.make_ahead(key("a"), fail, ahead.turn())
            else:
                ahead.store.get_or_make(key("a"), fail)
        assert held[0]() is None
    finally:
        gc.enable()


def test_what_is_pushed_out_ahead_of_time_is_copied_at_the_lowest_priority():
    arrivals: list[int] = []
    scheduler = Scheduler(on_arrival=lambda: arrivals.append(1))
    store = EmbeddingStore(
        Tier(CPU, 400),
        Tier(CPU, 400),
        transfer=lambda copy: scheduler.run(Priority.CLICK_ENCODE, copy),
        ahead_bytes=400,
    )
    try:
        store.get_or_make(key("a"), embedding)
        assert store.make_ahead(key("b"), embedding, EncodeTurn(scheduler, Priority.PREFETCH))
        assert not arrivals, "it would make way for itself"
        assert store.nbytes == 800
    finally:
        scheduler.close()


def test_a_full_queue_costs_a_copy_and_not_the_answer():
    def refuse(copy: Callable[[], ImageEmbedding]) -> ImageEmbedding:
        raise Busy(1)

    store = EmbeddingStore(Tier(CPU, 400), Tier(CPU, 400), transfer=refuse)
    store.get_or_make(key("a"), embedding)
    assert store.get_or_make(key("b"), embedding).nbytes == 400
    assert store.counters.evicted == 1
