"""`python -m train_nano.export`: write the weights that the package ships."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from train_nano import network

_HALF_LIMIT = 16 * 2**20


def export(weights: Path, target: Path) -> None:
    """Write `nano.pt` (fp16) and `config.json`.

    Args:
        weights: averaged weights that a run kept (`best.pt` or `latest.pt`).
        target: folder to write to.

    Raises:
        ValueError: the file would be larger than 16 MB.
    """
    model = network.build()
    kept = torch.load(weights, map_location="cpu", weights_only=True)
    model.load_state_dict(kept["model"])
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
    }
    (target / "config.json").write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(prog="train_nano.export", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/nano"))
    parser.add_argument("--weights", default="best.pt", help="file in the folder")
    parser.add_argument("--target", type=Path, default=Path("checkpoints/nano"))
    arguments = parser.parse_args()
    export(arguments.folder / arguments.weights, arguments.target)


if __name__ == "__main__":
    main()
