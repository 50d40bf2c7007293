"""`python -m train_nano.export`: write the weights that the package ships."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from train_nano import network

_HALF_LIMIT = 16 * 2**20


def export(weights: Path, state: Path, target: Path) -> None:
    """Write `nano.pt` (fp16) and `config.json`.

    Args:
        weights: averaged weights that a run kept (`best.pt` or `latest.pt`).
        state: the run's `state.pt`, for its seed and steps; may be missing.
        target: folder to write to.

    Raises:
        ValueError: the file would be larger than 16 MB.
    """
    model = network.build()
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["model"])
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
        **_history(state),
    }
    (target / "config.json").write_text(json.dumps(record, indent=2) + "\n")


def _history(state: Path) -> dict[str, Any]:
    if not state.exists():
        return {"seed": None, "steps": 0}
    progress = json.loads(torch.load(state, map_location="cpu", weights_only=True)["progress"])
    return {"seed": progress["seed"], "steps": progress["step"]}


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(prog="train_nano.export", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/nano"))
    parser.add_argument("--weights", default="best.pt", help="file in the folder")
    parser.add_argument("--target", type=Path, default=Path("checkpoints/nano"))
    arguments = parser.parse_args()
    folder = arguments.folder
    export(folder / arguments.weights, folder / "state.pt", arguments.target)


if __name__ == "__main__":
    main()
