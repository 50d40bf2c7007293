"""How much longer does a click of one of eight clients take beside long jobs, and do these advance?

One engine (nano), no HTTP. Eight clients click, each on an image of its own whose embedding is
stored, with a pause of 0.2 s: first while nothing else runs, then while four objects are tracked
and everything in another image is looked for, both again and again. A click may take longer by
150 ms, or by one object on one frame if that is longer (95th percentiles). And of the units that
the device runs, at most ten clicks may go by while a job's unit waits.

    python benchmarks/mixed_load.py [--seconds 20] [--quick] [--json] [--force]
"""

from __future__ import annotations

import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum

from measuring import Bench, Times, arguments
from network_material import nano
from tracking_material import material, one_object_ms

from sam2_serving.engine import Engine, ImageKey, ImageSource, Priority
from sam2_serving.engine.costs import UnitCosts
from sam2_serving.model import AutomaticSettings, Point, Prompts
from sam2_serving.scenes import draw_scene

CLIENTS = 8
PAUSE_S = 0.2
OBJECTS = 4
FRAMES = 40
LONGEST_UNIT_MS = 150.0
MOST_CLICKS = 10
CLICKS = (Priority.CLICK_DECODE, Priority.CLICK_ENCODE)
JOBS = (Priority.TRACK, Priority.AUTOMATIC)


class NotedCosts(UnitCosts):
    """Also counts how many clicks go by while a job's unit waits."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._passed = dict.fromkeys(JOBS, 0)
        self.most_passed = dict.fromkeys(JOBS, 0)
        self.units = dict.fromkeys(JOBS, 0)

    @contextmanager
    def measure(self, kind: IntEnum) -> Iterator[None]:
        """Time the block as one unit of `kind`."""
        waiting = self._engine.stats().waiting
        for job in JOBS:
            if kind is job:
                self._passed[job] = 0
                self.units[job] += 1
            elif kind in CLICKS and waiting[job]:
                self._passed[job] += 1
                self.most_passed[job] = max(self.most_passed[job], self._passed[job])
        with super().measure(kind):
            yield


def click_times(engine: Engine, seconds: float) -> Times:
    """Let all clients click for a while; returns the seconds of every click."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    def work(client: int) -> None:
        image = draw_scene(client, size=(320, 240)).image
        key = ImageKey("image", "bench", str(client))
        source = ImageSource(key, lambda: image, client=f"client {client}")
        engine.segment(source, Prompts((Point(1, 1),)))
        x = 0
        while time.perf_counter() < end:
            x = (x + 37) % 320  # a new place each time: nothing is remembered of it
            begun = time.perf_counter()
            engine.segment(source, Prompts((Point(x, 120),)))
            taken.append(time.perf_counter() - begun)
            time.sleep(PAUSE_S)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Times(tuple(taken))


@contextmanager
def again_and_again(*jobs: Callable[[threading.Event], None]) -> Iterator[None]:
    """Repeat jobs during the block, each on a thread of its own."""
    ended = threading.Event()

    def repeat(job: Callable[[threading.Event], None]) -> None:
        while not ended.is_set():
            job(ended)

    threads = [threading.Thread(target=repeat, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def main() -> int:
    """Measure."""

    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two parts")
        parser.add_argument("--quick", action="store_true", help="8 seconds each")

    given = arguments(__doc__, repeats=1, add=add)
    seconds = 8.0 if given.quick else given.seconds
    bench = Bench(__file__, given)
    allowed = max(LONGEST_UNIT_MS, one_object_ms(nano(given.device)))
    clip = material(FRAMES, OBJECTS)
    crowd = draw_scene(3, size=(640, 480), difficulty="hard").image
    with Engine(nano(given.device), store_bytes=2**30) as engine:

        def track(ended: threading.Event) -> None:
            for _ in engine.track(clip.request(), clip, client="tracker"):
                if ended.is_set():
                    break

        def find_all(ended: threading.Event) -> None:
            source = ImageSource(ImageKey("image", "bench", "crowd"), lambda: crowd, "finder")
            for _ in engine.find_all(source, AutomaticSettings(points_per_side=16)):
                if ended.is_set():
                    break

        click_times(engine, 0)  # fills the store
        alone = click_times(engine, seconds)
        noted = engine._scheduler.costs = NotedCosts(engine)
        with again_and_again(track, find_all):
            beside = click_times(engine, seconds)
    more = (beside.p95 - alone.p95) * 1000
    bench.state(
        "95th percentile of a click beside jobs, beyond the one alone",
        more / allowed,
        "of what is allowed",
        at_most=1,
        what_is_allowed_times_150_ms=round(allowed / LONGEST_UNIT_MS, 2),
        times_the_one_alone=round(beside.p95 / alone.p95, 2),
        clicks_alone=len(alone.seconds),
        clicks_beside_jobs=len(beside.seconds),
    )
    for job, name in ((Priority.TRACK, "tracking"), (Priority.AUTOMATIC, "automatic masks")):
        assert noted.units[job], f"{name} did not run"
        bench.state(
            f"{name}: clicks that went by while a unit waited",
            noted.most_passed[job],
            "at most",
            at_most=MOST_CLICKS,
            units=noted.units[job],
        )
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())
