"""The recipe goes on where it was stopped, and exports what loads."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sam2_serving.model import load_model
from train_nano import network
from train_nano.export import export
from train_nano.forward import Window, encode, normalised
from train_nano.image_stage import ImagePlan, image_step
from train_nano.run import Run
from train_nano.samples import correction

PLAN = ImagePlan(
    side=64, images=2, questions=2, hard_share=0.5, boxes=0.5, given=0.2, rounds=1, alike=0.5
)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def new_run(folder, seed):
    torch.manual_seed(seed)
    folder.mkdir(exist_ok=True)
    return Run(folder, network.build(), seed=3)


def train(run, steps):
    run.model.train()
    for _ in range(steps):
        rng = np.random.default_rng([3, 0, run.progress.stage_step])
        run.step(image_step(run.model, rng, PLAN).loss, {"image": 1e-3, "memory": 0.0})


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    straight = new_run(tmp_path / "a", 1)
    train(straight, 3)
    stopped = new_run(tmp_path / "b", 1)
    train(stopped, 1)
    stopped.save(force=True)
    resumed = new_run(tmp_path / "b", 2)
    assert resumed.resume()
    assert resumed.progress == stopped.progress
    train(resumed, 2)
    for name in ("model", "average"):
        expected = getattr(straight, name).state_dict()
        for key, value in getattr(resumed, name).state_dict().items():
            torch.testing.assert_close(value, expected[key], msg=key)


def test_an_exported_run_loads_as_a_model(tmp_path):
    run = new_run(tmp_path / "run", 1)
    train(run, 1)
    run.keep("best.pt")
    export(tmp_path / "run" / "best.pt", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (record["steps"], record["seed"]) == (1, 3)
    model = load_model(tmp_path / "out" / "nano.pt", device="cpu", dtype="float32")
    assert sum(p.numel() for p in model.network.parameters()) == record["parameters"]


def test_a_window_of_the_frame_is_coded_as_that_part_of_the_frame():
    """Position codes follow the window: the same pixels elsewhere give other features."""
    torch.manual_seed(0)
    model = network.build().eval()
    torch.nn.init.normal_(model.image_encoder.trunk.pos_embed)
    images = normalised(np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8))
    with torch.no_grad():
        whole = encode(model, images, Window())
        upstream = model.forward_image(images)["backbone_fpn"]
        part = encode(model, images[..., 128:, 64:192], Window(64, 128, 128))
        moved = encode(model, images[..., 128:, 64:192], Window(0, 0, 128))
    for mine, theirs in zip(whole, upstream, strict=True):
        torch.testing.assert_close(mine, theirs)
    # Features of stride 4 know no more than 32 pixels round them: away from the part's border
    # (where patches reach beyond it) they must be those of the whole frame.
    inner, same = part[0][..., 8:24, 8:24], whole[0][..., 40:56, 24:40]
    torch.testing.assert_close(inner, same, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(part[0], moved[0], atol=1e-2)


def test_corrections_click_where_the_answer_is_wrong():
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), bool)
    mask[10:40, 10:40] = True
    found = mask.copy()
    found[10:40, 30:40] = False
    for exact in (True, False):
        x, y, label = correction(rng, found, mask, exact)
        assert label == 1
        assert mask[int(y), int(x)]
        assert not found[int(y), int(x)]
    found = mask.copy()
    found[50:60, :] = True
    x, y, label = correction(rng, found, mask, True)
    assert label == 0
    assert 50 <= y < 60
