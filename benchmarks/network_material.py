"""Networks, images and prompts for the benches of the network itself."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from measuring import Bench, arguments

from sam2_serving.masks import Box, tight_box
from sam2_serving.model import SegmentationModel, build_network, load_model
from sam2_serving.model.devices import keep_freed_memory
from sam2_serving.model.upstream import upstream_predictor
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

TINY = "sam2.1_hiera_t.yaml"
SIZE = (640, 480)


def nano(device: str = "cpu") -> SegmentationModel:
    """Return the checkpoint that is in the repository."""
    return load_model(REPOSITORY / "checkpoints/nano/nano.pt", device)


def tiny(device: str) -> SegmentationModel:
    """Return a tiny with random weights in float32, with memory kept as when one is loaded.

    That is a setting of the whole process: the peer, beside it, has its gain too.
    """
    torch.manual_seed(7)
    if torch.device(device).type == "cpu":
        keep_freed_memory(512)
    return SegmentationModel(build_network(TINY), TINY, torch.device(device))


NETWORKS: dict[str, Callable[[str], SegmentationModel]] = {"nano": nano, "tiny": tiny}


def add_networks(parser: ArgumentParser) -> None:
    """Let the command line choose among the networks."""
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))


def bench_of_networks(
    file: str, doc: str | None, repeats: int, measure: Callable[[Bench, str, str, int], None]
) -> int:
    """Read the command line, measure each network that it names, print.

    Args:
        file: of the script.
        doc: its docstring.
        repeats: unless the command line says otherwise.
        measure: adds a network's row, given the bench, its name, the device and the repeats.

    Returns:
        the exit status.
    """
    given = arguments(doc, repeats, add=add_networks)
    bench = Bench(file, given)
    for name in given.networks:
        measure(bench, name, given.device, given.repeats)
    return bench.finish()


def picture() -> npt.NDArray[np.uint8]:
    """Return a drawn scene of 640 x 480."""
    return np.asarray(draw_scene(3, size=SIZE).image)


def boxes(count: int) -> list[Box]:
    """Return boxes of that scene: of its objects, then moved ones."""
    tight = [box for mask in draw_scene(3, size=SIZE).masks if (box := tight_box(mask)) is not None]
    found: list[Box] = []
    for number in range(count):
        x0, y0, x1, y1 = tight[number % len(tight)]
        by = 3 * (number // len(tight))
        x0, y0 = max(0, x0 - by), max(0, y0 - by)
        found.append(Box(x0, y0, max(x1 - by, x0 + 8), max(y1 - by, y0 + 8)))
    return found


def predictor(model: SegmentationModel) -> Any:
    """Return `SAM2ImagePredictor` with the same weights."""
    return upstream_predictor(model.network)


def waits(model: SegmentationModel, call: Callable[[], object]) -> Callable[[], None]:
    """Return `call`, ended only when the device has done it."""

    def whole() -> None:
        call()
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)

    return whole


def iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Return how far two masks agree."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0
