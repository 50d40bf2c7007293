"""The whole engine with nano: same answers whatever came before, memory within its budget."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from sam2_serving.engine import (
    Busy,
    Cancelled,
    CancelToken,
    DiskTier,
    Engine,
    EngineClosed,
    ImageKey,
    ImageSource,
    Priority,
    Segmentation,
)
from sam2_serving.engine.first_passes import FirstPasses
from sam2_serving.masks import Box
from sam2_serving.model import Point, Prediction, Prompts, load_model
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

NANO = REPOSITORY / "checkpoints/nano/nano.pt"
SCENES = [draw_scene(seed, size=(200, 160)).image for seed in range(10)]
CLICK = Prompts(points=(Point(90, 80),))


class Library:
    """Ten images and a note of how often each was fetched."""

    def __init__(self) -> None:
        self.loads = [0] * len(SCENES)
        self._lock = threading.Lock()

    def source(self, number: int) -> ImageSource:
        def load() -> np.ndarray:
            with self._lock:
                self.loads[number] += 1
            return SCENES[number]

        return ImageSource(ImageKey("image", "http://here", str(number)), load)


def new_engine(
    store_bytes: int = 2**30, queue_limit: int = 256, disk: DiskTier | None = None
) -> Engine:
    model = load_model(NANO, "cpu", "float32")
    return Engine(model, store_bytes=store_bytes, queue_limit=queue_limit, disk=disk)


@pytest.fixture
def engine():
    engine = new_engine()
    yield engine
    engine.close()


def click(number: int) -> Prompts:
    """A reproducible mix of prompts."""
    rng = np.random.default_rng(number)
    x, y = rng.integers(10, 150, 2).tolist()
    points = tuple(
        Point(int(rng.integers(0, 200)), int(rng.integers(0, 160)), bool(rng.integers(0, 2)))
        for _ in range(rng.integers(0, 4))
    )
    return (
        Prompts(points=points, box=Box(x, y, x + 45, y + 9) if number % 2 else None)
        if points
        else Prompts(points=(Point(x, y),))
    )


def same(a: Segmentation, b: Segmentation) -> bool:
    return (
        np.array_equal(a.mask, b.mask)
        and a.predicted_iou == b.predicted_iou
        and a.numeric_path == b.numeric_path
    )


def test_an_answer_does_not_depend_on_what_came_before(engine):
    library = Library()
    first = engine.segment(library.source(0), CLICK)
    more = Prompts(points=(*CLICK.points, Point(20, 30, positive=False)))
    engine.segment(library.source(0), more)
    for number in range(30):
        engine.segment(library.source(number % 10), click(number))
    assert same(engine.segment(library.source(0), CLICK), first), "after an undo"
    again = new_engine()
    assert same(again.segment(library.source(0), CLICK), first), "after a restart"
    again.segment(library.source(0), more)
    assert same(again.segment(library.source(0), more), engine.segment(library.source(0), more))
    again.close()


def test_the_same_prompts_on_two_images_have_nothing_to_do_with_each_other(engine):
    library = Library()
    more = Prompts(points=(*CLICK.points, Point(20, 30, positive=False)))
    engine.segment(library.source(0), more)
    after_another_image = engine.segment(library.source(1), more)
    fresh = new_engine()
    assert same(fresh.segment(library.source(1), more), after_another_image)
    fresh.close()


def test_eight_threads_get_what_one_thread_gets_and_memory_stays_within_the_budget(engine):
    library = Library()
    asked = [(number % 10, click(number)) for number in range(20)]
    alone = [engine.segment(library.source(image), prompts) for image, prompts in asked]
    one = engine.stats().store_bytes // 10
    small = new_engine(store_bytes=3 * one)
    peak = 0

    def work(start: int) -> list[Segmentation]:
        nonlocal peak
        answers = []
        for step in range(20):
            image, prompts = asked[(start + step) % 20]
            answers.append(small.segment(library.source(image), prompts))
            peak = max(peak, small.stats().store_bytes)
        return answers

    with ThreadPoolExecutor(8) as threads:
        for start, answers in enumerate(threads.map(work, range(8))):
            for step, answer in enumerate(answers):
                assert same(answer, alone[(start + step) % 20])
    counters = small.stats().store
    assert 0 < peak <= 3 * one
    # each one that was made is still here or was pushed out: none was made while it was here
    assert counters.made == counters.evicted + small.stats().store_bytes // one
    small.close()


def test_requests_for_one_new_image_fetch_and_encode_it_once(engine):
    library = Library()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: engine.segment(library.source(0), CLICK), range(8)))
    assert library.loads[0] == 1
    assert engine.stats().store.made == 1
    assert all(same(answer, answers[0]) for answer in answers)


def test_a_failed_fetch_is_forgotten_at_once(engine):
    def fail() -> np.ndarray:
        raise ConnectionError("the platform is away")

    key = ImageKey("image", "http://here", "0")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            engine.segment(ImageSource(key, fail), CLICK)
    assert engine.segment(ImageSource(key, lambda: SCENES[0]), CLICK).mask.shape == (160, 200)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))]
)
def test_pixels_of_a_wrong_form_are_refused(engine, image):
    with pytest.raises(ValueError, match="uint8 HxWx3"):
        engine.segment(ImageSource(ImageKey("image", "s", "odd"), lambda: image), CLICK)


def test_no_prompt_is_refused(engine):
    library = Library()
    with pytest.raises(ValueError, match="nothing to segment"):
        engine.segment(library.source(0), Prompts())
    assert library.loads[0] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 999), (999, 1), (37, 53)])
def test_odd_image_sizes_give_masks_of_that_size(engine, shape):
    image = np.full((*shape, 3), 90, np.uint8)
    source = ImageSource(ImageKey("image", "s", str(shape)), lambda: image)
    assert engine.segment(source, Prompts(points=(Point(0, 0),))).mask.shape == shape


def test_a_request_can_be_given_up(engine):
    library, token = Library(), CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        engine.segment(library.source(0), CLICK, cancel=token)
    assert engine.stats().store.made == 0
    assert library.loads[0] == 0, "not even fetched"


def test_a_full_queue_is_told_apart_from_a_failure():
    engine, hold, running = new_engine(queue_limit=1), threading.Event(), threading.Event()
    engine.segment(Library().source(0), CLICK)
    engine._scheduler.submit(0, lambda: running.set() or hold.wait(10))
    running.wait(10)
    engine._scheduler.submit(0, lambda: None)
    with pytest.raises(Busy):
        engine.segment(Library().source(0), CLICK)
    hold.set()
    engine.close()


def test_closing_frees_the_model_and_answers_with_words():
    engine = new_engine()
    engine.segment(Library().source(0), CLICK)
    network = weakref.ref(engine._model.network)
    engine.close()
    gc.collect()
    assert network() is None
    assert engine.stats().store_bytes == 0
    with pytest.raises(EngineClosed, match="stopped"):
        engine.segment(Library().source(0), CLICK)


def test_a_second_click_costs_one_decode(engine, monkeypatch):
    library, calls = Library(), []
    predict = type(engine._model).predict
    monkeypatch.setattr(
        type(engine._model), "predict", lambda *a, **k: calls.append(1) or predict(*a, **k)
    )
    engine.segment(library.source(0), CLICK)
    assert len(calls) == 1
    for positive in (True, False):
        calls.clear()
        more = Prompts(points=(*CLICK.points, Point(20, 30, positive)))
        engine.segment(library.source(0), more)
        assert len(calls) == 1


def test_a_large_image_is_resized_beside_the_device_and_not_on_it(engine, monkeypatch):
    threads = {}
    for step in ("prepare", "_encode", "predict", "to_mask"):
        work = getattr(type(engine._model), step)

        def noted(*args, work=work, step=step, **options):
            threads[step] = threading.current_thread().name
            return work(*args, **options)

        monkeypatch.setattr(type(engine._model), step, noted)
    engine.segment(Library().source(0), CLICK)
    assert threads["_encode"] == threads["predict"] == "device-owner"
    assert threads["prepare"] != "device-owner"
    assert threads["to_mask"] != "device-owner"
    engine.segment_many(Library().source(0), [CLICK])
    assert threads["to_mask"] != "device-owner"


def test_of_many_masks_few_are_in_memory(engine):
    """Masks of a large image are large: who packs each as it comes holds a unit's at most."""
    source, prompts = Library().source(0), [click(number) for number in range(40)]
    places, most = [], 0
    for place, _ in engine.segment_each(source, prompts):
        places.append(place)
        held = sum(type(one) is Segmentation for one in gc.get_objects())
        most = max(most, held)
    assert sorted(places) == list(range(40)) != places, "prompts of one form go together"
    assert most <= 9
    assert len(engine.segment_many(source, prompts)) == 40


