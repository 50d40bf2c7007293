"""How fast are objects followed, beside SAM2VideoPredictor on the same frames?

Whole jobs, alternating in one process: ours decodes a video file and goes through the engine; the
peer gets its frames as a folder of JPEG files (writing that is not counted), `init_state`,
`add_new_mask`, `propagate_in_video`, masks fetched at the video's size. Ratios of pairs, medians.
Where others use the machine, the ratio of the processors' time is the steadier one.

    python benchmarks/tracking_speed.py [--frames 60] [--repeats 5] [--device cpu] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tracking_material import Material, Peer, material, ours, write_folder, write_video

from sam2_serving.commands.track_video import VideoFile
from sam2_serving.engine import Engine
from sam2_serving.model import Prompts, SegmentationModel
from sam2_serving.model.video import VideoTracker

PARTS = ("memory_attention", "_forward_sam_heads", "_encode_new_memory", "forward_image")


def seconds(job: Callable[[], object]) -> tuple[float, float]:
    """Time a whole job: by the clock, and what it took of the processors."""
    start, used = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - start, time.process_time() - used


def compare(
    model: SegmentationModel, clip: Material, objects: int, repeats: int
) -> dict[str, object]:
    """Return how many times as many frames a second ours tracks."""
    few = Material(clip.frames, clip.masks[:objects])
    peer = Peer(model)
    with TemporaryDirectory() as folder, Engine(model, store_bytes=2**20) as engine:
        frames, file = Path(folder, "frames"), Path(folder, "clip.avi")
        frames.mkdir()
        write_folder(frames, few.frames)
        write_video(file, few.frames)
        video = VideoFile.open(file)

        def mine() -> int:
            # no state of the job before may help this one: every start is drawn by a person
            return sum(1 for _ in engine.track(few.request(), video))

        def peers() -> int:
            return sum(1 for _ in peer.track(frames, few.masks))

        mine(), peers()
        pairs = [(seconds(mine), seconds(peers)) for _ in range(repeats)]
    ratios = sorted(theirs[0] / our[0] for our, theirs in pairs)
    work = statistics.median(theirs[1] / our[1] for our, theirs in pairs)
    return {
        "device": str(model.device),
        "objects": objects,
        "frames": len(few.frames),
        "threads": torch.get_num_threads(),
        "frames a second, times the peer's": round(statistics.median(ratios), 2),
        "lowest": round(ratios[0], 2),
        "highest": round(ratios[-1], 2),
        "processors' time of the peer, times ours": round(work, 2),
    }


def shares(model: SegmentationModel, clip: Material, objects: int) -> dict[str, float]:
    """Return the share of the tracker's time that each part takes."""
    spent: Counter[str] = Counter()

    def timed(owner: Any, name: str) -> None:
        call = getattr(owner, name)

        def measured(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = call(*args, **options)
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            spent[name] += time.perf_counter() - start
            return result

        setattr(owner, name, measured)

    tracker = VideoTracker(model, len(clip.frames))
    timed(tracker, "prepare")
    timed(tracker._layout, "lay_out")
    # modules keep their forward, other parts are methods of the network
    timed(model.network.memory_attention, "forward")
    for name in PARTS[1:]:
        timed(model.network, name)
    first = tracker.encode(tracker.prepare(clip.frames[0]))
    for name, mask in enumerate(clip.masks[:objects]):
        tracker.condition(name, 0, first, Prompts(mask=mask))
    spent.clear()
    start = time.perf_counter()
    for index in range(1, len(clip.frames)):
        frame = tracker.encode(tracker.prepare(clip.frames[index]))
        found = tracker.step(index, frame)
        before = time.perf_counter()
        for one in found.values():
            one.mask(frame.image_size)
        spent["masks at the video's size"] += time.perf_counter() - before
    whole = time.perf_counter() - start
    spent["other"] = whole - sum(spent.values())
    return {name: round(part / whole, 3) for name, part in spent.most_common()}


def main() -> None:
    """Print the table, or lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--profile", action="store_true", help="also where the time goes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    clip = material(options.frames, 8)
    for objects in (8, 1):
        row = compare(ours(options.device), clip, objects, options.repeats)
        if options.profile:
            row["shares of the tracker's time"] = shares(ours(options.device), clip, objects)
        print(json.dumps(row) if options.json else row)


if __name__ == "__main__":
    main()
