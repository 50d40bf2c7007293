"""Scores on images that training never draws: a fixed range of seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sam2_serving.scenes import draw_scene
from train_nano.forward import Prompt, Window, decode, encode, encode_mask, normalised
from train_nano.image_stage import CLAMP
from train_nano.losses import true_ious
from train_nano.samples import Mask, box_of, centre_of, correction, target_of

_FIRST_SEED = 2**31  # training draws seeds below
_OBJECTS = 4


@dataclass(frozen=True)
class Scores:
    """Mean IoU of one difficulty.

    Attributes:
        click: one click, best of three by predicted IoU.
        oracle: one click, best of three by true IoU.
        box: a box.
        three: three clicks with corrections.
        calibration: mean error of predicted IoU for clicks and boxes.
    """

    click: float
    oracle: float
    box: float
    three: float
    calibration: float


@torch.no_grad()
def validate(model: Any, difficulty: str, images: int) -> Scores:
    """Score a network on the first `images` scenes of the validation seeds."""
    rng = np.random.default_rng(5)
    rows: list[list[float]] = []
    for number in range(images):
        scene = draw_scene(_FIRST_SEED + number, 256, difficulty)
        order = rng.permutation(len(scene.masks))[:_OBJECTS]
        masks = np.stack([target_of(scene, int(i)) for i in order])
        features = encode(model, normalised(scene.image[None]), Window())
        rows.extend(_scored(model, features, masks, rng))
    return Scores(*(float(value) for value in np.mean(rows, axis=0)))


def _scored(
    model: Any, features: list[Tensor], masks: Mask, rng: np.random.Generator
) -> list[list[float]]:
    truth = torch.from_numpy(masks).to(model.device)
    owner = torch.zeros(len(masks), dtype=torch.long)
    box = Prompt(
        torch.tensor([box_of(rng, mask, 0.0) for mask in masks]),
        torch.tensor([[2, 3]] * len(masks)),
    )
    boxed = decode(model, features, owner, box, Window())
    box_iou = true_ious(boxed.logits[:, :1], truth)[:, 0]
    prompt = Prompt(
        torch.tensor([[centre_of(mask)] for mask in masks]), torch.ones(len(masks), 1).long()
    )
    answer = decode(model, features, owner, prompt, Window())
    ious = true_ious(answer.logits[:, 1:], truth)
    logits = answer.best(True)
    click_iou = true_ious(logits, truth)[:, 0]
    said = answer.ious[:, 1:].max(dim=1).values
    off = ((said - click_iou).abs() + (boxed.ious[:, 0] - box_iou).abs()) / 2.0
    for _ in range(2):
        prompt = _corrected(model, rng, prompt, logits, masks)
        logits = decode(model, features, owner, prompt, Window()).best(False)
    three = true_ious(logits, truth)[:, 0]
    table = torch.stack([click_iou, ious.max(dim=1).values, box_iou, three, off], dim=1)
    return [list(row) for row in table.tolist()]


def _corrected(
    model: Any, rng: np.random.Generator, prompt: Prompt, logits: Tensor, masks: Mask
) -> Prompt:
    full = F.interpolate(logits, size=masks.shape[-2:], mode="bilinear", align_corners=False)
    found = (full[:, 0] > 0.0).cpu().numpy()
    clicks = [correction(rng, f, m, True) for f, m in zip(found, masks, strict=True)]
    return Prompt(
        torch.cat([prompt.coords, torch.tensor([[c[:2]] for c in clicks])], dim=1),
        torch.cat([prompt.labels, torch.tensor([[c[2]] for c in clicks])], dim=1),
        encode_mask(model, logits.clamp(-CLAMP, CLAMP)),
    )
