"""Objects followed through clips, with sam2's own video predictor."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from evaluate_nano.heldout import Mask, clips, iou

_SHOWS = 30  # pixels of an object that must show for a frame to count


@dataclass
class Tracks:
    """What was measured on the clips of one difficulty.

    Attributes:
        objects: number of objects followed.
        tracked: IoU on each frame after the first where an object shows.
        copied: IoU of the first mask on the same frames.
        absent: for each frame without the object, whether no mask was given.
        found_again: for each object that comes back, whether it has IoU >= 0.5 at the end.
    """

    objects: int = 0
    tracked: list[float] = field(default_factory=list)
    copied: list[float] = field(default_factory=list)
    absent: list[bool] = field(default_factory=list)
    found_again: list[bool] = field(default_factory=list)


def measure(predictor: Any, difficulty: str, count: int, frames: int) -> Tracks:
    """Follow up to three objects of each clip from their true first masks."""
    tracks = Tracks()
    for clip, masks in clips(difficulty, count, frames):
        found = _follow(predictor, clip.frames, masks)
        for k in range(masks.shape[1]):
            _score(tracks, found[:, k], masks[:, k])
    return tracks


@torch.inference_mode()
def _follow(predictor: Any, frames: Any, masks: Mask) -> Mask:
    """Masks T x N x H x W that the predictor gives."""
    with tempfile.TemporaryDirectory() as folder:
        for number, frame in enumerate(frames):
            # The predictor lists *.jpg and opens them by content: PNG bytes keep the pixels.
            _, data = cv2.imencode(".png", frame[..., ::-1])
            (Path(folder) / f"{number:05d}.jpg").write_bytes(data.tobytes())
        state = predictor.init_state(folder)
    for k in range(masks.shape[1]):
        predictor.add_new_mask(state, 0, k, torch.from_numpy(masks[0, k]))
    found = np.zeros_like(masks)
    for number, _, logits in predictor.propagate_in_video(state):
        found[number] = logits[:, 0].numpy() > 0.0
    return found


def _score(tracks: Tracks, found: Mask, mask: Mask) -> None:
    tracks.objects += 1
    sizes = mask.sum(axis=(1, 2))
    for t in range(1, len(mask)):
        if sizes[t] >= _SHOWS:
            tracks.tracked.append(iou(found[t], mask[t]))
            tracks.copied.append(iou(mask[0], mask[t]))
        elif sizes[t] == 0:
            tracks.absent.append(not found[t].any())
    gone = np.flatnonzero(sizes == 0)
    if len(gone) and sizes[-1] >= _SHOWS and gone[-1] < len(mask) - 2:
        tracks.found_again.append(iou(found[-1], mask[-1]) >= 0.5)
