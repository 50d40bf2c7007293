"""Does a tracking job's memory grow with the video, beside SAM2VideoPredictor?

Memory of the process after frame A and after frame B of one job: of the app through `/track`,
through `/track_stream` with a client that fetches its results rarely, and of a process of its own
for the peer, each with a video of B + 1 frames; on a GPU (`--device cuda`) also what the process
holds there.

    python benchmarks/tracking_memory.py [--frames 200 2000] [--ways /track] [--json]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from network_material import nano
from tracking_live import Live, live
from tracking_material import (
    Mask,
    Material,
    Peer,
    material,
    resident_bytes,
    write_folder,
    write_video,
)

MOST_MB = 20.0
POP_EVERY_S = 10.0


def held_mb(pid: int) -> dict[str, float]:
    """Return what a process holds, on the host and on GPUs."""
    held = {"host": resident_bytes(pid) / 2**20}
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        rows = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return held
    used = [float(row.split(",")[1]) for row in rows if int(row.split(",")[0]) == pid]
    return held | ({"device": sum(used)} if used else {})


def growth(pid: int, frames: tuple[int, int], reached: Callable[[int], None]) -> dict[str, float]:
    """Return MiB that a process holds more at the second frame than at the first."""
    at = []
    for frame in frames:
        reached(frame)
        at.append(held_mb(pid))
    return {kind: round(at[1][kind] - at[0][kind], 1) for kind in at[0]}


def through_track(running: Live, masks: list[Mask], frames: tuple[int, int]) -> dict[str, float]:
    """Figures are uploaded."""
    track_id = running.start_track(running.draw(masks), frames[1])
    return growth(running.pid, frames, lambda n: running.wait(lambda: running.done(track_id) >= n))


def through_stream(running: Live, masks: list[Mask], frames: tuple[int, int]) -> dict[str, float]:
    """Progress is streamed; results are fetched every few seconds."""
    reached = threading.Condition()
    counted = 0
    job: list[str] = []
    over = threading.Event()

    def listen() -> None:
        nonlocal counted
        body = running.envelope(running.inline(masks, frames[1]))
        with running.app.stream("POST", "/track_stream", json=body, timeout=600) as answer:
            for line in answer.iter_lines():
                if not line:
                    continue
                payload = json.loads(line.removeprefix("data: "))["payload"]
                with reached:
                    if "inference_request_uuid" in payload:
                        job.append(payload["inference_request_uuid"])
                    counted = max(counted, payload.get("progress", {}).get("current", 0))
                    reached.notify_all()
        over.set()

    def fetch() -> None:
        while not over.wait(POP_EVERY_S):
            if job:
                running.post("pop_tracking_results", {"inference_request_uuid": job[0]})

    threads = [threading.Thread(target=work, daemon=True) for work in (listen, fetch)]
    for thread in threads:
        thread.start()

    def wait_for(frame: int) -> None:
        with reached:
            reached.wait_for(lambda: counted >= frame)

    found = growth(running.pid, frames, wait_for)
    for thread in threads:
        thread.join(60)
    return found


def of_the_peer(
    folder: Path, masks: list[Mask], frames: tuple[int, int], device: str
) -> dict[str, float]:
    """Return the peer's growth, in a process of its own; what it loads at its start is told too."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_run_peer, args=(its, folder, masks, frames, device))
    process.start()
    try:
        assert mine.recv() == 0
        pid = process.pid
        assert pid is not None
        before = held_mb(pid)
        mine.send("go on")
        loaded = mine.recv()
        assert loaded == 1
        first = held_mb(pid)
        mine.send("go on")

        at = []
        for frame in frames:
            assert mine.recv() == frame
            at.append(held_mb(pid))
            mine.send("go on")
        grown = {kind: round(at[1][kind] - at[0][kind], 1) for kind in at[0]}
        return grown | {"host, to load all frames": round(first["host"] - before["host"], 1)}
    finally:
        process.join(30)
        process.kill()


def _run_peer(pipe, folder, masks, frames, device) -> None:  # type: ignore[no-untyped-def]
    peer = Peer(nano(device))
    pipe.send(0)
    pipe.recv()
    for index, _ in peer.track(folder, masks):
        if index in (1, *frames):
            pipe.send(index)
            pipe.recv()


def measure(way: str, clip: Material, frames: tuple[int, int], device: str) -> dict[str, float]:
    """Return the growth of one way, MiB."""
    with TemporaryDirectory() as place:
        if way == PEER:
            folder = Path(place, "frames")
            folder.mkdir()
            write_folder(folder, clip.frames)
            return of_the_peer(folder, clip.masks, frames, device)
        video = Path(place, "media", "clip.avi")
        video.parent.mkdir()
        write_video(video, clip.frames)
        with live(Path(place), video, len(clip.frames), len(clip.masks), device) as running:
            return OURS[way](running, clip.masks, frames)


PEER = "SAM2VideoPredictor"
OURS = {"/track": through_track, "/track_stream": through_stream}


def main() -> None:
    """Print a row for each way, or lines of JSON; the exit code tells whether ours stayed flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs=2, default=(200, 2000), metavar=("A", "B"))
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ways", nargs="+", choices=(*OURS, PEER), default=(*OURS, PEER))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    frames = (options.frames[0], options.frames[1])
    clip = material(frames[1] + 1, options.objects)
    flat = True
    for way in options.ways:
        more = measure(way, clip, frames, options.device)
        flat = flat and (way == PEER or max(more.values()) <= MOST_MB)
        row = {"way": way, "frames": frames, "objects": options.objects, "MiB more": more}
        print(json.dumps(row) if options.json else row, flush=True)
    raise SystemExit(0 if flat else 1)


if __name__ == "__main__":
    main()
