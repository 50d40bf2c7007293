"""How much faster are automatic masks than Meta's generator, and how much memory do they need?

Both sides run alternately in one process with the same weights, settings and pixels; printed are
medians, their ratio, and how many masks either finds. Peak memory is measured in a process of its
own for each side: how much the process grew beyond what it held before the search.

    python benchmarks/automatic_masks.py [--points 32] [--repeats 3] [--threads N] [--large]

`--large` measures memory on a photograph of 4000 x 6000 pixels; upstream holds dozens of masks of
that size as numbers at once: keep `--large-batch` small where memory is short.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from skimage import data

from sam2_serving.model import AutomaticSettings, SegmentationModel, find_all, load_model
from sam2_serving.model.network import feature_sizes
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

Image = npt.NDArray[np.uint8]
SETTINGS = AutomaticSettings(
    pred_iou_thresh=0.5, stability_score_thresh=0.5, box_nms_thresh=0.9, output_mode="coco_rle"
)
"""Thresholds at which nano finds dozens of masks: its logits are small, so less stable."""
IMAGES: dict[str, Callable[[], Image]] = {
    "scene 320x240": lambda: draw_scene(1, size=(320, 240)).image,
    "scene 640x480": lambda: draw_scene(3, size=(640, 480), difficulty="hard").image,
    "photograph 600x400": lambda: np.asarray(data.coffee()),
    "photograph 1500x1000": lambda: enlarged(1500, 1000),
    "photograph 6000x4000": lambda: enlarged(6000, 4000),
}


def enlarged(width: int, height: int) -> Image:
    """Return a photograph in another size."""
    return np.asarray(cv2.resize(data.coffee(), (width, height)), np.uint8)


def nano() -> SegmentationModel:
    """Return the checkpoint that is in the repository."""
    return load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")


def ours(model: SegmentationModel, image: Image, settings: AutomaticSettings) -> list[Any]:
    """Return the records that our search gives."""
    return [one.record(settings.output_mode) for one in find_all(model, image, settings)]


def upstream(model: SegmentationModel, image: Image, settings: AutomaticSettings) -> list[Any]:
    """Return the records that Meta's generator gives."""
    generator = SAM2AutomaticMaskGenerator(model.network, **asdict(settings))
    generator.predictor._bb_feat_sizes = feature_sizes(model.network)
    return list(generator.generate(image))


Search = Callable[[SegmentationModel, Image, AutomaticSettings], list[Any]]
SIDES: dict[str, Search] = {"ours": ours, "upstream": upstream}


def speed(name: str, settings: AutomaticSettings, repeats: int) -> dict[str, object]:
    """Time both sides on one image, alternately."""
    model, image = nano(), IMAGES[name]()
    quick = replace(settings, points_per_side=4)
    for search in SIDES.values():
        search(model, image, quick)
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    found: dict[str, int] = {}
    for _ in range(repeats):
        for side, search in SIDES.items():
            start = time.perf_counter()
            found[side] = len(search(model, image, settings))
            times[side].append(time.perf_counter() - start)
    mine, theirs = statistics.median(times["ours"]), statistics.median(times["upstream"])
    ratios = [b / a for a, b in zip(*times.values(), strict=True)]
    return {
        "image": name,
        "points": settings.points_per_side**2,
        "masks": found["ours"],
        "upstream's masks": found["upstream"],
        "seconds": round(mine, 2),
        "upstream's seconds": round(theirs, 2),
        "times faster": round(statistics.median(ratios), 2),
    }


def memory(name: str, settings: AutomaticSettings) -> dict[str, object]:
    """Measure both sides on one image, each in a process of its own."""
    row: dict[str, object] = {"image": name, "points a batch": settings.points_per_batch}
    for side in SIDES:
        command = [sys.executable, __file__, "--measure", side, "--image", name]
        command += ["--points", str(settings.points_per_side)]
        command += ["--large-batch", str(settings.points_per_batch)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = child.stdout.splitlines()
        row[f"{side}, MiB"] = int(lines[-1]) if child.returncode == 0 else "out of memory"
    return row


def measure(side: str, name: str, settings: AutomaticSettings) -> None:
    """Print the MiB that a search adds to this process."""
    model, image = nano(), IMAGES[name]()
    SIDES[side](model, image[:64, :64], replace(settings, points_per_side=2))
    Path("/proc/self/clear_refs").write_text("5")  # from here on, VmHWM is the peak
    before = resident("VmRSS")
    SIDES[side](model, image, settings)
    print((resident("VmHWM") - before) // 1024)


def resident(kind: str) -> int:
    """Return the KiB that this process holds (VmRSS) or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind))


def main() -> None:
    """Print the tables, or lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=32, help="a side")
    parser.add_argument("--threads", type=int, help="of torch; default: one for each core")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="memory at 4000 x 6000 too")
    parser.add_argument("--large-batch", type=int, default=2, help="points a batch there")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--image", choices=IMAGES, help="only this one")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = replace(SETTINGS, points_per_side=options.points)
    small_batches = replace(settings, points_per_batch=options.large_batch)
    if options.measure:
        measure(options.measure, options.image, small_batches)
        return

    def show(row: dict[str, object]) -> None:
        print(json.dumps(row) if options.json else row, flush=True)

    print(f"{torch.get_num_threads()} threads", file=sys.stderr)
    for name in [options.image] if options.image else list(IMAGES)[:3]:
        show(speed(name, settings, options.repeats))
    if not options.image:
        show(memory("photograph 1500x1000", replace(settings, points_per_batch=64)))
    if options.large:
        show(memory("photograph 6000x4000", replace(small_batches, points_per_side=4)))


if __name__ == "__main__":
    main()
