"""What one step of each stage does, and how that changes as the stage goes on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from train_nano import network
from train_nano.clip_stage import ClipPlan, clip_step, guide_step
from train_nano.forward import Window, encode, normalised
from train_nano.image_stage import ImagePlan, StepReport, image_step
from train_nano.run import Run
from train_nano.samples import draw_batch

_CLICKS_ALONE = 500  # steps; clicks are found after about 300
_NOTHING_THERE = 0.75  # of the last stage; a search for everything clicks mostly on no object

StepOf = Callable[[Run, np.random.Generator, float], StepReport]


def window_step(run: Run, rng: np.random.Generator, progress: float) -> StepReport:
    """128-pixel windows: clicks on easy scenes first, then everything.

    Clicks alone leave the prompt-blind state within 300 steps; the runs that had everything in
    play from the start were still in it after 600.
    """
    begun = run.progress.stage_step >= _CLICKS_ALONE
    plan = ImagePlan(
        side=128,
        images=6,
        questions=4,
        hard_share=min(0.5, 0.15 + progress) if begun else 0.15,
        boxes=0.45 if begun else 0.0,
        given=0.08 if begun else 0.0,
        rounds=(2 if progress < 0.6 else 3) if begun else 0,
        alike=max(0.3, 1.0 - progress * 2.0),
    )
    return image_step(run.model, rng, plan)


def whole_step(run: Run, rng: np.random.Generator, progress: float) -> StepReport:
    """Whole images of 256 pixels."""
    del progress
    plan = ImagePlan(
        side=256,
        images=3,
        questions=6,
        hard_share=0.5,
        boxes=0.5,
        given=0.15,
        rounds=3,
        alike=0.3,
    )
    return image_step(run.model, rng, plan)


def film_step(run: Run, rng: np.random.Generator, progress: float) -> StepReport:
    """First the guide alone, then clips of 3, 5 and 7 frames with an image at every third step."""
    frames = 2 if progress < 0.2 else 3 if progress < 0.45 else 5 if progress < 0.75 else 7
    plan = ClipPlan(
        frames=frames,
        objects=4,
        hard_share=min(0.5, progress),
        told=max(0.1, 0.6 - progress),
    )
    if progress < 0.2:
        return StepReport(guide_step(run.model, rng, plan))
    if run.progress.stage_step % 3 == 2:
        return whole_step(run, rng, progress)
    loss, tracked = clip_step(run.model, rng, plan)
    return StepReport(loss, tracked=tracked)


def mixed_step(run: Run, rng: np.random.Generator, progress: float) -> StepReport:
    """Everything by turns, so that nothing is unlearnt: two windows, an image, two clips."""
    turn = run.progress.stage_step % 5
    if turn % 2:
        frames = 5 if progress < 0.5 else 7 if progress < 0.75 else 10
        seeing = progress < 0.5  # later, longer clips take the time
        plan = ClipPlan(frames, 3, hard_share=0.4, told=0.1, cut_share=0.3, seeing=seeing)
        loss, tracked = clip_step(run.model, rng, plan)
        return StepReport(loss, tracked=tracked)
    whole = turn == 2
    plan_of_images = ImagePlan(
        side=256 if whole else 128,
        images=3 if whole else 6,
        questions=6 if whole else 4,
        hard_share=0.6,
        boxes=0.45,
        given=0.1,
        rounds=3,
        alike=0.2,
        background=0.05 if progress < _NOTHING_THERE else 0.3,
    )
    return image_step(run.model, rng, plan_of_images)


def confidence_step(run: Run, rng: np.random.Generator, progress: float) -> StepReport:
    """Whole images; only what predicts IoU learns, from clicks anywhere.

    The last word: while masks still change, so does what is said of them.
    """
    del progress
    for name, parameter in run.model.named_parameters():
        parameter.requires_grad_(name.startswith("sam_mask_decoder.iou_prediction_head."))
    plan = ImagePlan(
        side=256,
        images=3,
        questions=12,
        hard_share=0.5,
        boxes=0.3,
        given=0.0,
        rounds=2,
        alike=0.2,
        background=0.4,
    )
    return image_step(run.model, rng, plan)


def prepare_confidence(run: Run) -> None:
    """Learn what to think of the averaged weights' answers, which ship; judge anew what is best."""
    run.model.load_state_dict(run.average.state_dict())
    run.progress.best = -1.0


def prepare_images(run: Run) -> None:
    """Make mask prompts as loud as the features have become."""
    network.strengthen_mask_prompts(run.model)
    run.restart_average()


def prepare_films(run: Run) -> None:
    """Scale the memory parts to the features, and judge anew what is best."""
    batch = draw_batch(np.random.default_rng(run.progress.seed), 8, 1, 256, 0.5)
    with torch.no_grad():
        features = encode(run.model, normalised(batch.images), Window())
        known = features[2] + run.model.no_mem_embed.view(1, -1, 1, 1)
    network.prepare_memory(run.model, known)
    run.restart_average()
    run.progress.best = -1.0
