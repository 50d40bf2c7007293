"""Corrections and keyframes count as they do in Meta's `SAM2VideoPredictor`.

It is built with `add_all_frames_to_correct_as_cond=true`.
"""

from __future__ import annotations

import pytest
import torch
from networks import nano
from video_peer import (
    EXACT_FRAMES,
    Clip,
    Found,
    check_same,
    close,
    drawn_clip,
    frames_from,
    photographed_clip,
    prompts_for,
    track,
)

from sam2_serving.model import Prompts, VideoTracker


def corrected_mask(clip: Clip, index: int) -> Prompts:
    """Another object's mask: a correction that cannot be overlooked."""
    return prompts_for("mask", clip.masks[index, 1])


def check_correction(clip: Clip, place: int, reverse: bool) -> None:
    """Correct the frame `place` frames after the start, and go on from there."""
    model, last = nano(), len(clip) - 1
    every = frames_from(last if reverse else 0, last, reverse)
    start, wrong = every[0], every[place]
    asked = {start: {0: prompts_for("mask", clip.masks[start, 0])}}
    correction = corrected_mask(clip, wrong)

    peer = clip.peer(model)
    state = peer.start()
    peer.condition(state, start, 0, asked[start][0])
    before = peer.go_on(state, start, last, reverse)
    peer.condition(state, wrong, 0, correction)
    after = peer.go_on(state, wrong, last - place, reverse)

    tracker = VideoTracker(model, num_frames=len(clip), reverse=reverse)
    mine = track(model, clip, asked, every[: place + 1], tracker)
    held = tracker.take(0)
    tracker.adopt(0, held)
    bytes_before = held.nbytes
    mine |= track(model, clip, {wrong: {0: correction}}, every[place:], tracker)

    check_same(mine, {i: after[i] if i in after else before[i] for i in every})
    # a run without the correction: the same until it, another one from it on
    without = track(model, clip, asked, every, reverse=reverse)
    for index in every[:place]:
        assert torch.equal(without[index][0], mine[index][0])
    for index in every[place : place + EXACT_FRAMES]:
        assert not close(without[index][0], mine[index][0])
    prompted = held.conditioning[wrong]
    if place > 2 * EXACT_FRAMES:
        # what was remembered is full by then: nothing but the correction is added
        added = prompted.features.nbytes + prompted.pointer.nbytes
        assert held.nbytes == bytes_before + added


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_a_correction_changes_what_follows_and_nothing_before(reverse):
    check_correction(drawn_clip(12), 5, reverse)


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("place", [5, 40, 200])
def test_a_correction_in_300_frames(place, reverse):
    check_correction(photographed_clip(300), place, reverse)


def prompted_as_they_are_read(
    clip: Clip, keys: dict[int, Prompts], indices: range, tracker: VideoTracker
) -> Found:
    """Condition on keyframes only when they are reached or read."""
    encoded = clip.encoded(nano())
    given: dict[int, torch.Tensor] = {}
    found: Found = {}
    for index in indices:
        needed = {index} if index in keys else tracker.reads(0, index, keys)
        for key in sorted(needed - given.keys()):
            given[key] = tracker.condition(0, key, encoded[key], keys[key]).logits
        one = given[index] if index in keys else tracker.step(index, encoded[index])[0].logits
        found[index] = {0: one}
    assert given.keys() < keys.keys(), "all were read: nothing was shown"
    return found


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("limit", [2, 4])
def test_keyframes_ahead_and_behind(limit, reverse):
    """Read when they are needed, or all given up front: the same, and as upstream has it."""
    model, clip = nano(), drawn_clip(24)
    last = len(clip) - 1
    # behind the start in and out of reach, close together, and ahead
    marked = [0, 1, 5, 6, 7, 8, 13, 18, 19, 23]
    start = 8
    if reverse:
        marked, start = [last - key for key in reversed(marked)], last - start
    keys = {key: prompts_for("mask", clip.masks[key, 0]) for key in marked}
    indices = frames_from(start, 10, reverse)

    theirs = clip.peer(model).track(
        {key: {0: prompts} for key, prompts in keys.items()},
        start,
        10,
        reverse,
        max_cond_frames=limit,
    )
    tracker, lazy = (
        VideoTracker(model, len(clip), reverse, max_cond_frames=limit) for _ in range(2)
    )
    encoded = clip.encoded(model)
    given = {key: tracker.condition(0, key, encoded[key], keys[key]).logits for key in keys}
    up_front = {
        index: {0: given[index] if index in keys else tracker.step(index, encoded[index])[0].logits}
        for index in indices
    }
    as_read = prompted_as_they_are_read(clip, keys, indices, lazy)
    check_same(up_front, theirs)
    assert all(torch.equal(as_read[index][0], up_front[index][0]) for index in indices)
