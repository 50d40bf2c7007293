"""The checkpoint that ships is the one its card describes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from heldout.style import HELD_OUT
from sam2_serving.masks import Box
from sam2_serving.model import Point, Prompts, load_model, segment
from sam2_serving.scenes import draw_scene

FOLDER = Path(__file__).parents[3] / "checkpoints" / "nano"
SCENES = range(5000, 5020)  # the card's figures come from seeds 1000 and up


@pytest.fixture(scope="module")
def answers():
    """IoU of every object of 20 easy held-out scenes, by way of asking."""
    model = load_model(FOLDER / "nano.pt", device="cpu", dtype="float32")
    table = {"box": [], "click": [], "filled_box": []}
    for seed in SCENES:
        scene = draw_scene(seed, 256, "easy", HELD_OUT)
        embedding = model.embed(scene.image)
        for mask in scene.masks:
            box = box_of(mask)
            click = Point(*middle_of(mask))
            for name, prompts in (("box", Prompts(box=box)), ("click", Prompts(points=(click,)))):
                prediction = segment(model, embedding, prompts)
                table[name].append(iou(model.to_mask(prediction, embedding.image_size), mask))
            filled = np.zeros_like(mask)
            filled[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = True
            table["filled_box"].append(iou(filled, mask))
    return {name: np.array(values) for name, values in table.items()}


def iou(found, mask):
    return np.count_nonzero(found & mask) / np.count_nonzero(found | mask)


def box_of(mask):
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Box(float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))


def middle_of(mask):
    """The pixel of the mask that is nearest to its centre of mass."""
    ys, xs = np.nonzero(mask)
    nearest = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    return float(xs[nearest]), float(ys[nearest])


def test_the_file_is_small_half_precision_and_has_the_stated_parameters():
    stated = json.loads((FOLDER / "config.json").read_text())
    file = FOLDER / "nano.pt"
    assert file.stat().st_size <= 16 * 2**20
    content = torch.load(file, map_location="cpu", weights_only=True)
    assert content["config"] == stated["config"] == "nano.yaml"
    assert all(value.dtype == torch.float16 for value in content["model"].values())
    network = load_model(file, device="cpu", dtype="float32").network
    assert sum(p.numel() for p in network.parameters()) == stated["parameters"]
    assert network.image_size == stated["image_size"]


@pytest.mark.parametrize("kind", ["box", "click"])
def test_quality_is_what_the_card_says(answers, kind):
    """Four standard errors of the difference of two means: chance fails this once in 30,000."""
    card = json.loads((FOLDER / "figures.json").read_text())["easy"]
    spread = card[kind]["sd"] * np.sqrt(1 / len(answers[kind]) + 1 / card["objects"])
    assert answers[kind].mean() >= card[kind]["mean"] - 4.0 * spread


def test_a_box_gives_more_than_the_box(answers):
    gain = answers["box"] - answers["filled_box"]
    assert gain.mean() > 4.0 * gain.std(ddof=1) / np.sqrt(len(gain))
