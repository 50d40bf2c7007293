"""How much faster is a model that is given smaller images, beside the same at its own size?

The same weights at half and three quarters of the input size, and at the whole, by turns: the image
encoder; the decoder, for a click in a box on an image whose embedding is there; and one object on a
frame with a full memory bank (attend, decode, remember; the frame's encode is not in it).

    python benchmarks/input_size.py [--networks nano tiny] [--repeats 5] [--device cpu] [--json]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from measuring import Bench, by_turns
from network_material import TINY, bench_of_networks, boxes, picture, waits

from sam2_serving.model import (
    Point,
    Prompts,
    SegmentationModel,
    VideoTracker,
    build_network,
    load_model,
    segment,
)
from sam2_serving.model.network import input_sizes
from sam2_serving.pretrained import REPOSITORY

BANK = 6
"""Memories of frames without a prompt that are read at once, by all published networks."""


def smaller(name: str, device: str, side: int) -> SegmentationModel:
    """Return a network for images of that size."""
    if name == "nano":
        return load_model(
            REPOSITORY / "checkpoints/nano/nano.pt", device, "float32", input_size=side
        )
    torch.manual_seed(7)
    return SegmentationModel(build_network(TINY, image_size=side), TINY, torch.device(device))


def work(model: SegmentationModel) -> dict[str, Callable[[], object]]:
    """Return what is timed, ready to run."""
    image, [box] = picture(), boxes(1)
    inside = Point((box.x0 + box.x1) // 2, (box.y0 + box.y1) // 2)
    prompts = Prompts((inside,), box)
    prepared = model.prepare(image)
    embedding = model.encode(prepared)
    tracker = VideoTracker(model)
    frame = tracker.encode(tracker.prepare(image))
    tracker.condition(0, 0, frame, Prompts(box=box))
    for index in range(1, BANK + 1):
        tracker.step(index, frame)
    return {
        "encode": waits(model, lambda: model.encode(prepared)),
        "decode": waits(model, lambda: segment(model, embedding, prompts, "single")),
        "track": waits(model, lambda: tracker.step(BANK + 1, frame)),
    }


def measure(bench: Bench, name: str, device: str, repeats: int) -> None:
    """Add the rows of one network."""
    *others, own = input_sizes("nano.yaml" if name == "nano" else TINY)
    whole = work(smaller(name, device, own))
    for side in others:
        for kind, call in work(smaller(name, device, side)).items():
            times = by_turns({"smaller": call, "own": whole[kind]}, repeats)
            ratio = times["own"].median / times["smaller"].median
            bench.state(
                f"{kind}, {name}, {side} in place of {own} pixels",
                ratio,
                "times the speed",
                smaller_median_ms=round(times["smaller"].median * 1000, 2),
                own_median_ms=round(times["own"].median * 1000, 2),
            )


if __name__ == "__main__":
    raise SystemExit(bench_of_networks(__file__, __doc__, 5, measure))
