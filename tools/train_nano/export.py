"""`python -m train_nano.export`: write the weights that the package ships."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from train_nano import network

_HALF_LIMIT = 16 * 2**20


def sharpen(model: Any, factor: float) -> None:
    """Multiply all mask logits: no mask changes by that, but how sure the network is of its edges.

    What is asked further may come out a little otherwise: logits that are fed back and masks that
    are remembered are sharper, and sam2 swaps fewer single masks for one of three.
    """
    with torch.no_grad():
        for mlp in model.sam_mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(factor)
            mlp.layers[-1].bias.mul_(factor)


def export(weights: Path, target: Path, sharpness: float = 1.0) -> None:
    """Write `nano.pt` (fp16) and `config.json`.

    Args:
        weights: averaged weights that a run kept (`best.pt` or `latest.pt`).
        target: folder to write to.
        sharpness: see `sharpen`; `python -m evaluate_nano.sharpness` helps to choose it.

    Raises:
        ValueError: the file would be larger than 16 MB.
    """
    model = network.build()
    kept = torch.load(weights, map_location="cpu", weights_only=True)
    model.load_state_dict(kept["model"])
    sharpen(model, sharpness)
    target.mkdir(parents=True, exist_ok=True)
    half = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    path = target / "nano.pt"
    torch.save({"model": half, "config": network.CONFIG}, path)
    if path.stat().st_size > _HALF_LIMIT:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {_HALF_LIMIT} may ship")
    record = {
        "config": network.CONFIG,
        "image_size": network.IMAGE_SIZE,
        "parameters": sum(p.numel() for p in model.parameters()),
        "dtype": "float16",
        "seed": kept["seed"],
        "steps": kept["step"],
        "sharpness": sharpness,
    }
    (target / "config.json").write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(prog="train_nano.export", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/nano"))
    parser.add_argument("--weights", default="best.pt", help="file in the folder")
    parser.add_argument("--target", type=Path, default=Path("checkpoints/nano"))
    parser.add_argument("--sharpness", type=float, default=1.0, help="factor of all mask logits")
    given = parser.parse_args()
    export(given.folder / given.weights, given.target, given.sharpness)


if __name__ == "__main__":
    main()
