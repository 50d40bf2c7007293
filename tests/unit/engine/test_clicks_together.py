"""Clicks that wait at the same time, by an engine that decodes them together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from sam2_serving.engine import (
    Cancelled,
    CancelToken,
    Engine,
    ImageKey,
    ImageSource,
    Priority,
    Segmentation,
)
from sam2_serving.model import Point, Prompts, SegmentationModel, load_model
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

AT_ONCE = 4
IMAGES = [draw_scene(seed, size=(96, 80)).image for seed in range(3)]
CLICKS = [(number % 3, Prompts((Point(20 + 9 * number, 40),))) for number in range(6)]


@pytest.fixture
def engine() -> Iterator[Engine]:
    network = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32").network
    device = torch.device("cpu")
    model = SegmentationModel(network, "nano.yaml", device, clicks_at_once=AT_ONCE)
    model.lean = None  # as on a GPU
    with Engine(model, store_bytes=2**30) as engine:
        for number in range(len(IMAGES)):
            engine.segment(source(number), Prompts((Point(1, 1),)))
        yield engine


def source(number: int) -> ImageSource:
    return ImageSource(ImageKey("image", "s", str(number)), lambda: IMAGES[number])


@contextmanager
def held(engine: Engine) -> Iterator[Callable[[int], None]]:
    """Let nothing run within the block; gives what waits for so many clicks."""
    let_go, threads = threading.Event(), ThreadPoolExecutor(16)
    engine._scheduler.submit(Priority.CLICK_DECODE, lambda: let_go.wait(30))

    def wait_for(count: int) -> None:
        for _ in range(1000):
            if engine._scheduler.depth()[Priority.CLICK_DECODE] >= count:
                return
            time.sleep(0.01)
        raise AssertionError("they never came")

    with threads:
        try:
            yield wait_for
        finally:
            let_go.set()


def ask(engine: Engine, threads: ThreadPoolExecutor, *clicks, **options) -> list[Future]:
    return [
        threads.submit(engine.segment, source(image), prompts, **options)
        for image, prompts in clicks
    ]


def count_decodes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the size of each batch."""
    batches: list[int] = []
    decode = engine._model.decode

    def noted(embedding, points, *rest):
        batches.append(embedding.features.shape[0])
        return decode(embedding, points, *rest)

    monkeypatch.setattr(engine._model, "decode", noted)
    return batches


def same(one: Segmentation, other: Segmentation) -> bool:
    return np.array_equal(one.mask, other.mask) and one.predicted_iou == other.predicted_iou


def test_those_that_wait_together_are_answered_together_as_they_would_be_alone(engine, monkeypatch):
    batches = count_decodes(engine, monkeypatch)
    with ThreadPoolExecutor(8) as threads:
        with held(engine) as wait_for:
            asked = ask(engine, threads, *CLICKS)
            wait_for(len(CLICKS))
        answers = [one.result(30) for one in asked]
    assert batches == [AT_ONCE, AT_ONCE], "six in two batches"
    assert not engine._waiting_clicks._waiting
    engine._first_passes.clear()
    for (image, prompts), answer in zip(CLICKS, answers, strict=True):
        assert same(engine.segment(source(image), prompts), answer)
    assert len({answer.predicted_iou for answer in answers}) > 3


def test_a_known_first_pass_is_used_and_a_new_one_remembered(engine, monkeypatch):
    click = CLICKS[0][1]
    engine.segment(source(0), click)
    batches = count_decodes(engine, monkeypatch)
    more = Prompts((*click.points, Point(5, 5, positive=False)))
    first = engine.segment(source(0), more)
    assert len(batches) == 1
    engine._first_passes.clear()
    assert same(engine.segment(source(0), more), first)
    assert len(batches) == 3


def test_a_click_that_was_given_up_is_not_taken_along(engine, monkeypatch):
    batches, token = count_decodes(engine, monkeypatch), CancelToken()
    with ThreadPoolExecutor(8) as threads:
        with held(engine) as wait_for:
            given_up = ask(engine, threads, *CLICKS[:4], cancel=token)
            wait_for(4)
            asked = ask(engine, threads, CLICKS[4])
            wait_for(5)
            token.cancel()
            for one in given_up:
                assert isinstance(one.exception(30), Cancelled)
        asked[0].result(30)
    assert len(batches) == 1


def test_one_that_cannot_be_answered_is_alone_with_that(engine):
    wrong = Prompts(mask=np.ones((3, 3), bool))
    right = Prompts(mask=np.pad(np.ones((20, 20), bool), ((20, 40), (30, 46))))
    with ThreadPoolExecutor(8) as threads:
        with held(engine) as wait_for:
            asked = ask(engine, threads, (0, right), (1, wrong), (2, right))
            wait_for(3)
        assert isinstance(asked[1].exception(30), ValueError)
        for number in (0, 2):
            assert same(asked[number].result(30), engine.segment(source(number), right))
