"""What does the engine hold, and at most, while it does each of its jobs?

No HTTP: the engine alone, each question in a process of its own, so that none finds what another
left in the allocator. Stated are

- the weights of images and videos: bytes of all networks in the process after a click and a
  track, as a multiple of one network's;
- the peak of each job above what the process held before it (model loaded, one click done): a new
  click, 64 boxes in one request, an automatic-mask job, a track of four objects. On a CPU it is
  the process's resident memory, on a GPU what torch allocated there;
- the store: how far the process grows beyond the budget while it is filled and overfilled;
- growth over many clicks on images in a shuffled order, of which half fit the store, from when it
  has been full for some hundreds of clicks.

    python benchmarks/memory.py [--models nano tiny] [--clicks 5000] [--quick] [--json] [--force]
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from measuring import Bench, arguments
from network_material import NETWORKS
from sam2.modeling.sam2_base import SAM2Base
from tracking_material import material, resident_bytes

from sam2_serving.engine import Engine, ImageKey, ImageSource
from sam2_serving.model import (
    AutomaticSettings,
    Box,
    Point,
    Prompts,
)
from sam2_serving.scenes import draw_scene

MIB = 2**20
WIDTH, HEIGHT = 1920, 1080
IMAGES = 200
MOST_GROWTH_MIB = 20.0
"""Of the process over thousands of clicks, and beyond the store's budget."""

Figures = dict[str, float]


def new_engine(name: str, device: str, store_bytes: int = 2**30) -> Engine:
    """Return an engine that has answered a click, so that what it makes once is there."""
    engine = Engine(NETWORKS[name](device), store_bytes=store_bytes)
    click(engine, source("first"))
    return engine


