"""How long does the app take from the command to a model that answers?

`sam2-serving serve` with nano, until `/is_online` says yes, by turns with the peer: a process that
does nothing but `import supervisely, torch, sam2`, which the app cannot do without. Once more in a
process that notes the time after each step, for the breakdown (its imports come in another order,
so its sum is not quite the whole). The first run of each fills the disk cache and is not counted.

    python benchmarks/startup.py [--repeats 10] [--model nano] [--json] [--force]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from measuring import Bench, arguments, by_turns

MOST_TIMES_THE_PEER = 1.4
LIMIT_S = 300.0
POLL_S = 0.01
BARE = "import supervisely, torch, sam2"
STEPS = """
import gc, json, os, sys, time
begun, steps = time.perf_counter(), {}
def step(name):
    global begun
    now = time.perf_counter()
    steps[name], begun = round(now - begun, 3), now
usual = gc.get_threshold()
gc.set_threshold(100_000, 50, 1000)
import uvicorn
step("import uvicorn")
import torch
step("import torch")
import sam2
step("import sam2")
import supervisely
step("import supervisely")
from sam2_serving.app.app import SegmentAnything2
gc.freeze()
gc.set_threshold(*usual)
step("import the rest")
app = SegmentAnything2()
step("build the app")
app.serve()
app.app
step("register the routes")
while app.deployment.served is None:
    assert app.deployment.error is None, app.deployment.error
    time.sleep(0.005)
step("load and try the model, as far as it is not done by then")
print("STEPS", json.dumps(steps), flush=True)
os._exit(0)
"""


def bare() -> None:
    """Import what cannot be done without."""
    subprocess.run([sys.executable, "-c", BARE], check=True, stdout=subprocess.DEVNULL)


def environment(folder: Path, given: argparse.Namespace) -> dict[str, str]:
    """A server's environment that keeps nothing of this user's."""
    return {
        **os.environ,
        "SAM2_SERVING_DATA_DIR": str(folder),
        "SAM2_SERVING_MODEL": given.model,
        "SAM2_SERVING_DEVICE": given.device,
        "LOG_LEVEL": "WARNING",
    }


def start_and_stop(folder: Path, given: argparse.Namespace) -> None:
    """Start the app; return when it is ready and told to go. Its end is not waited for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sam2_serving.cli", "serve", "--port", str(port)]
    process = subprocess.Popen(
        command,
        env=environment(folder, given),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.perf_counter() + LIMIT_S
        while not is_online(port):
            assert process.poll() is None, "the app ended"
            assert time.perf_counter() < end, "the app did not get ready"
            time.sleep(POLL_S)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def is_online(port: int) -> bool:
    """Ask the app whether it serves a model; cheap, as it shares the machine with the app."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with suppress(OSError, http.client.HTTPException):
        connection.request("POST", "/is_online", b"{}", {"Content-Type": "application/json"})
        return bool(json.loads(connection.getresponse().read())["is_online"])
    return False


def command_line() -> float:
    """Seconds that the command line takes before it becomes the server."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "sam2_serving.cli", "serve", "--help"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - begun


def steps(folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """Seconds of each step of the server's start, in order."""
    ran = subprocess.run(
        [sys.executable, "-c", STEPS],
        env=environment(folder, given),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("STEPS "))
    found: dict[str, float] = json.loads(line.removeprefix("STEPS "))
    return found


def main() -> int:
    """Measure and print."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--model", default="nano", help="a model whose file is here")

    given = arguments(__doc__, repeats=10, add=add)
    bench = Bench(__file__, given)
    with TemporaryDirectory() as folder:
        times = by_turns(
            {"ours": lambda: start_and_stop(Path(folder), given), "peer": bare}, given.repeats
        )
        ours, peer = times["ours"], times["peer"]
        bench.state(
            f"{given.model}: command to ready, beside the bare imports",
            ours.median / peer.median,
            "times the peer's time",
            at_most=MOST_TIMES_THE_PEER,
            ours_median_s=round(ours.median, 2),
            ours_p95_s=round(ours.p95, 2),
            peer_median_s=round(peer.median, 2),
            peer_p95_s=round(peer.p95, 2),
        )
        bench.state("the command line, before it becomes the server", command_line(), "s")
        for name, seconds in steps(Path(folder), given).items():
            bench.state(name, seconds, "s")
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())
