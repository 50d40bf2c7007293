"""`python -m evaluate_nano`: measure a checkpoint, print tables, update its card."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from evaluate_nano import images, pictures, report, speed, tracking
from sam2_serving.model.network import build_network, network_config
from sam2_serving.model.upstream import upstream_predictor

_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="evaluate_nano", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/nano/nano.pt"))
    parser.add_argument("--objects", type=int, default=220, help="of each difficulty, at least")
    parser.add_argument("--clips", type=int, default=12, help="of each difficulty")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--card", type=Path, help="model card to update; figures.json and masks.jpg go beside it"
    )
    return parser.parse_args()


def _video_predictor(weights: dict[str, Any]) -> Any:
    switches = {"_target_": "sam2.sam2_video_predictor.SAM2VideoPredictor"}
    model = instantiate(OmegaConf.merge(network_config("nano.yaml").model, switches))
    model.load_state_dict(weights)
    return model.eval()


def _update(card: Path, text: str) -> None:
    """Replace what stands between the card's two figure marks.

    Raises:
        ValueError: the card lacks the marks.
    """
    before, begin, rest = card.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{card} has no lines {_BEGIN} and {_END}")
    card.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main() -> None:
    """Measure everything and write it down."""
    arguments = _arguments()
    logging.disable(logging.INFO)
    torch.set_num_threads(arguments.threads)
    weights = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)["model"]
    weights = {name: value.float() for name, value in weights.items()}
    network = build_network("nano.yaml")
    network.load_state_dict(weights)
    predictor, follower = upstream_predictor(network), _video_predictor(weights)
    measured = {
        difficulty: (
            images.measure(predictor, difficulty, arguments.objects),
            tracking.measure(follower, difficulty, arguments.clips, arguments.frames),
        )
        for difficulty in ("easy", "hard")
    }
    text = report.markdown(measured, speed.measure(predictor))
    print(text)
    if arguments.card:
        _update(arguments.card, text)
        record = {name: report.figures(*both) for name, both in measured.items()}
        path = arguments.card.with_name("figures.json")
        path.write_text(json.dumps(record, indent=2) + "\n")
        pictures.draw_sheet(predictor, arguments.card.with_name("masks.jpg"))


if __name__ == "__main__":
    main()
