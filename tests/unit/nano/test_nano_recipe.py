"""The recipe goes on where it was stopped, and exports what loads."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from sam2_serving.model import load_model
from train_nano import network
from train_nano.__main__ import begin
from train_nano.clip_stage import ClipPlan, draw_followed, validate_clips
from train_nano.curves import draw_curves
from train_nano.export import export, sharpen
from train_nano.forward import Prompt, Window, decode, encode, normalised
from train_nano.image_stage import ImagePlan, image_step
from train_nano.run import Run
from train_nano.samples import correction
from train_nano.stages import Stage, run_stage
from train_nano.steps import confidence_step, prepare_confidence

ROOT = Path(__file__).parents[3]

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


def test_sharpness_multiplies_the_logits_of_every_mask():
    torch.manual_seed(0)
    model = network.build().eval()
    images = normalised(np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8))
    click = Prompt(torch.tensor([[[90.0, 120.0]]]), torch.tensor([[1]]))
    with torch.no_grad():
        features = encode(model, images, Window())
        plain = decode(model, features, torch.tensor([0]), click, Window())
        sharpen(model, 2.5)
        sharp = decode(model, features, torch.tensor([0]), click, Window())
    torch.testing.assert_close(sharp.logits, plain.logits * 2.5)
    torch.testing.assert_close(sharp.ious, plain.ious)


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


def config_like_nano(folder, **changes):
    """A YAML of nano's network with other numbers in the encoder."""
    config = OmegaConf.load(ROOT / "src" / "sam2_serving" / "model" / "configs" / "nano.yaml")
    OmegaConf.update(config, "model.image_encoder.trunk", changes)
    path = folder / "changed.yaml"
    OmegaConf.save(config, path)
    return path


SHALLOW = {"stages": [1, 2, 3, 1], "global_att_blocks": [4, 5]}
DEEPER = {"stages": [2, 3, 4, 1], "global_att_blocks": [6, 7, 8]}


def test_a_deeper_network_begins_with_the_answers_of_the_shallower_one(tmp_path):
    torch.manual_seed(0)
    shallow = network.build(config_like_nano(tmp_path, **SHALLOW))
    deep = network.build(config_like_nano(tmp_path, **DEEPER))
    torch.nn.init.normal_(shallow.image_encoder.trunk.pos_embed)
    network.adopt(deep, shallow.state_dict())
    images = normalised(np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8))
    assert len(deep.image_encoder.trunk.blocks) == len(shallow.image_encoder.trunk.blocks) + 3
    with torch.no_grad():
        expected, given = (encode(model, images, Window()) for model in (shallow, deep))
    for mine, theirs in zip(given, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
    # The new blocks can learn: what they add is nothing, but its gradient is something.
    encode(deep, images, Window())[2].square().sum().backward()
    assert float(deep.image_encoder.trunk.blocks[1].mlp.layers[-1].weight.grad.abs().sum()) > 0.0


def test_other_widths_and_more_blocks_are_refused(tmp_path):
    torch.manual_seed(0)
    nano = network.build()
    wider = {**nano.state_dict(), "no_mem_embed": torch.zeros(1, 1, 144)}
    with pytest.raises(RuntimeError, match="size mismatch"):
        network.adopt(nano, wider)
    shallow = network.build(config_like_nano(tmp_path, **SHALLOW))
    longer = network.build(config_like_nano(tmp_path, stages=[1, 2, 4, 1]))
    with pytest.raises(RuntimeError, match=r"\[1, 2, 4, 1\].*\[1, 2, 3, 1\]"):
        network.adopt(shallow, longer.state_dict())


def test_a_cut_shows_another_film_and_no_object():
    plain = ClipPlan(frames=6, objects=3, hard_share=0.0, told=0.0)
    lengths = set()
    for seed in range(6):
        whole = draw_followed(np.random.default_rng(seed), plain)
        cut = draw_followed(np.random.default_rng(seed), replace(plain, cut_share=1.0))
        other = (cut.images != whole.images).any(axis=(1, 2, 3))
        gone = np.flatnonzero(other)
        assert np.array_equal(gone, np.arange(gone[0], gone[0] + len(gone)))
        assert gone[0] > 0
        assert not cut.masks[gone].any()
        assert np.array_equal(cut.masks[~other], whole.masks[~other])
        lengths.add(len(gone))
    assert lengths <= {1, 2, 3}
    assert len(lengths) > 1


def test_the_last_stage_begins_with_given_weights_and_goes_on(tmp_path):
    given = Namespace(
        begin_with=ROOT / "checkpoints" / "nano" / "nano.pt", device=torch.device("cpu"), seed=3
    )
    run = new_run(tmp_path / "run", 1)
    begin(run, given)
    shipped = torch.load(given.begin_with, weights_only=True)["model"]
    for key, value in run.average.state_dict().items():
        torch.testing.assert_close(value, shipped[key].float(), msg=key)
    assert run.progress.stage == 3
    train(run, 1)
    run.save(force=True)
    resumed = new_run(tmp_path / "run", 2)
    begin(resumed, given)
    assert resumed.progress == run.progress
    assert (resumed.progress.stage, resumed.progress.stage_step) == (3, 1)
    run_stage(resumed, 2, Stage("clips", 60.0, (1e-4, 1e-5)), never)  # is behind it
    assert resumed.progress == run.progress


def never(run, rng, progress):
    raise AssertionError("an earlier stage was begun again")


def test_curves_show_clips_from_where_they_are_validated(tmp_path):
    figures = {"click": 0.5, "box": 0.6, "three": 0.7}
    history = [{"step": step, "easy": dict(figures), "hard": dict(figures)} for step in (1, 2)]
    draw_curves(tmp_path, history)
    before = cv2.imread(str(tmp_path / "curves.png"))
    for entry in history:
        entry["easy"] |= {"tracked": 0.2 * entry["step"], "absent": 0.1}
        entry["hard"] |= {"tracked": 0.2 * entry["step"], "absent": 0.3}
    draw_curves(tmp_path, history)
    after = cv2.imread(str(tmp_path / "curves.png"))
    plot = slice(60, 700)
    changed = (before[:, plot] != after[:, plot]).any(axis=2)
    assert changed.sum() > 200


def test_the_last_stage_leaves_the_averaged_answers_and_learns_what_to_think_of_them(tmp_path):
    run = new_run(tmp_path / "run", 1)
    train(run, 1)  # so that the optimiser has moments and old gradients of everything
    with torch.no_grad():
        for parameter in run.average.parameters():
            parameter.mul_(1.01)
    before = {name: value.clone() for name, value in run.average.state_dict().items()}
    prepare_confidence(run)
    loss = confidence_step(run, np.random.default_rng(0), 0.0).loss
    assert run.step(loss, {"image": 1e-3, "memory": 0.0}, 0.5)
    after = run.average.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert all(name.startswith("sam_mask_decoder.iou_prediction_head.") for name in changed)


def test_an_object_that_is_called_absent_is_not_tracked():
    """Its mask never reaches a user, however right it would be."""
    torch.manual_seed(1)
    model = network.build().eval()
    score = model.sam_mask_decoder.pred_obj_score_head.layers[-1]
    with torch.no_grad():
        score.weight.zero_()
        score.bias.fill_(5.0)
        present, _ = validate_clips(model, "easy", 1, 2)
        score.bias.fill_(-5.0)
        absent, _ = validate_clips(model, "easy", 1, 2)
    assert present > 0.0
    assert absent == 0.0
