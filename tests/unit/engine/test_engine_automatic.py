"""Finding everything with the engine: shared embeddings, clicks in between, an end on demand."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest

from sam2_serving.engine import (
    Cancelled,
    CancelToken,
    Engine,
    EngineClosed,
    ImageKey,
    ImageSource,
    Priority,
)
from sam2_serving.model import AutomaticSettings, Point, Prompts, find_all, load_model
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

IMAGE = draw_scene(3, size=(160, 120), difficulty="hard").image
SETTINGS = AutomaticSettings(
    points_per_side=6, pred_iou_thresh=0.4, stability_score_thresh=0.4, box_nms_thresh=0.9
)
MANY_BATCHES = replace(SETTINGS, points_per_side=20, points_per_batch=4)
CLICK = Prompts(points=(Point(80, 60),))


class Picture:
    """One image and a note of how often it was fetched."""

    def __init__(self) -> None:
        self.loads = 0
        self.source = ImageSource(ImageKey("image", "http://here", "1"), self.load)

    def load(self) -> np.ndarray:
        self.loads += 1
        return IMAGE


@pytest.fixture
def model():
    return load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")


@pytest.fixture
def engine(model):
    engine = Engine(model, store_bytes=2**30)
    yield engine
    engine.close()


@pytest.mark.parametrize(("layers", "refine"), [(0, False), (1, False), (0, True)])
def test_the_engine_finds_what_the_model_finds(engine, layers, refine):
    settings = replace(SETTINGS, points_per_side=5, crop_n_layers=layers, use_m2m=refine)
    alone = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    found = list(engine.find_all(Picture().source, settings))
    assert len(found) >= 3
    assert found == list(find_all(alone, IMAGE, settings))


def test_a_clicked_image_is_not_fetched_or_encoded_again_nor_the_other_way_round(engine):
    picture = Picture()
    before = engine.segment(picture.source, CLICK)
    list(engine.find_all(picture.source, SETTINGS))
    assert (picture.loads, engine.stats().store.made) == (1, 1)
    after = engine.segment(picture.source, CLICK)
    assert np.array_equal(before.mask, after.mask)
    list(engine.find_all(picture.source, replace(SETTINGS, points_per_side=2, crop_n_layers=1)))
    assert engine.stats().store.made == 1, "crops are cut from the pixels, the whole is stored"
    other = replace(picture.source, key=ImageKey("image", "http://here", "2"))
    list(engine.find_all(other, SETTINGS))
    engine.segment(other, CLICK)
    assert engine.stats().store.made == 2
    third = replace(picture.source, key=ImageKey("image", "http://here", "3"))
    list(engine.find_all(third, replace(SETTINGS, points_per_side=2, crop_n_layers=1)))
    assert engine.stats().store.made == 3


def test_progress_counts_the_batches(engine):
    told: list[tuple[int, int]] = []
    settings = replace(SETTINGS, points_per_batch=10, crop_n_layers=1)
    list(engine.find_all(Picture().source, settings, progress=lambda *at: told.append(at)))
    batches = 5 * 4  # five crops of 36 points
    assert told == [(done, batches) for done in range(1, batches + 1)]


def test_masks_come_when_their_crop_is_through(engine):
    told: list[tuple[int, int]] = []
    settings = replace(SETTINGS, points_per_side=5, crop_n_layers=1)
    masks = engine.find_all(Picture().source, settings, progress=lambda *at: told.append(at))
    first = next(masks)
    assert first.crop_box != (0, 0, 160, 120)
    done, batches = told[-1]
    assert done <= 3 / 5 * batches
    masks.close()


def test_clicks_get_their_turn_in_between(engine):
    """A click waits for one unit at most: of 100 batches, few can pass while it is answered."""
    picture = Picture()
    engine.segment(picture.source, CLICK)
    done = 0
    passed: list[int] = []
    waited: set[Priority] = set()

    def count(now: int, _: int) -> None:
        nonlocal done
        done = now

    search = threading.Thread(
        target=lambda: list(engine.find_all(picture.source, MANY_BATCHES, progress=count))
    )
    search.start()
    while search.is_alive():
        before = done
        waited |= {kind for kind, units in engine.stats().waiting.items() if units}
        engine.segment(picture.source, CLICK)
        if before > 0 and done < 100:
            passed.append(done - before)
        time.sleep(0.01)
    assert len(passed) >= 5
    assert waited == {Priority.AUTOMATIC}, "a search must not stand in the line of clicks"
    # the unit that ran, the one before it that was still being enlarged, one that was overdue
    assert max(passed) <= 3


def test_a_cancelled_search_ends_within_a_batch(engine):
    cancel = CancelToken()
    told: list[int] = []

    def progress(done: int, _: int) -> None:
        told.append(done)
        if done == 5:
            cancel.cancel()

    with pytest.raises(Cancelled):
        list(engine.find_all(Picture().source, MANY_BATCHES, cancel=cancel, progress=progress))
    assert told == [1, 2, 3, 4, 5] or told == [1, 2, 3, 4, 5, 6]
    assert engine.segment(Picture().source, CLICK).mask.any()


def test_cancelled_before_it_began_it_fetches_nothing(engine):
    cancel, picture = CancelToken(), Picture()
    cancel.cancel()
    with pytest.raises(Cancelled):
        list(engine.find_all(picture.source, SETTINGS, cancel=cancel))
    assert picture.loads == 0


def test_a_stopped_model_ends_the_search_and_is_not_held_by_it():
    model = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    engine = Engine(model, store_bytes=2**30)
    settings = replace(SETTINGS, points_per_side=5, crop_n_layers=1)
    masks = engine.find_all(Picture().source, settings)
    next(masks)
    network = weakref.ref(model.network)
    del model
    engine.close()
    gc.collect()
    assert network() is None
    with pytest.raises(EngineClosed):
        list(masks)
    with pytest.raises(EngineClosed):
        engine.find_all(Picture().source, SETTINGS)


def test_what_the_source_raises_arrives(engine):
    def fail() -> np.ndarray:
        raise ConnectionError("the platform is away")

    source = ImageSource(ImageKey("image", "http://here", "gone"), fail)
    for layers in (0, 1):
        with pytest.raises(ConnectionError, match="away"):
            list(engine.find_all(source, replace(SETTINGS, crop_n_layers=layers)))
