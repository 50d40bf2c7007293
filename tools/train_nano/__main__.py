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
from train_nano.steps import (
    confidence_step,
    film_step,
    mixed_step,
    prepare_confidence,
    prepare_films,
    prepare_images,
    whole_step,
    window_step,
)

_STAGE_OF_ALL = 3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_nano", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/nano"), help="state and log")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for torch")
    parser.add_argument(
        "--device", type=torch.device, default=torch.device("cpu"), help="cpu, cuda or cuda:N"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes",
        type=float,
        nargs=5,
        default=(20.0, 21.0, 15.0, 107.0, 5.0),
        metavar=("WINDOWS", "IMAGES", "CLIPS", "ALL", "CONFIDENCE"),
        help="wall-clock budget of each stage",
    )
    parser.add_argument("--config", type=Path, help="YAML of another network than nano.yaml")
    parser.add_argument(
        "--begin-with",
        type=Path,
        metavar="WEIGHTS",
        help="a nano.pt, of the same widths, to go straight to the fourth stage with",
    )
    return parser.parse_args()


def begin(run: Run, arguments: argparse.Namespace) -> None:
    """Take up the folder's run on the device, or begin a new one."""
    if run.resume(arguments.device):
        log.info("going on at step %d, stage %d", run.progress.step, run.progress.stage)
        return
    # On the CPU, so that the start is the same wherever training happens.
    if arguments.begin_with:
        kept = torch.load(arguments.begin_with, map_location="cpu", weights_only=True)["model"]
        network.adopt(run.model, {name: value.float() for name, value in kept.items()})
        run.progress.stage = _STAGE_OF_ALL
    else:
        batch = draw_batch(np.random.default_rng(arguments.seed), 12, 1, 256, 0.5)
        network.initialise(run.model, normalised(batch.images))
    run.restart_average()
    run.move(arguments.device)


def main() -> None:
    """Train until every stage's budget is spent."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    start_log(arguments.folder)
    torch.manual_seed(arguments.seed)
    run = Run(arguments.folder, network.build(arguments.config), arguments.seed)
    begin(run, arguments)
    windows, images, clips, everything, confidence = arguments.minutes
    run_stage(run, 0, Stage("windows", windows, (1e-3, 2e-4)), window_step)
    whole = Stage("images", images, (5e-4, 5e-5), prepare=prepare_images)
    run_stage(run, 1, whole, whole_step)
    films = Stage(
        "clips", clips, (1e-4, 1e-5), memory_rate=1e-3, averaging=0.99, prepare=prepare_films
    )
    run_stage(run, 2, films, film_step)
    mixed = Stage("all", everything, (4e-4, 1e-5), memory_rate=4e-4, averaging=0.999)
    run_stage(run, _STAGE_OF_ALL, mixed, mixed_step)
    # Some eighty steps in five minutes: a longer memory would keep half of what was said before.
    last = Stage("confidence", confidence, (1e-3, 1e-4), averaging=0.95, prepare=prepare_confidence)
    run_stage(run, _STAGE_OF_ALL + 1, last, confidence_step)


if __name__ == "__main__":
    main()
