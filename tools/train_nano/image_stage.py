"""One training step on still images: clicks and boxes, then corrections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from train_nano.forward import (
    Prompt,
    decode,
    encode,
    encode_mask,
    normalised,
)
from train_nano.losses import answer_loss, click_loss
from train_nano.samples import (
    Batch,
    Mask,
    box_of,
    click_on,
    correction,
    draw_batch,
    pixel_of,
)

SURE = 10.0  # logit of a pixel that is certainly in a mask prompt; -10 where it is certainly not
CLAMP = 32.0  # of logits that are fed back, as sam2's predictor does


@dataclass(frozen=True)
class ImagePlan:
    """What a step on images is made of.

    Attributes:
        side: of the windows, in pixels.
        images: in a batch.
        questions: about each image.
        hard_share: share of images drawn by the hard rules.
        boxes: share of steps that begin with boxes; the others begin with a click.
        given: share of steps that begin with a mask prompt too.
        rounds: of corrections, at most.
        alike: see `answer_loss`.
        background: share of first clicks that are on no object.
    """

    side: int
    images: int
    questions: int
    hard_share: float
    boxes: float
    given: float
    rounds: int
    alike: float
    background: float = 0.05


@dataclass(frozen=True)
class StepReport:
    """Loss and mean IoU of a step, nan for what was not asked.

    Attributes:
        loss: to go down.
        click: of answers to first clicks.
        box: of answers to first boxes.
        corrected: at the end of the dialogues.
        tracked: over the frames of a clip.
    """

    loss: Tensor
    click: float = math.nan
    box: float = math.nan
    corrected: float = math.nan
    tracked: float = math.nan


def image_step(model: Any, rng: np.random.Generator, plan: ImagePlan) -> StepReport:
    """Draw a batch, ask about it and correct the answers."""
    boxed = rng.random() < plan.boxes
    background = 0.0 if boxed else plan.background
    batch = draw_batch(rng, plan.images, plan.questions, plan.side, plan.hard_share, background)
    features = encode(model, normalised(batch.images), batch.window)
    asked, first, last = _dialogue(model, features, batch, boxed, rng, plan)
    if boxed:
        return StepReport(asked, box=first, corrected=last)
    return StepReport(asked, click=first, corrected=last)


def _dialogue(
    model: Any,
    features: list[Tensor],
    batch: Batch,
    boxed: bool,
    rng: np.random.Generator,
    plan: ImagePlan,
) -> tuple[Tensor, float, float]:
    """A first prompt and corrections for the questions of a batch."""
    masks = batch.masks
    truth = torch.from_numpy(masks).to(model.device)
    weight = truth.flatten(1).any(1).float()
    given = rng.random() < plan.given
    prompt = _first(rng, masks, batch.free, boxed).on(model.device)
    if given:
        prompt = _with_mask(rng, prompt, encode_mask(model, _worn(rng, truth)))
    total = hint = torch.zeros((), device=model.device)
    seen: list[float] = []
    rounds = int(rng.integers(0, plan.rounds + 1))
    from_first = rng.random() < 0.5  # as the Smart Tool's second pass has it
    for turn in range(rounds + 1):
        answer = decode(model, features, batch.owner, prompt, batch.window)
        alternatives = turn == 0 and prompt.labels.shape[1] == 1 and not given
        loss, ious = answer_loss(answer, truth, alternatives, plan.alike)
        spoken = answer.logits if alternatives else answer.logits[:, :1]
        loss = loss + click_loss(spoken, prompt, plan.side, weight)
        total = total + loss.mean()
        seen.append(float((ious * weight).sum() / weight.sum().clamp_min(1.0)))
        if turn < rounds:
            spoken = answer.best(alternatives).detach()
            hint = hint if turn and from_first else spoken
            prompt = _next(model, rng, prompt, spoken, hint, masks)
    return total / (rounds + 1), seen[0], seen[-1]


def _first(rng: np.random.Generator, masks: Mask, free: Mask, boxed: bool) -> Prompt:
    """The first prompts: a click, a box, or a box with a click; one form for all."""
    extra = boxed and rng.random() < 0.25
    coords, labels = [], []
    for mask, empty in zip(masks, free, strict=True):
        points: list[tuple[float, float]] = []
        kinds: list[int] = []
        if boxed:
            points += box_of(rng, mask, 0.04 * rng.random())
            kinds += [2, 3]
        if extra and rng.random() < 0.5:
            points.append(_beside(rng, mask, points))
            kinds.append(0)
        elif extra or not boxed:
            points.append(click_on(rng, mask if mask.any() else empty))
            kinds.append(1)
        coords.append(points)
        labels.append(kinds)
    return Prompt(torch.tensor(coords), torch.tensor(labels))


def _with_mask(rng: np.random.Generator, prompt: Prompt, dense: Tensor) -> Prompt:
    """A mask prompt, with the points, without any, or with "no point" as the tracker has it."""
    form = rng.random()
    if form < 0.4:
        return Prompt(prompt.coords, prompt.labels, dense)
    count = 0 if form < 0.7 else 1
    coords = prompt.coords.new_zeros(len(prompt.coords), count, 2)
    return Prompt(coords, -prompt.labels.new_ones(coords.shape[:2]), dense)


def _beside(
    rng: np.random.Generator, mask: Mask, box: list[tuple[float, float]]
) -> tuple[float, float]:
    """A pixel inside the box that is not in the mask (anywhere outside the mask if none is)."""
    (x0, y0), (x1, y1) = box
    near = np.zeros_like(mask)
    near[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = True
    near &= ~mask
    return pixel_of(rng, near if near.any() else ~mask)


def low_logits(truth: Tensor) -> Tensor:
    """Masks as sure logits at stride 4, as a predictor is given them."""
    soft = F.interpolate(
        truth.float().unsqueeze(1), scale_factor=0.25, mode="bilinear", antialias=True
    )
    return (soft * 2.0 - 1.0) * SURE


def _worn(rng: np.random.Generator, truth: Tensor) -> Tensor:
    """True masks as mask prompts, half the time with logits that are less sure or blurred."""
    logits = low_logits(truth)
    if rng.random() < 0.5:
        blurred = F.avg_pool2d(logits, 3, stride=1, padding=1)
        logits = blurred * float(rng.uniform(0.3, 1.0))
    return logits


def _next(
    model: Any,
    rng: np.random.Generator,
    prompt: Prompt,
    logits: Tensor,
    hint: Tensor,
    masks: Mask,
) -> Prompt:
    """All prompts so far, a click that corrects `logits`, and mostly `hint` as a mask prompt."""
    full = F.interpolate(logits, size=masks.shape[-2:], mode="bilinear", align_corners=False)
    found = (full[:, 0] > 0.0).cpu().numpy()
    exact = rng.random() < 0.4
    clicks = [correction(rng, f, m, exact) for f, m in zip(found, masks, strict=True)]
    coords = torch.tensor([[click[:2]] for click in clicks], dtype=prompt.coords.dtype)
    labels = torch.tensor([[click[2]] for click in clicks], dtype=prompt.labels.dtype)
    if prompt.labels.shape[1] and int(prompt.labels[0, 0]) < 0:
        prompt = Prompt(prompt.coords[:, :0], prompt.labels[:, :0])
    dense = None
    if rng.random() < 0.75:
        dense = encode_mask(model, hint.clamp(-CLAMP, CLAMP))
    more = Prompt(coords, labels).on(prompt.coords.device)
    return Prompt(
        torch.cat([prompt.coords, more.coords], dim=1),
        torch.cat([prompt.labels, more.labels], dim=1),
        dense,
    )
