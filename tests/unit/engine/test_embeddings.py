"""The store's promises: byte budget, order of eviction, single flight, no shared failures."""

import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
import torch

from sam2_serving.engine import Busy, CancelToken, EngineClosed
from sam2_serving.engine.embeddings import EmbeddingKey, EmbeddingStore, ImageKey, Tier
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
        assert [future.exception(10) for future in futures] == [reason] * 3


def wait_until_waiting(store: EmbeddingStore, count: int) -> None:
    """Those who follow a flight hang a callback on it."""
    for _ in range(500):
        if len(store._in_flight[key("a")]._done_callbacks) >= count:
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
