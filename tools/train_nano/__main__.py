"""`python -m train_nano`: run or go on with the recipe; see the package."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from train_nano import network
from train_nano.forward import normalised
from train_nano.run import Run, log, start_log
from train_nano.samples import draw_batch
from train_nano.stages import Stage, run_stage
from train_nano.steps import film_step, prepare_films, prepare_images, whole_step, window_step


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_nano", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/nano"), help="state and log")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for torch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes",
        type=float,
        nargs=3,
        default=(20.0, 22.0, 15.0),
        metavar=("WINDOWS", "IMAGES", "CLIPS"),
        help="wall-clock budget of each stage",
    )
    return parser.parse_args()


def main() -> None:
    """Train until every stage's budget is spent."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    start_log(arguments.folder)
    torch.manual_seed(arguments.seed)
    model = network.build()
    run = Run(arguments.folder, model, arguments.seed)
    if run.resume():
        log.info("going on at step %d, stage %d", run.progress.step, run.progress.stage)
    else:
        batch = draw_batch(np.random.default_rng(arguments.seed), 12, 1, 256, 0.5)
        network.initialise(model, normalised(batch.images))
        run.restart_average()
    windows, images, clips = arguments.minutes
    run_stage(run, 0, Stage("windows", windows, (1e-3, 2e-4)), window_step)
    whole = Stage("images", images, (5e-4, 5e-5), prepare=prepare_images)
    run_stage(run, 1, whole, whole_step)
    films = Stage(
        "clips", clips, (1e-4, 1e-5), memory_rate=1e-3, averaging=0.99, prepare=prepare_films
    )
    run_stage(run, 2, films, film_step)


if __name__ == "__main__":
    main()
