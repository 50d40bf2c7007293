"""How long until the first predicted figure is on the platform, beside the peer's first frame?

Ours: a `/track` request over HTTP for the whole clip, by the clock of the workspace, until it has
stored a figure on the frame after the first. The peer, used the usual way, has the same video file:
it writes the frames to a folder, loads all of them, and propagates to its first predicted frame.
Both have their model loaded and have tracked before. Alternating; the median of the ratios.

    python benchmarks/tracking_first_figure.py [--frames 300] [--objects 1] [--repeats 3] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from network_material import nano
from tracking_live import Live, live
from tracking_material import Mask, Peer, material, write_folder, write_video

from sam2_serving.commands.track_video import VideoFile


def first_figure_s(running: Live, masks: list[Mask]) -> float:
    """Time a `/track` from the request to the first predicted figure in the workspace."""
    figures = running.draw(masks)
    start = time.perf_counter()
    track_id = running.start_track(figures, running.frames - 1)
    running.wait(lambda: running.done(track_id) > 0, 0.005)
    seconds = time.perf_counter() - start
    running.workspace.tracks.ask_to_stop(track_id)
    running.app.post("/stop_tracking", json=running.envelope({"trackId": track_id}))
    _until_idle(running)
    return seconds


def _until_idle(running: Live) -> None:
    """Wait until nothing is stored any more: the job has ended."""
    before, now = -1, running.workspace.counts.read().get("figures.bulk.add", 0)
    while before != now:
        time.sleep(1.0)
        before, now = now, running.workspace.counts.read().get("figures.bulk.add", 0)


def peers_first_frame_s(peer: Peer, video: Path, masks: list[Mask]) -> float:
    """Time the peer from the video file to its first predicted frame."""
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        file = VideoFile.open(video)
        frames = file.run(range(file.facts.frames))
        write_folder(Path(folder), frames)
        tracked = peer.track(Path(folder), masks)
        next(tracked)
        next(tracked)
    return time.perf_counter() - start


def main() -> None:
    """Print the table, or a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    clip = material(options.frames, options.objects)
    peer = Peer(nano(options.device))
    with TemporaryDirectory() as place:
        video = Path(place, "media", "clip.avi")
        video.parent.mkdir()
        write_video(video, clip.frames)
        count = (options.repeats + 1) * options.objects
        with live(Path(place), video, options.frames, count, options.device) as running:
            ratios = []
            everything = list(running.objects)
            for turn in range(options.repeats + 1):
                # other objects every time: nothing of the job before is held or replaced
                running.objects = everything[turn * options.objects :][: options.objects]
                mine = first_figure_s(running, clip.masks)
                ratios.append(mine / peers_first_frame_s(peer, video, clip.masks))
    warm = sorted(ratios[1:])
    row = {
        "device": options.device,
        "frames": options.frames,
        "objects": options.objects,
        "time to the first figure, share of the peer's": round(statistics.median(warm), 3),
        "lowest": round(warm[0], 3),
        "highest": round(warm[-1], 3),
    }
    print(json.dumps(row) if options.json else row)


if __name__ == "__main__":
    main()
