"""How long nano takes on one core, and how many times as long tiny takes beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from measuring import BUSY_SHARE, Machine, by_turns

from sam2_serving.model import (
    Point,
    Prompts,
    SegmentationModel,
    VideoTracker,
    build_network,
    segment,
)

LIMITS_MS = {"encode": 80.0, "decode": 15.0, "track alone": 60.0, "track among three": 60.0}
_PEER = "sam2.1_hiera_t.yaml"
_REMEMBERED = 8  # frames after which an object's memory is full


@dataclass(frozen=True)
class Speed:
    """Times on one thread.

    Attributes:
        machine: where, and how busy it was.
        median_ms: median of nano by step: "encode" an image of 256 pixels a side, "decode" a click,
            "track" an object on one frame: alone, all of the frame's encoding included, and among
            three, a third of it.
        times_tiny: how many times as long tiny takes, by step.
    """

    machine: Machine
    median_ms: dict[str, float]
    times_tiny: dict[str, float]

    @property
    def within(self) -> dict[str, bool]:
        """Whether each step keeps to its limit."""
        return {step: value <= LIMITS_MS[step] for step, value in self.median_ms.items()}

    @property
    def doubtful(self) -> bool:
        """Whether others used the machine, so that a limit may have been missed for their sake."""
        return bool(self.machine.busy > BUSY_SHARE)

    def printed(self) -> str:
        """With times, for the terminal."""
        lines = [f"speed on one thread: {self.machine}"]
        for step, value in self.median_ms.items():
            verdict = "within the limit" if self.within[step] else "NOT within the limit"
            lines.append(
                f"  {step:17} {value:7.1f} ms, {verdict} of {LIMITS_MS[step]:g} ms; "
                f"tiny takes {self.times_tiny[step]:.0f} times as long"
            )
        if self.doubtful:
            lines.append("  others used the machine: measure again when it is quiet")
        return "\n".join(lines)

    def in_words(self) -> str:
        """For the card: no times, which are those of one machine."""
        limits = ", ".join(f"{step} {LIMITS_MS[step]:g} ms" for step in LIMITS_MS)
        over = [step for step, good in self.within.items() if not good]
        verdict = f"not within: {', '.join(over)}" if over else "within the limits"
        ratios = ", ".join(
            f"{value:.0f} times as long to {s}" for s, value in self.times_tiny.items()
        )
        doubt = " Others used the machine meanwhile." if self.doubtful else ""
        return (
            f"Speed on one core (limits: {limits} a frame an object): **{verdict}**. tiny, in the "
            f"same run, takes {ratios}.{doubt}"
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def measure(model: SegmentationModel, repeats: int) -> Speed:
    """Time the steps, by turns with tiny (of random weights: they take as long as any).

    Args:
        model: on the CPU.
        repeats: of each step; tiny takes seconds for some.
    """
    with one_thread():
        machine = Machine.here("cpu")
        tiny = SegmentationModel(build_network(_PEER), _PEER, torch.device("cpu"))
        ours, theirs = _steps(model), _steps(tiny)
        objects = {"track among three": 3}
        few = max(1, repeats // 10)
        medians, times = {}, {}
        for step in LIMITS_MS:
            whole = by_turns({"nano": ours[step]}, repeats)["nano"].median
            medians[step] = whole / objects.get(step, 1)
            pair = by_turns({"nano": ours[step], "tiny": theirs[step]}, few, warm_up=0)
            times[step] = round(pair["tiny"].median / pair["nano"].median, 1)
    return Speed(
        machine, {step: round(value * 1000.0, 2) for step, value in medians.items()}, times
    )


def _steps(model: SegmentationModel) -> dict[str, Callable[[], object]]:
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    embedding = model.embed(image)
    click = Prompts((Point(100, 100),))
    return {
        "encode": lambda: model.embed(image),
        "decode": lambda: segment(model, embedding, click),
        "track alone": _tracking(model, image, objects=1),
        "track among three": _tracking(model, image, objects=3),
    }


def _tracking(
    model: SegmentationModel, image: npt.NDArray[np.uint8], objects: int
) -> Callable[[], object]:
    """Return what finds objects on the next frame, their memories being full."""
    tracker = VideoTracker(model)
    frame = tracker.encode(tracker.prepare(image))
    for number in range(objects):
        mask = np.zeros((256, 256), bool)
        mask[80:140, 20 + 70 * number : 80 + 70 * number] = True
        tracker.condition(number, 0, frame, Prompts(mask=mask))
    for index in range(1, _REMEMBERED):
        tracker.step(index, frame)
    frames = iter(range(_REMEMBERED, 10**9))

    def track() -> object:
        return tracker.step(next(frames), tracker.encode(tracker.prepare(image)))

    return track
