"""How well does nano follow objects through held-out clips, and what do keyframes gain?

Clips that nano never saw, of shapes and textures that training never used; things cover one
another, leave and come back. An object is given by its true mask on the first frame; with
keyframes, also on others, as a person would correct it. Mean IoU over the frames where it shows and
that no run is given, beside "the first mask copied".

    PYTHONPATH=tests:tools python benchmarks/tracking_keyframes.py [--clips 32] [--json]
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from network_material import nano
from tracking_material import Mask, Material

from evaluate_nano.heldout import clips, iou
from sam2_serving.engine import Engine, Keyframe, ObjectToTrack, TrackingRequest
from sam2_serving.model import Prompts

FRAMES = 30
KEYFRAMES = {"10 and 20": (10, 20), "15 and 29": (15, 29)}
_SHOWS = 30
"""Pixels of an object that must show for a frame to count."""


def follow(engine: Engine, clip: Material, truth: Mask, keyframes: tuple[int, ...]) -> Mask:
    """Return the masks T x N x H x W that are found of all objects; the given ones as given."""

    def key(frame: int, place: int) -> Keyframe:
        return Keyframe(f"{frame}", lambda: Prompts(mask=truth[frame, place]))

    objects = [
        ObjectToTrack(
            place,
            key(0, place),
            # a person can only show an object where it can be seen
            keyframes={t: key(t, place) for t in keyframes if truth[t, place].sum() >= _SHOWS},
        )
        for place in range(truth.shape[1])
    ]
    request = TrackingRequest("clip", 0, FRAMES - 1, objects, FRAMES)
    found = truth.copy()
    for frame in engine.track(request, clip):
        for place, one in frame.objects.items():
            found[frame.index, place] = one.mask & (not one.lost)
    return found


def main() -> None:
    """Print the table, or lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--difficulty", choices=("easy", "hard"), default="easy")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    given = {0, *(frame for pair in KEYFRAMES.values() for frame in pair)}
    judged = [t for t in range(FRAMES) if t not in given]
    scores: dict[str, list[float]] = {}
    covered = objects = 0
    with Engine(nano(options.device), store_bytes=2**20) as engine:
        for drawn, truth in clips(options.difficulty, options.clips, FRAMES):
            clip = Material(drawn.frames, [])
            ways = {"the first mask copied": np.repeat(truth[:1], FRAMES, axis=0)}
            ways["tracked"] = follow(engine, clip, truth, ())
            for name, keyframes in KEYFRAMES.items():
                ways[f"tracked, keyframes {name}"] = follow(engine, clip, truth, keyframes)
            objects += truth.shape[1]
            # half of it is gone at some time
            sizes = truth.sum((2, 3))
            covered += int((sizes.min(0) < sizes[0] / 2).sum())
            for place in range(truth.shape[1]):
                for t in (t for t in judged if sizes[t, place] >= _SHOWS):
                    for name, found in ways.items():
                        scores.setdefault(name, []).append(iou(found[t, place], truth[t, place]))
    row = {
        "difficulty": options.difficulty,
        "clips": options.clips,
        "objects": objects,
        "of them covered or gone by half at some time": covered,
        "mean IoU": {name: round(float(np.mean(all)), 3) for name, all in scores.items()},
    }
    print(json.dumps(row) if options.json else row)


if __name__ == "__main__":
    main()
