"""An app whose images are resized to less than its model was trained with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from live import REPOSITORY, Platform, RunningApp, free_port
from test_deploying import deploy
from test_sources_parity import IMAGE, expected, same

from sam2_serving.model import build_network
from sam2_serving.model.upstream import upstream_predictor

NANO = REPOSITORY / "checkpoints" / "nano" / "nano.pt"


@contextmanager
def running(
    environment: dict[str, str], folder: Path, input_size: int, ready: bool = True
) -> Iterator[RunningApp]:
    added = {"SAM2_SERVING_INPUT_SIZE": str(input_size), "SAM2_SERVING_DATA_DIR": str(folder)}
    app = RunningApp(free_port(), environment | added, folder / "app.log").start(ready=ready)
    try:
        yield app
    finally:
        app.stop()


@pytest.mark.long  # an app of its own
def test_a_click_is_upstreams_at_that_size(
    platform: Platform, app_environment: dict[str, str], tmp_path: Path
) -> None:
    masks = {}
    for side in (192, 256):
        network = build_network("nano.yaml", image_size=side)
        network.load_state_dict(torch.load(NANO, weights_only=True)["model"])
        masks[side] = expected(upstream_predictor(network), IMAGE)
    assert (masks[192] != masks[256]).any(), "else the size would not show"
    with running(app_environment, tmp_path, 192) as app:
        middle = {"positive": [{"x": 160, "y": 120}], "negative": []}
        body = platform.envelope({**middle, "image_id": platform.images["scene0"]})
        answer = app.post("smart_segmentation", body)
        same(answer, masks[192])
        assert "-192px-" in answer.json()["numeric_path"]
        assert app.post("get_session_info").json()["input_size"] == 192
        assert app.post("get_serve_options").json()["deployed"]["input_size"] == 192
        assert '"input_size": 192' in app.log()
        assert deploy(app).status_code == 200
        assert app.post("smart_segmentation", body).content == answer.content


@pytest.mark.long
def test_a_size_that_the_model_does_not_take_is_told_to_who_clicks(
    platform: Platform, app_environment: dict[str, str], tmp_path: Path
) -> None:
    with running(app_environment, tmp_path, 512, ready=False) as app:
        options = app.until(
            lambda: (o := app.post("get_serve_options").json())["state"] == "failed" and o
        )
        assert "128, 192 or 256" in options["error"]
        middle = {"positive": [{"x": 160, "y": 120}], "negative": []}
        body = platform.envelope({**middle, "image_id": platform.images["scene0"]})
        refused = app.post("smart_segmentation", body)
        assert refused.status_code == 503
        assert "128, 192 or 256" in refused.json()["error"]