def source(name: str, shift: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> ImageSource:
    """Return an image: a scene, moved to the right by a number of pixels."""

    def load() -> npt.NDArray[np.uint8]:
        return np.roll(scene(size), shift, axis=1)

    return ImageSource(ImageKey("image", "bench", name), load)


_SCENES: dict[tuple[int, int], npt.NDArray[np.uint8]] = {}


def scene(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return a drawn scene, drawn once."""
    if size not in _SCENES:
        _SCENES[size] = draw_scene(3, size=size).image
    return _SCENES[size]


def click(engine: Engine, image: ImageSource, x: int = 100) -> None:
    """Ask for one mask."""
    engine.segment(image, Prompts(points=(Point(x, 90),)))


def many(engine: Engine) -> None:
    """Ask for 64 boxes of one image, answer by answer."""
    boxes = [Box(x, y, x + 200, y + 110) for x in range(0, 1600, 200) for y in range(0, 880, 110)]
    for _ in engine.segment_each(source("many"), [Prompts(box=box) for box in boxes]):
        pass


def everything(engine: Engine) -> None:
    """Find all masks of one image."""
    settings = AutomaticSettings(points_per_side=8)
    for _ in engine.find_all(source("everything"), settings):
        pass


def track(engine: Engine) -> None:
    """Follow four objects until the tracker's memory is full, and on."""
    clip = material(24, 4)
    for _ in engine.track(clip.request(), clip):
        pass


JOBS: dict[str, Callable[[Engine], None]] = {
    "a click on a new image": lambda engine: click(engine, source("new")),
    "64 boxes": many,
    "automatic masks, 8 points a side": everything,
    "a track of 4 objects": track,
}


class Peak:
    """The most that was held since it was made."""

    def __init__(self, device: str) -> None:
        self._gpu = torch.device(device) if device != "cpu" else None
        gc.collect()
        if self._gpu is None:
            Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is held now
        else:
            torch.cuda.reset_peak_memory_stats(self._gpu)
        self._before = self._most()

    def above_mib(self) -> float:
        """MiB above what was held at the beginning."""
        return (self._most() - self._before) / MIB

    def _most(self) -> int:
        if self._gpu is not None:
            return int(torch.cuda.max_memory_allocated(self._gpu))
        lines = Path("/proc/self/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


def peak_of(job: str, name: str, device: str) -> Figures:
    """Do one job in an engine that is ready, and say what it took."""
    with new_engine(name, device) as engine:
        scene((WIDTH, HEIGHT))
        peak = Peak(device)
        JOBS[job](engine)
        return {"MiB": peak.above_mib()}


def copies_of_weights(name: str, device: str) -> Figures:
    """Count the bytes of all networks in the process, in networks."""
    with new_engine(name, device) as engine:
        track(engine)
        networks = [one for one in gc.get_objects() if issubclass(type(one), SAM2Base)]
        storages = {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for network in networks
            for tensor in (*network.parameters(), *network.buffers())
        }
        one = sum(tensor.nbytes for tensor in networks[0].state_dict().values())
        return {"copies": sum(storages.values()) / one, "MiB": one / MIB}


def store_over_budget(name: str, device: str, budget_mib: int) -> Figures:
    """Fill the store twice over; say by how much the process grew more than the budget."""
    with new_engine(name, device, budget_mib * MIB) as engine:
        one = engine.stats().store_bytes
        fitting = budget_mib * MIB // one
        for number in range(3):  # what encoding one after the other takes in any case
            click(engine, source(f"warm {number}", size=(320, 240)))
        before, held = resident_bytes(), engine.stats().store_bytes
        most = before
        for number in range(2 * fitting + 10):
            click(engine, source(f"{number}", shift=number, size=(320, 240)))
            most = max(most, resident_bytes())
        stored = engine.stats().store_bytes
        assert stored <= budget_mib * MIB
        return {"MiB": (most - before + held) / MIB - budget_mib, "stored MiB": stored / MIB}


def growth(name: str, device: str, clicks: int) -> Figures:
    """Click on images in a shuffled order; say what the process grew by once all is in use."""
    with new_engine(name, device) as probe:
        one = probe.stats().store_bytes
    with new_engine(name, device, one * IMAGES // 2) as engine:
        images = [source(f"{n}", shift=n, size=(320, 240)) for n in range(IMAGES)]
        first, shuffled = 0, Random(0)
        for number in range(clicks):
            click(engine, images[shuffled.randrange(IMAGES)], x=20 + number % 250)
            if number + 1 == min(1000, 2 * clicks // 5):
                gc.collect()
                first = resident_bytes()
        gc.collect()
        counters = engine.stats().store
        return {"MiB": (resident_bytes() - first) / MIB, "made": counters.made}


def alone(question: Callable[..., Figures], *about: Any) -> Figures:
    """Answer a question in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(question, about)


def questions(given: argparse.Namespace) -> Iterator[tuple[str, Callable[..., Figures], Any, Any]]:
    """Yield (name, question, what it is about, target in its unit) of each row, model by model."""
    for name in given.models:
        place = (name, given.device)
        yield f"{name}: networks in memory", copies_of_weights, place, 1.05
        for job in JOBS:
            yield f"{name}: peak of {job}", peak_of, (job, *place), None
    if given.device == "cpu":
        budget, clicks = (32, 1500) if given.quick else (128, given.clicks)
        place = ("nano", given.device)
        over = f"nano: the process beyond a store of {budget} MiB"
        yield over, store_over_budget, (*place, budget), MOST_GROWTH_MIB
        more = f"nano: growth over {clicks} clicks on {IMAGES} images"
        yield more, growth, (*place, clicks), MOST_GROWTH_MIB


def main() -> int:
    """Measure and print."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--models", nargs="+", choices=("nano", "tiny"), default=None)
        parser.add_argument("--clicks", type=int, default=5000)
        parser.add_argument("--quick", action="store_true", help="1500 clicks, a store of 32 MiB")

    given = arguments(__doc__, repeats=1, add=add)
    given.models = given.models or ["nano", "tiny"]
    bench = Bench(__file__, given)
    for name, question, about, most in questions(given):
        found = alone(question, *about)
        unit = "MiB" if question is not copies_of_weights else "networks"
        value = found.pop("MiB") if unit == "MiB" else found.pop("copies")
        details = {key.replace(" ", "_"): round(value, 1) for key, value in found.items()}
        bench.state(name, value, unit, at_most=most, **details)
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())
