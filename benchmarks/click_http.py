"""What does a warm click take from request to answer, beside its decode?

The app (nano) and a local workspace run in this process; clicks come over HTTP to
`/smart_segmentation`, one at a time, on a drawn scene of 1920 x 1080 pixels whose embedding is
stored. Each click is a new one, with a box round a third of the image and without. What is stated
is the whole request less the decodes on the device's thread (parsing, permission, queue, masks in
full size, packing, transport), and the 95th percentile of the whole against twice what the median
may take. The peer is `SAM2ImagePredictor.predict` with the same prompts: it sends nothing anywhere.

    python benchmarks/click_http.py [--repeats 200] [--json] [--force]
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
from measuring import Bench, Times, arguments, seconds_apart
from network_material import nano
from serving_live import Serving, serve, time_decodes

from sam2_serving.model.upstream import upstream_predictor
from sam2_serving.scenes import draw_scene

WIDTH, HEIGHT = 1920, 1080
BESIDE_MS = 8.0
WARM_UP = 10


@dataclass
class Taken:
    """Seconds of each click: whole request, its decodes, the peer's predict."""

    whole: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)


def prompts(number: int, boxed: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same click for the Smart Tool and for the peer; another one for each number."""
    x = WIDTH // 3 + (37 * number) % (WIDTH // 3)
    y = HEIGHT // 3 + (53 * number) % (HEIGHT // 3)
    box = [WIDTH // 3, HEIGHT // 3, 2 * WIDTH // 3, 2 * HEIGHT // 3]
    context: dict[str, Any] = {"positive": [{"x": x, "y": y}], "negative": []}
    asked: dict[str, Any] = {"point_coords": np.array([[x, y]]), "point_labels": np.array([1])}
    if boxed:
        corners = (box[:2], (box[2] - 1, box[3] - 1))
        context["crop"] = [{"x": int(a), "y": int(b)} for a, b in corners]
        asked |= {"box": np.array(box), "multimask_output": False}
    return context, asked


def measure(
    client: httpx.Client, serving: Serving, predictor: Any, boxed: bool, count: int
) -> Taken:
    """Click `count` times, by turns with the peer."""
    taken, decodes = Taken(), time_decodes(serving.engine)
    image_id = serving.images["scene"]
    for number in range(WARM_UP + count):
        context, asked = prompts(number, boxed)
        body = serving.envelope(context={"image_id": image_id, **context}, state={})
        decodes.clear()
        begun = time.perf_counter()
        answer = client.post("/smart_segmentation", json=body)
        whole = time.perf_counter() - begun
        assert answer.status_code == 200, answer.text
        peer = seconds_apart(partial(predictor.predict, **asked))
        if number >= WARM_UP:
            taken.whole.append(whole)
            taken.decode.append(sum(decodes))
            taken.peer.append(peer)
    return taken


def main() -> int:
    """Measure and print."""
    given = arguments(__doc__, repeats=200)
    bench = Bench(__file__, given)
    image = draw_scene(3, size=(WIDTH, HEIGHT)).image
    predictor = upstream_predictor(nano(given.device).network)
    predictor.set_image(image)
    with TemporaryDirectory() as folder:
        serving = serve(Path(folder), {"scene": image}, given.device)
        with httpx.Client(base_url=serving.address, timeout=120) as client:
            for boxed, name in ((False, "click alone"), (True, "click in a box")):
                taken = measure(client, serving, predictor, boxed, given.repeats)
                whole = Times(tuple(taken.whole))
                beside = [w - d for w, d in zip(taken.whole, taken.decode, strict=True)]
                decode_ms = 1000.0 * statistics.median(taken.decode)
                bench.state(
                    f"{name}: median beside the decode",
                    1000.0 * statistics.median(beside),
                    "ms",
                    at_most=BESIDE_MS,
                    whole_median_ms=round(1000.0 * whole.median, 2),
                    decode_median_ms=round(decode_ms, 2),
                )
                bench.state(
                    f"{name}: p95 of all",
                    1000.0 * whole.p95 / (2.0 * (decode_ms + BESIDE_MS)),
                    "of twice what the median may take",
                    at_most=1.0,
                )
                bench.compare(f"{name}, over HTTP", whole, Times(tuple(taken.peer)))
    return bench.finish()


if __name__ == "__main__":
    # The servers' threads are daemons; nothing is left to wait for.
    os._exit(main())
