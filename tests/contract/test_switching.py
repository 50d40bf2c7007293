"""From one model to another: each answers as if it were the only one there ever was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from live import OWNER_TOKEN, REPOSITORY, Platform, RunningApp, free_port
from safetensors.torch import save_file
from test_deploying import deploy
from test_freezing import freeze
from test_ways_to_deploy import deploy_file

NANO = REPOSITORY / "checkpoints" / "nano" / "nano.pt"


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of nano's shape with weights of its own."""
    state = torch.load(NANO, weights_only=True)["model"]
    noise = torch.Generator().manual_seed(1)
    changed = {
        name: weights + 0.02 * weights.abs().mean() * torch.randn(weights.shape, generator=noise)
        for name, weights in state.items()
    }
    file = tmp_path_factory.mktemp("weights") / "other.safetensors"
    save_file(changed, file)
    return file


@pytest.fixture(scope="module")
def fresh_app(
    app_environment: dict[str, str],
    other_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningApp]:
    """It has never served anything but the other model, on `cpu:0`, which freezes."""
    folder = tmp_path_factory.mktemp("fresh")
    file = shutil.copy(other_model, folder / "other.safetensors")
    environment = app_environment | {
        "SAM2_SERVING_MODEL": str(file),
        "SAM2_SERVING_DEVICE": "cpu:0",
        "SAM2_SERVING_DATA_DIR": str(folder / "data"),
    }
    running = RunningApp(free_port(), environment, folder / "app.log").start()
    yield running
    running.stop()


def answers(app: RunningApp, platform: Platform) -> list[bytes]:
    """Click on two images, the second time from what is remembered of the first."""
    found = []
    for name in ("scene0", "scene1", "scene0"):
        drawn = platform.objects[name]
        contexts: list[dict[str, Any]] = [
            {"positive": [drawn.click], "negative": []},
            {"positive": [drawn.click], "negative": [drawn.click_beside], "crop": drawn.crop},
        ]
        for context in contexts:
            body = platform.envelope({**context, "image_id": platform.images[name]})
            answer = app.post("smart_segmentation", body)
            assert answer.status_code == 200, answer.text
            found.append(answer.content)
    assert found[:2] == found[4:]
    return found


@pytest.mark.long  # four deploys
def test_each_model_answers_as_if_it_were_the_only_one(
    page_app: RunningApp, fresh_app: RunningApp, other_model: Path, platform: Platform
) -> None:
    team_files = platform.workspace.settings.team_files / "switching"
    team_files.mkdir(parents=True)
    shutil.copy(other_model, team_files)
    assert deploy(page_app).status_code == 200
    nanos = answers(page_app, platform)

    assert deploy_file(page_app, "/switching/other.safetensors").status_code == 200
    others = answers(page_app, platform)
    assert others == answers(fresh_app, platform)
    bitmaps = [[answer.split(b'"numeric_path"')[0] for answer in one] for one in (nanos, others)]
    assert not set(bitmaps[0]) & set(bitmaps[1]), "not only the id, the masks are the model's own"

    assert deploy(page_app).status_code == 200
    assert answers(page_app, platform) == nanos


def test_other_weights_never_wake_in_place_of_those_that_were_frozen(
    fresh_app: RunningApp, platform: Platform
) -> None:
    before = answers(fresh_app, platform)
    served = fresh_app.post("get_serve_options").json()["deployed"]
    file = Path(fresh_app.environment["SAM2_SERVING_MODEL"])
    kept = file.read_bytes()
    freeze(fresh_app)
    # A training run that goes on writes its latest weights under the same name.
    weights = torch.load(NANO, weights_only=True)["model"]
    save_file(weights, file)
    drawn = platform.objects["scene0"]
    context = {"positive": [drawn.click], "negative": [], "image_id": platform.images["scene0"]}
    for _ in range(2):
        refused = fresh_app.post("smart_segmentation", platform.envelope(context))
        assert refused.status_code == 503, refused.text
        assert "not the one that was deployed" in refused.json()["error"]
    assert fresh_app.post("get_serve_options").json()["deployed"] == served
    file.write_bytes(kept)
    assert answers(fresh_app, platform) == before
    assert OWNER_TOKEN not in fresh_app.log()
