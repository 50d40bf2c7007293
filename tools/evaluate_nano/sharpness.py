"""`python -m evaluate_nano.sharpness`: the factor of nano's logits that suits a full search.

The search keeps masks whose area changes little when the threshold moves by 1: a model that is
right but unsure of its edges keeps none. A factor moves that judgement, and answers to first clicks
stay as they are (for the rest see `sharpen`). It is looked for on validation scenes (training's own
style), never on the held-out ones, and put into the weights by
`python -m train_nano.export --sharpness FACTOR`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from evaluate_nano.__main__ import load
from evaluate_nano.automatic import Finds, judge
from evaluate_nano.heldout import objects_of
from sam2_serving.model import SegmentationModel, find_all
from sam2_serving.scenes import draw_scene
from train_nano.export import sharpen

_FIRST_SEED = 2**31 + 5000  # after those that choose among weights


def main() -> None:
    """Print recall and precision for each factor."""
    parser = argparse.ArgumentParser(prog="evaluate_nano.sharpness", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/nano/nano.pt"))
    parser.add_argument("--config", type=Path, help="YAML of another network than nano.yaml")
    parser.add_argument("--factors", type=float, nargs="+", default=[1.0, 1.5, 2.0, 3.0, 4.0])
    parser.add_argument("--scenes", type=int, default=16, help="of each difficulty")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for factor in given.factors:
        network = load(given.checkpoint, given.config, "cpu").network
        sharpen(network, factor)
        model = SegmentationModel(network, "nano.yaml", torch.device("cpu"))
        for difficulty in ("easy", "hard"):
            finds = Finds()
            for seed in range(_FIRST_SEED, _FIRST_SEED + given.scenes):
                scene = draw_scene(seed, 256, difficulty)
                masks = [one.mask() for one in find_all(model, scene.image)]
                judge(finds, masks, objects_of(scene))
            recall = sum(found for _, found in finds.found) / max(1, len(finds.found))
            precision = sum(finds.right) / max(1, len(finds.right))
            print(
                f"factor {factor:g} {difficulty}: recall {recall:.3f} of {len(finds.found)}, "
                f"precision {precision:.3f} of {len(finds.right)} ({sum(finds.again)} second ones)",
                flush=True,
            )


if __name__ == "__main__":
    main()
