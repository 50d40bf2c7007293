"""Is bfloat16 faster than float32 here, and do its masks agree?

Runs both formats of the same weights alternately in one process and prints their ratio, for nano
and for a randomly initialised tiny. `fast_dtype` in `sam2_serving.model.devices` rests on it.

    python benchmarks/number_formats.py [--device cpu] [--repeats 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from skimage import data

from sam2_serving.model import Point, Prompts, SegmentationModel, build_network, load_model, segment
from sam2_serving.model.agreement import measure_agreement
from sam2_serving.model.devices import DtypeName, resolve_device
from sam2_serving.pretrained import REPOSITORY

PROMPTS = Prompts(points=(Point(300, 200), Point(20, 20, positive=False)))


def models(name: str, device: torch.device, fast: DtypeName) -> dict[str, SegmentationModel]:
    """Return the same weights in float32 and in the fast format."""
    if name == "nano":
        network = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32").network
    else:
        torch.manual_seed(0)
        network = build_network("sam2.1_hiera_t.yaml")
    formats: tuple[DtypeName, ...] = ("float32", fast)
    return {f: SegmentationModel(network, name, device, f, "weights") for f in formats}


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def compare(name: str, device: torch.device, fast: DtypeName, repeats: int) -> dict[str, object]:
    """Return the fast format's time as a share of float32's, medians, and its agreement."""
    image = data.coffee()
    both = models(name, device, fast)
    embeddings = {f: model.embed(image) for f, model in both.items()}
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(repeats):
        for f, model in both.items():
            embedding = embeddings[f]
            times.setdefault((f, "embed"), []).append(
                seconds(lambda m=model: m.embed(image), device)  # type: ignore[misc]
            )
            times.setdefault((f, "segment"), []).append(
                seconds(lambda m=model, e=embedding: segment(m, e, PROMPTS), device)  # type: ignore[misc]
            )
    median = {key: statistics.median(values) for key, values in times.items()}
    verdict = measure_agreement(both[fast], both["float32"])
    return {
        "model": name,
        "format": fast,
        "embed, share of float32": round(median[fast, "embed"] / median["float32", "embed"], 2),
        "segment, share of float32": round(
            median[fast, "segment"] / median["float32", "segment"], 2
        ),
        "mean IoU with float32": round(verdict.mean_iou, 4),
        "lowest IoU": round(verdict.lowest_iou, 4),
    }


def main() -> None:
    """Print the table, or lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    device = resolve_device(options.device)
    for name in ("nano", "tiny"):
        row = compare(name, device, "bfloat16", options.repeats)
        print(json.dumps(row) if options.json else row)


if __name__ == "__main__":
    main()
