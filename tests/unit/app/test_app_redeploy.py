"""What an old model leaves behind when another one is served: nothing."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from sam2_serving.app.app import SegmentAnything2
from sam2_serving.engine import EngineClosed, ImageKey, ImageSource
from sam2_serving.model import Point, Prompts
from sam2_serving.settings import ServerSettings

PICTURE = np.zeros((60, 80, 3), np.uint8)
CLICK = Prompts((Point(40, 30, True),))


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SegmentAnything2]:
    monkeypatch.setenv("SLY_APP_DATA_DIR", str(tmp_path / "app"))
    monkeypatch.setenv("SMART_CACHE_CONTAINER_DIR", str(tmp_path / "cache"))
    serving = SegmentAnything2(ServerSettings(data_dir=tmp_path), headless=True)
    deploy(serving)
    yield serving
    serving.shutdown_model()


def deploy(app: SegmentAnything2) -> None:
    app.deploy(app.catalogue.named("nano"), "cpu:0")


def weights(app: SegmentAnything2) -> list[weakref.ref[torch.Tensor]]:
    """Name every weight of the model that is served, whoever else holds it."""
    model = app.ready_engine()._model
    assert model is not None
    return [weakref.ref(one) for one in model.network.parameters()]


def alive(references: list[weakref.ref[torch.Tensor]]) -> int:
    """Count what is left without collecting garbage: the memory must be free by now."""
    return sum(reference() is not None for reference in references)


def test_weights_are_gone_after_a_redeploy(app: SegmentAnything2) -> None:
    app.ready_engine().segment(ImageSource(ImageKey("image", "", "1"), lambda: PICTURE), CLICK)
    old = weights(app)
    assert len(old) > 100
    deploy(app)
    assert alive(old) == 0
    assert alive(weights(app)) == len(old)


def test_weights_are_gone_while_a_click_still_waits_for_its_image(app: SegmentAnything2) -> None:
    asked, arrived = threading.Event(), threading.Event()

    def load() -> np.ndarray:
        asked.set()
        assert arrived.wait(60)
        return PICTURE

    source = ImageSource(ImageKey("image", "", "1"), load)
    old = weights(app)
    with ThreadPoolExecutor(1) as pool:
        click = pool.submit(lambda: app.ready_engine().segment(source, CLICK))
        assert asked.wait(60)
        try:
            deploy(app)
            left = alive(old)
        finally:
            arrived.set()
        with pytest.raises(EngineClosed):
            click.result()
    assert left == 0


def test_weights_are_gone_while_the_model_is_frozen(app: SegmentAnything2) -> None:
    old = weights(app)
    app._freeze_model()
    assert alive(old) == 0
    assert alive(weights(app)) == len(old)


def test_weights_are_gone_after_a_stop(app: SegmentAnything2) -> None:
    old = weights(app)
    app.stop()
    assert alive(old) == 0
