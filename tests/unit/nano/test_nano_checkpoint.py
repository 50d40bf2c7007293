"""The checkpoint that ships is the one its card describes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluate_nano.clicks import filled_box
from evaluate_nano.heldout import iou
from evaluate_nano.prompts import ask_about
from heldout.style import HELD_OUT
from sam2_serving.model import load_model, segment
from sam2_serving.scenes import draw_scene

FOLDER = Path(__file__).parents[3] / "checkpoints" / "nano"
SCENES = range(5000, 5008)  # the card's figures come from seeds 1000 and up


@pytest.fixture(scope="module")
def answers(nano):
    """IoU of every object of 8 easy held-out scenes, by way of asking."""
    table = {"box": [], "click": [], "three": [], "filled_box": []}
    for seed in SCENES:
        scene = draw_scene(seed, 256, "easy", HELD_OUT)
        embedding = nano.embed(scene.image)
        for mask in scene.masks:
            asked = ask_about(
                lambda prompts, _, embedding=embedding: segment(nano, embedding, prompts),
                mask,
                np.random.default_rng(seed),
            )
            table["box"].append(asked.box)
            table["click"].append(asked.click)
            table["three"].append(asked.three)
            table["filled_box"].append(iou(filled_box(mask), mask))
    return {name: np.array(values) for name, values in table.items()}


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


@pytest.mark.parametrize("kind", ["box", "click", "three"])
def test_quality_is_what_the_card_says(answers, kind):
    """Four standard errors of the difference of two means: chance fails this once in 30,000."""
    easy = json.loads((FOLDER / "figures.json").read_text())["easy"]
    card = easy["prompts"]["ways"]["two_pass"][kind]
    spread = card["sd"] * np.sqrt(1 / len(answers[kind]) + 1 / card["of"])
    assert answers[kind].mean() >= card["mean"] - 4.0 * spread


def test_a_box_gives_more_than_the_box(answers):
    gain = answers["box"] - answers["filled_box"]
    assert gain.mean() > 4.0 * gain.std(ddof=1) / np.sqrt(len(gain))
