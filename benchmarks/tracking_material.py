"""What the benches of tracking share: drawn clips, the peer's tracker, memory of a process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from sam2 import sam2_video_predictor
from sam2.utils import misc
from tqdm import tqdm

from sam2_serving.engine import Keyframe, ObjectToTrack, TrackingRequest
from sam2_serving.model import Prompts, SegmentationModel, build_network
from sam2_serving.model.video import VideoTracker
from sam2_serving.scenes import draw_clip

SIZE = (256, 192)
_LEAST_PIXELS = 60

Frames = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Material:
    """A clip and where its objects are on the first frame.

    Attributes:
        frames: uint8 T x H x W x 3, RGB.
        masks: one for each object; if the clip has fewer objects than are wanted, some come twice.
    """

    frames: Frames
    masks: list[Mask]

    def frame(self, index: int) -> Frames:
        """Return one frame; with `run`, what the engine asks of frames."""
        return self.frames[index]

    def run(self, indices: Sequence[int]) -> Iterator[Frames]:
        """Yield frames in this order."""
        return (self.frames[index] for index in indices)

    def request(self) -> TrackingRequest:
        """Ask for all objects, from the first frame to the last."""
        objects = [
            ObjectToTrack(name, Keyframe("drawn", lambda m=mask: Prompts(mask=m)))  # type: ignore[misc]
            for name, mask in enumerate(self.masks)
        ]
        last = len(self.frames) - 1
        return TrackingRequest("bench", 0, last, objects, len(self.frames))


def material(frames: int, objects: int) -> Material:
    """Draw the clip with the most objects of the first 40.

    A clip of more than 60 frames is the same 60 frames, there and back, again and again.
    """
    short = min(frames, 60)
    best = max(range(40), key=lambda seed: len(_shown(draw_clip(seed, 1, SIZE).masks[0])))
    clip = draw_clip(best, short, SIZE)
    shown = _shown(clip.masks[0])
    order = [min(i % (2 * short), 2 * short - 1 - i % (2 * short)) for i in range(frames)]
    return Material(clip.frames[order], [shown[k % len(shown)] for k in range(objects)])


def _shown(masks: Mask) -> list[Mask]:
    return [mask for mask in masks if np.count_nonzero(mask) >= _LEAST_PIXELS]


def write_video(file: Path, frames: Frames) -> None:
    """Write frames without loss, 25 a second."""
    size = (frames.shape[2], frames.shape[1])
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"FFV1"), 25.0, size)
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def write_folder(folder: Path, frames: Iterable[Frames]) -> None:
    """Write frames as the peer wants them: numbered JPEG files in a folder."""
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def one_object_ms(model: SegmentationModel) -> float:
    """Return the shortest time of one object on one frame: a busy machine must raise no limit."""
    frames = 20
    clip, tracker = material(frames, 1), VideoTracker(model, frames)
    first = tracker.encode(tracker.prepare(clip.frames[0]))
    tracker.condition(0, 0, first, Prompts(mask=clip.masks[0]))
    times = []
    for index in range(1, frames):
        begun = time.perf_counter()
        tracker.step(index, tracker.encode(tracker.prepare(clip.frames[index])))
        times.append((time.perf_counter() - begun) * 1000)
    return min(times)


class Peer:
    """`SAM2VideoPredictor` with nano's weights, used as its notebook does.

    Hole filling is off: it needs an extension that is not built, and would only cost it time.
    """

    def __init__(self, model: SegmentationModel) -> None:
        self._device = model.device
        for module in (sam2_video_predictor, misc):
            module.tqdm = partial(tqdm, disable=True)
        self._predictor: Any = build_network(
            model.config_name,
            _target_="sam2.sam2_video_predictor.SAM2VideoPredictor",
            fill_hole_area=0,
            image_size=model.input_size,
        )
        self._predictor.load_state_dict(model.network.state_dict())
        self._predictor.to(model.device).eval()

    def track(self, folder: Path, masks: Sequence[Mask]) -> Iterator[tuple[int, Mask]]:
        """Load all frames, prompt, and yield (frame, masks N x H x W) from the first frame on."""
        fast = torch.autocast(self._device.type, torch.bfloat16, self._device.type == "cuda")
        with torch.inference_mode(), fast:
            state = self._predictor.init_state(str(folder))
            for name, mask in enumerate(masks):
                self._predictor.add_new_mask(state, 0, name, torch.from_numpy(mask))
            for index, _, logits in self._predictor.propagate_in_video(state):
                yield index, (logits[:, 0] > 0.0).cpu().numpy()


def resident_bytes(pid: int | None = None) -> int:
    """Bytes of memory that a process (default: this one) holds."""
    pages = Path(f"/proc/{pid or os.getpid()}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
