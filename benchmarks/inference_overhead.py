"""What does `/inference_image_id` take beside the decode, when image and embedding are stored?

The app (nano, CPU) and a local workspace run in this process; requests come over HTTP, one at a
time, with mode `bbox`. Each answer's time, less the time of its own decode on the device's thread,
is what parsing, permission, queue, shaping and transport take together. Exits with 1 if the median
of the drawn scenes is above the limit.

    python benchmarks/inference_overhead.py [--requests 100] [--limit-ms 15] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from serving_live import serve, time_decodes

from sam2_serving.scenes import draw_scene

SIZES = {"scene 640 x 480": (640, 480), "scene 1920 x 1080": (1920, 1080)}
LARGE = {"scene 6000 x 4000": (6000, 4000)}
WARM_UP = 5


def measure(
    client: httpx.Client, body: dict[str, Any], decodes: list[float], count: int
) -> dict[str, float]:
    """Ask `count` times; milliseconds."""
    beside, whole, decode = [], [], []
    for number in range(WARM_UP + count):
        decodes.clear()
        begun = time.perf_counter()
        answer = client.post("/inference_image_id", json=body)
        seconds = time.perf_counter() - begun
        assert answer.status_code == 200, answer.text
        assert len(decodes) == 1
        assert answer.json()["annotation"]["objects"]
        if number >= WARM_UP:
            whole.append(1000 * seconds)
            decode.append(1000 * decodes[0])
            beside.append(whole[-1] - decode[-1])
    beside.sort()
    return {
        "whole_ms": statistics.median(whole),
        "decode_ms": statistics.median(decode),
        "beside_ms": statistics.median(beside),
        "beside_p95_ms": beside[int(0.95 * (len(beside) - 1))],
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--limit-ms", type=float, default=15.0)
    parser.add_argument("--json", action="store_true", help="print one line of JSON as well")
    given = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with TemporaryDirectory() as folder:
        scenes = {name: draw_scene(3, size=size).image for name, size in (SIZES | LARGE).items()}
        serving = serve(Path(folder), scenes)
        decodes = time_decodes(serving.engine)
        with httpx.Client(base_url=serving.address, timeout=120) as client:
            for name, (width, height) in (SIZES | LARGE).items():
                box = [height // 4, width // 4, 3 * height // 4, 3 * width // 4]
                settings = {"mode": "bbox", "bbox_coordinates": box, "bbox_class_name": "thing"}
                state = {"image_id": serving.images[name], "settings": settings}
                body = serving.envelope(state=state)
                figures[name] = measure(client, body, decodes, given.requests)
                shown = ", ".join(f"{key} {value:.1f}" for key, value in figures[name].items())
                print(f"{name}: {shown}")
    if given.json:
        print(json.dumps({"load": os.getloadavg(), "limit_ms": given.limit_ms, **figures}))
    slow = [name for name in SIZES if figures[name]["beside_ms"] > given.limit_ms]
    print(f"limit {given.limit_ms:g} ms: " + (f"above it: {', '.join(slow)}" if slow else "kept"))
    sys.stdout.flush()
    return 1 if slow else 0


if __name__ == "__main__":
    # The servers' threads are daemons; nothing is left to wait for.
    os._exit(main())
