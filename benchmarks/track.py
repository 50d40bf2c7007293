"""How fast are objects followed, beside SAM2VideoPredictor on the same frames?

nano: whole jobs. Ours decodes a video file and goes through the engine; the peer gets its frames as
a folder of JPEG files (writing that is not counted), `init_state`, `add_new_mask`,
`propagate_in_video`, masks fetched at the video's size. tiny: two frames with a full memory bank,
from the frame's pixels to the masks, the bank filled beforehand with copies of one memory.

    python benchmarks/track.py [--frames 24] [--repeats 3] [--networks nano tiny] [--json]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measuring import Bench, arguments, by_turns
from network_material import add_networks, nano, tiny
from tracking_material import Material, Peer, material, write_folder, write_video

from sam2_serving.commands.track_video import VideoFile
from sam2_serving.engine import Engine
from sam2_serving.model import Prompts
from sam2_serving.model.memory import FrameMemory
from sam2_serving.model.video import VideoTracker

NANO_OBJECTS = {1: None, 4: None, 16: 3.0}
"""Objects, and the target."""
TINY_OBJECTS, TINY_AT_LEAST = 4, {"cpu": 1.4, "cuda": 2.0}
BANK = 6
"""Memories of frames without a prompt that are read at once, by all published networks."""


def whole_jobs(bench: Bench, frames: int, device: str, repeats: int) -> None:
    """Add nano's rows."""
    model = nano(device)
    clip, peer = material(frames, max(NANO_OBJECTS)), Peer(model)
    for objects, at_least in NANO_OBJECTS.items():
        few = Material(clip.frames, clip.masks[:objects])
        with TemporaryDirectory() as folder:
            images, file = Path(folder, "frames"), Path(folder, "clip.avi")
            images.mkdir()
            write_folder(images, few.frames)
            write_video(file, few.frames)
            video = VideoFile.open(file)

            def ours(few: Material = few, video: VideoFile = video) -> int:
                with Engine(model, store_bytes=2**20) as engine:
                    return sum(1 for _ in engine.track(few.request(), video))

            def theirs(images: Path = images, few: Material = few) -> int:
                return sum(1 for _ in peer.track(images, few.masks))

            times = by_turns({"ours": ours, "peer": theirs}, repeats)
        row = f"nano, {objects} objects, {frames} frames"
        bench.compare(row, times["ours"], times["peer"], at_least=at_least)


def full_bank(bench: Bench, device: str, repeats: int) -> None:
    """Add tiny's row."""
    model = tiny(device)
    frames = BANK + 3
    clip, peer = material(frames, TINY_OBJECTS), Peer(model)._predictor
    tracker = VideoTracker(model, frames)
    names = range(TINY_OBJECTS)

    def fill() -> None:
        for name in names:
            memory = tracker._objects[name]
            one = FrameMemory(memory.features[1], memory.pointers[1])
            for index in range(2, BANK + 1):
                memory.remember(index, one)

    first = tracker.encode(tracker.prepare(clip.frames[0]))
    for name in names:
        tracker.condition(name, 0, first, Prompts(mask=clip.masks[name]))
    tracker.step(1, first)
    saved = {name: tracker._objects[name].features[1] for name in names}
    pointers = {name: tracker._objects[name].pointers[1] for name in names}

    def ours() -> None:
        for name in names:
            memory = tracker._objects[name]
            memory.features.clear()
            memory.pointers.clear()
            memory.remember(1, FrameMemory(saved[name], pointers[name]))
        fill()
        for index in range(BANK + 1, BANK + 3):
            frame = tracker.encode(tracker.prepare(clip.frames[index]))
            for one in tracker.step(index, frame).values():
                one.mask(frame.image_size)

    fast = torch.autocast(model.device.type, torch.bfloat16, model.device.type == "cuda")
    with TemporaryDirectory() as folder:
        write_folder(Path(folder), clip.frames)
        with torch.inference_mode(), fast:
            state = peer.init_state(folder)
            for name in names:
                peer.add_new_mask(state, 0, name, torch.from_numpy(clip.masks[name]))
            for _ in peer.propagate_in_video(state, max_frame_num_to_track=1):
                pass
        for outputs in state["output_dict_per_obj"].values():
            known = outputs["non_cond_frame_outputs"]
            known |= dict.fromkeys(range(2, BANK + 1), known[1])

        def theirs() -> None:
            state["cached_features"].clear()
            with torch.inference_mode(), fast:
                for _, _, logits in peer.propagate_in_video(state, BANK + 1, 1):
                    np.asarray((logits[:, 0] > 0.0).cpu().numpy())

        times = by_turns({"ours": ours, "peer": theirs}, repeats, warm_up=0)
    bench.compare(
        f"tiny, {TINY_OBJECTS} objects, two frames with a full memory bank",
        times["ours"],
        times["peer"],
        at_least=TINY_AT_LEAST[model.device.type],
    )


def main() -> int:
    """Measure and print."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--frames", type=int, default=24)
        add_networks(parser)

    given = arguments(__doc__, repeats=3, add=add)
    bench = Bench(__file__, given)
    if "nano" in given.networks:
        whole_jobs(bench, given.frames, given.device, given.repeats)
    if "tiny" in given.networks:
        full_bank(bench, given.device, min(given.repeats, 2))
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())
