"""The stages of a run: how long, at which learning rates, and the loop they share."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from train_nano.clip_stage import validate_clips
from train_nano.curves import draw_curves
from train_nano.image_stage import StepReport
from train_nano.run import Run, log
from train_nano.steps import StepOf
from train_nano.validation import validate

_LOG_EVERY = 100
_WARM_UP_STEPS = 60
_LONGEST_STEP_S = 30.0  # what a step takes beyond it, the process was stopped


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes:
        name: "windows", "images", "clips", "all" or "confidence".
        minutes: its budget.
        rates: first and last learning rate of the image parts.
        memory_rate: learning rate of the memory parts at the start, or 0.
        averaging: share that averaged weights keep at each step.
        validate_minutes: time between validations.
        prepare: done to the network before the first step.
    """

    name: str
    minutes: float
    rates: tuple[float, float]
    memory_rate: float = 0.0
    averaging: float = 0.998
    validate_minutes: float = 10.0
    prepare: Callable[[Run], None] = lambda _: None


def rate_at(stage: Stage, progress: float, step: int) -> float:
    """Learning rate: a short warm-up, then half a cosine from the first rate to the last."""
    first, last = stage.rates
    rate = last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return rate * min(1.0, (step + 1) / _WARM_UP_STEPS)


def _clock(run: Run, stage: Stage) -> Iterator[float]:
    """Progress 0..1 of a stage, step after step, until its time is up."""
    budget = max(1.0, stage.minutes * 60.0)
    while run.progress.spent < budget:
        began = time.monotonic()
        yield run.progress.spent / budget
        run.progress.spent += min(time.monotonic() - began, _LONGEST_STEP_S)


def run_stage(run: Run, number: int, stage: Stage, step_of: StepOf) -> None:
    """Run a stage to the end of its budget; validate, log and save on the way."""
    done = run.progress
    if done.stage > number:
        return
    log.info("stage %s: %.0f of %.0f minutes done", stage.name, done.spent / 60, stage.minutes)
    run.model.train()
    if done.stage_step == 0:
        stage.prepare(run)
    recent: list[StepReport] = []
    checked = time.monotonic()
    for progress in _clock(run, stage):
        rng = np.random.default_rng([done.seed, number, done.stage_step])
        report = step_of(run, rng, progress)
        rate = rate_at(stage, progress, done.stage_step)
        rates = {"image": rate, "memory": stage.memory_rate * rate / stage.rates[0]}
        if run.step(report.loss, rates, stage.averaging):
            recent.append(report)
        if len(recent) >= _LOG_EVERY:
            _tell(run, stage, recent, rate)
            recent.clear()
        if time.monotonic() - checked > stage.validate_minutes * 60.0:
            check(run, stage.name)
            checked = time.monotonic()
        run.save()
    check(run, stage.name)
    done.stage, done.stage_step, done.spent = number + 1, 0, 0.0
    run.save(force=True)


def _tell(run: Run, stage: Stage, recent: list[StepReport], rate: float) -> None:
    """Log what the last steps were like."""
    table = [(r.loss.item(), r.click, r.box, r.corrected, r.tracked) for r in recent]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is nan: as meant
        means = np.nanmean(table, axis=0)
    log.info(
        "%s %5d (%4.0f s) loss %.3f click %.3f box %.3f corrected %.3f tracked %.3f rate %.1e",
        stage.name,
        run.progress.stage_step,
        run.progress.spent,
        *means,
        rate,
    )


def check(run: Run, stage: str, images: int = 20) -> None:
    """Validate the averaged weights; keep them if they are the best so far."""
    entry: dict[str, Any] = {"stage": stage, "step": run.progress.step}
    figures: list[float] = []
    for difficulty in ("easy", "hard"):
        scores = validate(run.average, difficulty, images)
        entry[difficulty] = vars(scores)
        figures += [scores.click, scores.box, scores.three]
        log.info(
            "  %s: click %.3f (best of three %.3f) box %.3f three clicks %.3f, "
            "predicted IoU off by %.3f",
            difficulty,
            scores.click,
            scores.oracle,
            scores.box,
            scores.three,
            scores.calibration,
        )
        if stage not in ("windows", "images"):
            tracked, absent = validate_clips(run.average, difficulty, 5)
            entry[difficulty] |= {"tracked": tracked, "absent": absent}
            figures += [tracked, absent]
            log.info("  %s: tracked %.3f, absence told %.3f", difficulty, tracked, absent)
    run.progress.history.append(entry)
    if float(np.mean(figures)) >= run.progress.best:
        run.progress.best = float(np.mean(figures))
        run.keep("best.pt")
    run.keep("latest.pt")
    draw_curves(run.folder, run.progress.history)
