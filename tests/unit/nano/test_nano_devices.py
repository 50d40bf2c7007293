"""The recipe runs on another device than the CPU, and where only its own needs are installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from elsewhere import elsewhere

from train_nano import network
from train_nano.clip_stage import ClipPlan, clip_step, guide_step, validate_clips
from train_nano.forward import normalised
from train_nano.image_stage import ImagePlan, image_step
from train_nano.run import Run
from train_nano.samples import draw_batch
from train_nano.validation import validate

ROOT = Path(__file__).parents[3]
PLAN = ImagePlan(
    side=64, images=2, questions=2, hard_share=0.5, boxes=0.5, given=0.5, rounds=2, alike=0.5
)
CLIP = ClipPlan(frames=2, objects=2, hard_share=0.5, told=0.5)
RATES = {"image": 1e-3, "memory": 1e-3}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def new_run(folder):
    torch.manual_seed(1)
    folder.mkdir(exist_ok=True)
    run = Run(folder, network.build(), seed=3)
    batch = draw_batch(np.random.default_rng(1), 2, 1, 256, 0.5)
    network.initialise(run.model, normalised(batch.images))
    run.restart_average()
    return run


def train(run):
    """Steps of every kind, and validation; what came of them."""
    losses = [image_step(run.model, np.random.default_rng(seed), PLAN).loss for seed in (2, 3)]
    rng = np.random.default_rng(0)
    losses += [guide_step(run.model, rng, CLIP, clips=1), clip_step(run.model, rng, CLIP)[0]]
    run.step(torch.stack(losses).sum(), RATES)
    scores = validate(run.average, "easy", 1)
    return [loss.item() for loss in losses], scores, validate_clips(run.average, "easy", 1, 2)


@pytest.mark.long
def test_every_step_runs_on_another_device_and_gives_the_same(tmp_path):
    expected = train(new_run(tmp_path / "cpu"))
    run = new_run(tmp_path / "elsewhere")
    with elsewhere() as device:
        run.move(device)
        assert {p.device for p in run.model.parameters()} == {device}
        losses, scores, tracked = train(run)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-3)
    assert scores.box == pytest.approx(expected[1].box, abs=0.02)
    assert tracked[1] == expected[2][1]


def test_a_tensor_that_is_left_behind_is_found():
    """The device of this test refuses what a GPU refuses."""
    with elsewhere() as device:
        there = torch.ones(3, device=device)
        assert float((there * 2.0 + torch.tensor(1.0)).sum()) == 9.0
        assert there[torch.tensor([0, 1])].cpu().numpy().tolist() == [1.0, 1.0]
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(3)
        with pytest.raises((TypeError, RuntimeError), match="numpy"):
            there.numpy()


def test_the_recipe_imports_nothing_of_ours_but_scenes():
    for path in sorted((ROOT / "tools" / "train_nano").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                names = [getattr(node, "module", None) or "", *names]
                ours = [name for name in names if name.startswith("sam2_serving")]
                assert all(name.startswith("sam2_serving.scenes") for name in ours), path


BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

NAMES = {"torch", "numpy", "cv2", "sam2", "hydra", "omegaconf", "iopath", "PIL", "tqdm",
         "train_nano", "sam2_serving", "torchvision"}  # the last: of sam2
NAMES |= set(sys.stdlib_module_names)


class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in NAMES:
            return None
        frame = sys._getframe(1)
        while frame and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if frame and ("/train_nano/" in frame.f_code.co_filename
                      or "/sam2_serving/" in frame.f_code.co_filename):
            raise ImportError(f"{name} is not installed where nano is trained")
        return None


sys.meta_path.insert(0, Refuse())
import train_nano.__main__
import train_nano.export
from train_nano import network

network.build()
ours = {name for name in sys.modules if name.startswith("sam2_serving")}
print(sorted(ours))
"""


@pytest.mark.long
def test_training_needs_torch_numpy_opencv_and_sam2_alone():
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED],
        env={"PYTHONPATH": f"{ROOT / 'tools'}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "sam2_serving.scenes" in done.stdout
    assert "sam2_serving.masks" not in done.stdout