def test_clicks_go_before_everything_else(engine, monkeypatch):
    asked = []
    submit = type(engine._scheduler).submit
    monkeypatch.setattr(
        type(engine._scheduler),
        "submit",
        lambda self, priority, *a, **k: asked.append(priority) or submit(self, priority, *a, **k),
    )
    engine.segment(Library().source(0), CLICK)
    assert asked == [Priority.CLICK_ENCODE, Priority.CLICK_DECODE]


def test_first_passes_are_bounded():
    passes = FirstPasses(limit=3)
    for number in range(10):
        passes.get_or_make(number, lambda n=number: Prediction(torch.zeros(1, 4, 4), n))
    assert passes.get_or_make(9, pytest.fail).predicted_iou == 9
    made = Prediction(torch.zeros(1, 4, 4), -1.0)
    found = passes.get_or_make(0, lambda: made)
    assert found.predicted_iou == made.predicted_iou, "the oldest was forgotten"


def test_stats_are_of_their_moment(engine):
    before = engine.stats()
    engine.segment(Library().source(0), CLICK)
    assert before.store.made == 0
    assert engine.stats().store.made == 1


def test_two_may_close_at_once():
    engine = new_engine()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: engine.close(), range(4)))


def test_a_restart_costs_no_image_if_embeddings_are_kept_on_disk(tmp_path):
    """The next engine answers with the same bytes, and does not even fetch the pixels."""
    prompts = Prompts(points=(Point(90, 80), Point(30, 40, positive=False)), box=Box(9, 8, 150, 90))
    key = ImageKey("image", "http://here", "0", "its hash", by_content=True)
    with new_engine(disk=DiskTier(tmp_path, 2**30)) as engine:
        before = engine.segment(ImageSource(key, lambda: SCENES[0]), prompts)
        assert engine._files.settle(10)
    with new_engine(disk=DiskTier(tmp_path, 2**30)) as engine:
        after = engine.segment(ImageSource(key, pytest.fail), prompts)
        assert engine.stats().files.read == 1
    assert after.predicted_iou == before.predicted_iou
    assert np.array_equal(after.mask, before.mask)


def test_a_remembered_first_pass_holds_one_mask_and_not_the_three_it_was_chosen_from(engine):
    engine.segment(Library().source(0), CLICK)
    (kept,) = engine._first_passes._predictions.values()
    assert kept.logits.untyped_storage().nbytes() == kept.logits.nbytes
