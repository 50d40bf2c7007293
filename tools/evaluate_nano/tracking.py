"""Objects followed through clips, each from its true mask on the first frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from evaluate_nano.heldout import Followed, Image, Mask, clips, iou, return_clips, size_of
from sam2_serving.model import Prompts, SegmentationModel, VideoTracker

SHOWS = 30
"""Pixels of an object that must show for its mask on a frame to count."""
_BACK_FRAMES = 3
_ENOUGH = 0.5


@dataclass
class Track:
    """What was measured on one object.

    Attributes:
        size: on the first frame.
        ious: on each frame after the first where at least 30 pixels show.
        absent: for each frame on which nothing shows, whether no mask was given.
        lost: for each frame of `ious`, whether no mask was given.
        returns: for each time that the object came back, whether it was found again; see `returns`.
    """

    size: str
    ious: list[float] = field(default_factory=list)
    absent: list[bool] = field(default_factory=list)
    lost: list[bool] = field(default_factory=list)
    returns: list[bool] = field(default_factory=list)


@dataclass
class Tracks:
    """What was measured on clips of one difficulty.

    Attributes:
        clips: number of clips.
        plain: objects of the clips that were drawn as they came.
        back: objects of further clips, chosen because they leave and come back in them.
        copied: `plain` with the first mask copied to every frame.
        copied_back: `back`, likewise.
    """

    clips: int = 0
    plain: list[Track] = field(default_factory=list)
    back: list[Track] = field(default_factory=list)
    copied: list[Track] = field(default_factory=list)
    copied_back: list[Track] = field(default_factory=list)


def measure(
    model: SegmentationModel, difficulty: str, count: int, more: int, frames: int
) -> Tracks:
    """Follow objects.

    Args:
        model: the network.
        difficulty: of the clips.
        count: clips as they come, of which up to three objects are followed.
        more: clips in which an object leaves and comes back, of which only such are followed.
        frames: of each clip.
    """
    tracks = Tracks()
    for clip in clips(difficulty, count, frames):
        tracks.clips += 1
        _both(model, clip, tracks.plain, tracks.copied)
    for clip in return_clips(difficulty, more, frames):
        _both(model, clip, tracks.back, tracks.copied_back)
    return tracks


def _both(model: SegmentationModel, clip: Followed, ours: list[Track], copied: list[Track]) -> None:
    found = follow(model, clip.frames, clip.masks[0])
    for number in range(clip.masks.shape[1]):
        mask = clip.masks[:, number]
        ours.append(score(found[:, number], mask))
        copied.append(score(np.broadcast_to(mask[0], mask.shape), mask))


def follow(model: SegmentationModel, frames: Image, first: Mask) -> Mask:
    """Masks T x N x H x W of objects whose masks N x H x W on the first frame are given."""
    tracker = VideoTracker(model, num_frames=len(frames))
    found = np.zeros((len(frames), *first.shape), bool)
    found[0] = first
    height, width = first.shape[1:]
    for index, pixels in enumerate(frames):
        frame = tracker.encode(tracker.prepare(pixels))
        if index == 0:
            for number, mask in enumerate(first):
                tracker.condition(number, 0, frame, Prompts(mask=mask))
        else:
            answers = tracker.step(index, frame)
            for number in range(len(first)):
                found[index, number] = answers[number].mask((height, width))
    return found


def score(found: Mask, mask: Mask) -> Track:
    """Compare what was found of one object with the truth, both T x H x W."""
    sizes = mask.sum(axis=(1, 2))
    track = Track(size_of(mask[0]))
    for t in range(1, len(mask)):
        if sizes[t] >= SHOWS:
            track.ious.append(iou(found[t], mask[t]))
            track.lost.append(not found[t].any())
        elif sizes[t] == 0:
            track.absent.append(not found[t].any())
    for frames in returns(sizes):
        good = [iou(found[t], mask[t]) >= _ENOUGH for t in frames]
        track.returns.append(float(np.mean(good)) >= 0.5)
    return track


def returns(sizes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[list[int]]:
    """Frames that tell whether an object that came back was found again, for each return.

    A return is a stretch in which the object shows on every frame, after one on which nothing of
    it showed, with at least 3 frames of at least 30 pixels. From the third of these on, the mask
    should be right: it was found again if IoU is at least 0.5 on half of them.
    """
    found, stretch, gone = [], [], False
    for t, size in enumerate([*sizes.tolist(), 0]):
        if size > 0:
            stretch.append(t)
            continue
        clear = [s for s in stretch if sizes[s] >= SHOWS]
        if gone and len(clear) >= _BACK_FRAMES:
            found.append(clear[_BACK_FRAMES - 1 :])
        stretch, gone = [], True
    return found
