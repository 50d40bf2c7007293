"""How much faster are automatic masks than Meta's generator?

Both sides with the same weights, settings and pixels, records as run-length codes, the image
encoder included. `--points` is a side: 8 is for a quick look, 32 is what people use.

    python benchmarks/automatic.py [--points 32] [--networks nano tiny] [--repeats 3] [--json]
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring import Bench, arguments, by_turns
from network_material import NETWORKS, add_networks, picture
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from skimage import data

from sam2_serving.model import AutomaticSettings, SegmentationModel, find_all
from sam2_serving.model.network import feature_sizes

Image = npt.NDArray[np.uint8]
SETTINGS = AutomaticSettings(
    pred_iou_thresh=0.5, stability_score_thresh=0.5, box_nms_thresh=0.9, output_mode="coco_rle"
)
"""Thresholds at which nano finds dozens of masks: its logits are small, so less stable."""
AT_LEAST = {"nano": 4.0, "tiny": 3.0}


def images(network: str) -> dict[str, Image]:
    """Return what is searched: a tiny takes its time, and gets one."""
    scene = {"scene 640x480": picture()}
    return scene if network == "tiny" else scene | {"photograph 600x400": np.asarray(data.coffee())}


def measure(
    bench: Bench, model: SegmentationModel, name: str, image: Image, points: int, repeats: int
) -> None:
    """Add a row for one image."""
    settings = replace(SETTINGS, points_per_side=points)
    found: dict[str, int] = {}

    def ours() -> None:
        records = [one.record(settings.output_mode) for one in find_all(model, image, settings)]
        found["ours"] = len(records)

    def theirs() -> None:
        generator: Any = SAM2AutomaticMaskGenerator(model.network, **asdict(settings))
        generator.predictor._bb_feat_sizes = feature_sizes(model.network)
        found["peer"] = len(generator.generate(image))

    network = name.split(",")[0]
    times = by_turns({"ours": ours, "peer": theirs}, repeats, warm_up=int(network == "nano"))
    bench.compare(name, times["ours"], times["peer"], at_least=AT_LEAST[network], masks=found)


def main() -> int:
    """Measure and print."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--points", type=int, default=32, help="a side")
        add_networks(parser)

    given = arguments(__doc__, repeats=3, add=add)
    bench = Bench(__file__, given)
    for network in given.networks:
        model = NETWORKS[network](given.device)
        for name, image in images(network).items():
            row = f"{network}, {given.points} points a side, {name}"
            measure(bench, model, row, image, given.points, given.repeats)
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())
