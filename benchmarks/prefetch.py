"""How many first clicks find their image encoded, and how many encodes are in vain?

Simulated annotators work over HTTP with the app (nano) and a local workspace, which run in this
process. An encode takes 1.5 s, as a large network's on a small machine. An annotator clicks, looks
at the image for 2 s (with a second click after half of it) and goes to another one: in order; with
a jump to any image after every tenth image and a step back after every tenth; in order, with a
second person who looks at the same images a little later; or two persons in two places, for whom
one encoder is not enough (1.5 s of work for each in 2 s), so that this has no target.

A first click is warm if it was answered before an encode could have been: in less than half the
time of one. What is stated is the share of warm first clicks, images opened by nobody before but
the first of all included; the encodes for each image that was opened; and by how much the second
clicks, which never need an encode, were held up by encodes for what comes next (95th percentile
beyond the shortest, as a share of an encode).

    python benchmarks/prefetch.py [--images 40] [--scale 1.0] [--quick] [--json] [--force]
"""

from __future__ import annotations

import random
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from measuring import Bench, arguments
from serving_live import TOKEN, Serving, serve

from sam2_serving.model import ImageEmbedding
from sam2_serving.model.image import PreparedImage
from sam2_serving.model.parts import Parts, finish
from sam2_serving.scenes import draw_scene

ENCODE_S = 1.5
PARTS = 24
"""Of an encode: blocks of the backbone of the network of middle size."""
LOOK_S = 2.0
NOBODYS = 2
"""Images after each row that nobody opens, so that what is ahead of one row is of no other."""
SECOND = "second-annotator-0123456789"
Image = np.ndarray


@dataclass
class Annotator:
    """Goes through images and clicks twice on each.

    Attributes:
        first: seconds of each first click on an image.
        later: seconds of each second click.
        opened: numbers of the images.
    """

    running: Serving
    prefix: str
    token: str
    scale: float
    first: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    opened: set[int] = field(default_factory=set)

    def walk(self, numbers: list[int], delay_s: float = 0.0) -> None:
        """Work on these images, one after the other."""
        time.sleep(delay_s * self.scale)
        with httpx.Client(base_url=self.running.address, timeout=120) as client:
            for number in numbers:
                self.opened.add(number)
                self.first.append(self._click(client, number, 40))
                time.sleep(LOOK_S * self.scale / 2)
                self.later.append(self._click(client, number, 60))
                time.sleep(LOOK_S * self.scale / 2)

    def warm(self) -> float:
        """Share of first clicks that waited for no encode."""
        limit = ENCODE_S * self.scale / 2
        return sum(one < limit for one in self.first) / len(self.first)

    def _click(self, client: httpx.Client, number: int, x: int) -> float:
        context = {
            "image_id": self.running.images[f"{self.prefix}{number:03}"],
            "positive": [{"x": x, "y": 40}],
            "negative": [],
        }
        body = self.running.envelope(context=context, state={}, api_token=self.token)
        begun = time.perf_counter()
        answer = client.post("/smart_segmentation", json=body)
        taken = time.perf_counter() - begun
        assert answer.status_code == 200, answer.text
        return taken


def in_order(count: int) -> list[int]:
    """Every image, the next one each time."""
    return list(range(count))


def with_jumps(count: int, seed: int = 1) -> list[int]:
    """As many images, of which every tenth is somewhere else and every tenth is the one before."""
    rng = random.Random(seed)

    def numbers() -> Iterator[int]:
        here = 0
        for step in range(count):
            yield here
            if step % 10 == 4:
                here = rng.randrange(count)
            elif step % 10 == 9:
                here = max(0, here - 1)
            else:
                here = (here + 1) % count

    return list(numbers())


def work(running: Serving, bench: Bench, name: str, scale: float, *walks: tuple) -> None:
    """Let annotators work at the same time and state how it went.

    Args:
        running: both sides.
        bench: gets the rows.
        name: of the way to work; its first letter is that of the images.
        scale: of all times.
        walks: (token, numbers, delay in seconds, least share of warm first clicks) of each.
    """
    before = running.engine.stats()
    annotators = [Annotator(running, name[0], token, scale) for token, *_ in walks]
    threads = [
        threading.Thread(target=one.walk, args=(numbers, delay))
        for one, (_, numbers, delay, _) in zip(annotators, walks, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = running.engine.stats()
    for place, (one, (_, _, _, least)) in enumerate(zip(annotators, walks, strict=True)):
        who = name if len(walks) == 1 else f"{name}, person {place + 1}"
        held_up = np.percentile(one.later, 95) - min(one.later)
        bench.state(
            f"{who}: warm first clicks",
            100 * one.warm(),
            "%",
            at_least=least,
            clicks=len(one.first),
            second_clicks_held_up_p95_of_an_encode=round(float(held_up / (ENCODE_S * scale)), 2),
        )
    opened = len(set().union(*(one.opened for one in annotators)))
    bench.state(
        f"{name}: encodes",
        (after.store.made - before.store.made) / opened,
        "for each image opened",
        at_most=2,
        given_up=after.ahead.plans.given_up - before.ahead.plans.given_up,
        in_vain=after.store.made - before.store.made - opened,
    )


def slow_down(running: Serving, seconds: float) -> None:
    """Make every encode take at least so long, in as many parts as a large network's."""
    model = running.engine._open_model()
    encode = model._encode

    def slow(prepared: PreparedImage) -> Parts[ImageEmbedding]:
        begun = time.perf_counter()
        embedding = finish(encode(prepared))
        left = seconds - (time.perf_counter() - begun)
        for parts in range(PARTS, 0, -1):
            yield
            begun = time.perf_counter()
            # on a busy machine a sleep takes longer: the next ones are shorter
            time.sleep(max(0.0, left / parts))
            left -= time.perf_counter() - begun
        return embedding

    model._encode = slow  # type: ignore[method-assign]


def main() -> int:
    """Let them work."""

    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--images", type=int, default=40)
        parser.add_argument("--scale", type=float, default=1.0, help="of all times")
        parser.add_argument("--quick", action="store_true", help="25 images, a fifth of the time")

    given = arguments(__doc__, repeats=1, add=add)
    count, scale = (25, 0.2) if given.quick else (given.images, given.scale)
    bench = Bench(__file__, given)
    images: dict[str, Image] = {
        f"{letter}{number:03}": draw_scene(number, size=(96, 80)).image
        for letter in "oarp"
        for number in range(count + NOBODYS)
    }
    with TemporaryDirectory() as folder:
        running = serve(Path(folder), images, given.device)
        slow_down(running, ENCODE_S * scale)
        store = running.workspace.store
        store.put_member("second", SECOND, [one.id for one in store.datasets()])
        order, jumps = in_order(count), with_jumps(count)
        work(running, bench, "ordered", scale, (TOKEN, order, 0, 95))
        work(running, bench, "all over with jumps", scale, (TOKEN, jumps, 0, 80))
        reviewer = (SECOND, order, 3 * LOOK_S, 95)
        work(running, bench, "reviewed", scale, (TOKEN, order, 0, 95), reviewer)
        work(
            running, bench, "places apart", scale,
            (TOKEN, order[: count // 2], 0, None), (SECOND, order[count // 2 :], 0.7, None),
        )  # fmt: skip
        running.engine.close()  # a process that ends in the middle of an encode aborts
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())
