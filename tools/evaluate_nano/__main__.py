"""`python -m evaluate_nano`: measure a checkpoint, print tables, update its card."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from evaluate_nano import automatic, pictures, prompts, report, speed, tracking
from evaluate_nano.figures import SetFigures, by_size, find_figures, prompt_figures
from evaluate_nano.figures import tracking as tracking_figures
from evaluate_nano.targets import SETS
from sam2_serving.model import SegmentationModel, load_model
from sam2_serving.model.network import assemble

_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"
_PARTS = ("prompts", "automatic", "clips", "speed")
_TOLERANCE = 32  # of the flood fill where prompts, which tell the best, are not measured


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="evaluate_nano", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/nano/nano.pt"))
    parser.add_argument("--config", type=Path, help="YAML of another network than nano.yaml")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--objects", type=int, default=300, help="of each set, at least")
    parser.add_argument("--clips", type=int, default=40, help="of each set")
    parser.add_argument("--returns", type=int, default=16, help="further clips of each set")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=30, help="of what is timed")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N; speed needs cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--input-size", type=int, help="pixels; default: the network's own")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    parser.add_argument(
        "--card", type=Path, help="model card to update; figures.json and pictures go beside it"
    )
    given = parser.parse_args()
    if given.card and (set(given.parts) != set(_PARTS) or given.input_size):
        parser.error("a card is written from everything: leave out --parts and --input-size")
    return given


def load(
    checkpoint: Path, config: Path | None, device: str, input_size: int | None = None
) -> SegmentationModel:
    """Load a checkpoint, of the packaged network or of another config's."""
    if config is None:
        return load_model(checkpoint, device, "float32", input_size=input_size)
    read = OmegaConf.load(config)
    assert isinstance(read, DictConfig)
    OmegaConf.resolve(read)
    network = assemble(read, image_size=input_size or read.model.image_size)
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    network.load_state_dict(weights)
    return SegmentationModel(network, config.name, torch.device(device))


def _measure(model: SegmentationModel, difficulty: str, given: argparse.Namespace) -> SetFigures:
    figures, tolerance = SetFigures(), _TOLERANCE
    if "prompts" in given.parts:
        records = prompts.measure(model, difficulty, given.objects)
        asked = prompt_figures(records)
        tolerance = asked.tolerance
        figures = replace(figures, prompts=asked, prompts_by_size=by_size(records, tolerance))
        _tell(f"{difficulty}: prompts done")
    if "automatic" in given.parts:
        ours, flood = automatic.measure(model, difficulty, given.objects, tolerance)
        figures = replace(figures, found=find_figures(ours), found_trivial=find_figures(flood))
        _tell(f"{difficulty}: automatic masks done")
    if "clips" in given.parts:
        tracks = tracking.measure(model, difficulty, given.clips, given.returns, given.frames)
        tracked, copied = tracking_figures(tracks)
        figures = replace(figures, clips=tracks.clips, tracked=tracked, copied=copied)
        _tell(f"{difficulty}: clips done")
    return figures


def _tell(text: str) -> None:
    spent = time.process_time()
    print(f"{time.strftime('%H:%M:%S')} {text} ({spent:.0f} s)", file=sys.stderr, flush=True)


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
    given = _arguments()
    logging.disable(logging.INFO)
    torch.set_num_threads(given.threads)
    model = load(given.checkpoint, given.config, given.device, given.input_size)
    table = {}
    for difficulty in SETS:
        table[difficulty] = _measure(model, difficulty, given)
        print(report.markdown({difficulty: table[difficulty]}, None) + "\n", flush=True)
    timed = speed.measure(model, given.repeats) if "speed" in given.parts else None
    text = report.markdown(table, timed)
    print(text)
    if timed:
        print(timed.printed())
    record = {name: asdict(figures) for name, figures in table.items()}
    if given.json:
        times = {"speed": asdict(timed)} if timed else {}
        print(json.dumps({"evaluation": str(given.checkpoint), **record, **times}))
    if given.card:
        _update(given.card, text)
        path = given.card.with_name("figures.json")
        path.write_text(json.dumps(record, indent=2) + "\n")
        pictures.draw_sheet(model, given.card.with_name("masks.jpg"))
        pictures.draw_photographs(model, given.card.with_name("photographs.jpg"))


if __name__ == "__main__":
    main()
