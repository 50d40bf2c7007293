"""How far is the network from what this machine's arithmetic allows?

First the machine's own rates: matrix products of float32 (large ones, which the caches hold in
blocks) and copies of memory. Then, for the encoder, the decoder and the memory attention, the time
of one run, and the time that would follow from its FLOPs alone; FLOPs are those that upstream's
modules do, so that work which is left out counts as ours.

    python benchmarks/limits.py [--networks nano] [--repeats 10] [--device cpu] [--json]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from measuring import Bench, arguments, by_turns
from network_material import NETWORKS, add_networks, boxes, picture, waits
from torch.utils.flop_counter import FlopCounterMode

from sam2_serving.model import Prompts, SegmentationModel
from sam2_serving.model.memory import FrameMemory
from sam2_serving.model.upstream import upstream_predictor
from sam2_serving.model.video import VideoTracker

SIDE = 2048
COPIED = 256 * 2**20


def seconds(model: SegmentationModel, call: Callable[[], object], repeats: int) -> float:
    """Return the median."""
    timed = torch.inference_mode()(waits(model, call))
    return by_turns({"it": timed}, repeats)["it"].median


def flops(call: Callable[[], object]) -> int:
    """Count multiplications and additions of matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


@torch.inference_mode()
def rates(bench: Bench, model: SegmentationModel, repeats: int) -> float:
    """Add rows for the machine; return GFLOP a second."""
    matrix = torch.randn(SIDE, SIDE, device=model.device)
    product = 2 * SIDE**3 / seconds(model, lambda: matrix @ matrix, repeats) / 1e9
    block = torch.zeros(COPIED // 4, device=model.device)
    target = torch.zeros_like(block)
    copied = 2 * COPIED / seconds(model, lambda: target.copy_(block), repeats) / 1e9
    bench.state("matrix products, float32", product, "GFLOP/s")
    bench.state("memory, read and written", copied, "GB/s")
    return product


@torch.inference_mode()
def parts(bench: Bench, name: str, model: SegmentationModel, rate: float, repeats: int) -> None:
    """Add a row for each part of one network."""
    network, prepared = model.network, model.prepare(picture())
    embedding, prompts = model.encode(prepared), Prompts(box=boxes(1)[0])
    tracker = VideoTracker(model)
    frame = tracker.encode(tracker.prepare(picture()))
    mask = model.to_mask(model.predict(embedding, prompts), embedding.image_size)
    mask[: mask.shape[0] // 2] = True
    tracker.condition("it", 0, frame, Prompts(mask=mask))
    memory = tracker._objects["it"]
    one = memory.conditioning[0]
    for index in range(1, network.num_maskmem):
        memory.remember(index, FrameMemory(one.features, one.pointer))
    index = network.num_maskmem

    peer = upstream_predictor(network)
    peer.set_image(picture())
    peer_tracker = VideoTracker(model)
    peer_tracker._lean, peer_tracker._network = None, network
    peer_tracker._objects["it"] = memory
    pixels = prepared.pixels.to(model.device)
    box = torch.tensor(prompts.box, device=model.device)

    def attend() -> object:
        tracker._side = None  # what the objects of a frame share belongs to one object here
        return tracker.attend(index, frame)

    cases: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "encoder": (
            partial(model.encode, prepared),
            partial(network.forward_image, pixels),
        ),
        "decoder, one box": (
            partial(model.predict, embedding, prompts),
            partial(peer._predict, None, None, box[None], None, False, True),
        ),
        "memory attention, one object, full bank": (
            attend,
            partial(peer_tracker.attend, index, frame),
        ),
    }
    for part, (ours, upstreams) in cases.items():
        work = flops(upstreams) / 1e9
        taken = seconds(model, ours, repeats)
        bench.state(
            f"{name}, {part}",
            taken / (work / rate),
            "times the time of its arithmetic alone",
            median_ms=round(1000 * taken, 2),
            arithmetic_alone_ms=round(1000 * work / rate, 2),
            gflop=round(work, 2),
            upstream_ms=round(1000 * seconds(model, upstreams, max(1, repeats // 3)), 2),
        )


def main() -> int:
    """Measure and print."""
    given = arguments(__doc__, repeats=5, add=add_networks)
    bench = Bench(__file__, given)
    rate: float | None = None
    for name in given.networks:
        model = NETWORKS[name](given.device)
        rate = rate or rates(bench, model, given.repeats)
        few = given.repeats if name == "nano" else min(2, given.repeats)
        parts(bench, name, model, rate, few)
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())
