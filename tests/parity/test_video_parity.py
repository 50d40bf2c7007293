"""Our tracker gives what Meta's `SAM2VideoPredictor` gives for the same pixels and prompts."""

from __future__ import annotations

import pytest
from networks import nano, pointed_nano
from video_peer import (
    TOGETHER,
    Clip,
    Found,
    check_same,
    drawn_clip,
    frames_from,
    loud_tiny,
    photographed_clip,
    prompts_for,
    track,
)

FRAMES = 12


def only(found: Found, name: int) -> Found:
    return {index: {name: on_frame[name]} for index, on_frame in found.items()}


def check_kind(model, clip: Clip, kind: str, count: int, reverse: bool, alone: int = 1) -> None:
    """Compare objects that are tracked together, and some of them alone."""
    last = len(clip) - 1
    start = last if reverse else 0
    every = frames_from(start, last, reverse)
    asked = {n: prompts_for(kind, clip.masks[start, n]) for n in range(count)}
    theirs = clip.peer(model).track({start: asked}, start, last, reverse)
    if count > 1:
        check_same(track(model, clip, {start: asked}, every, reverse=reverse), theirs, TOGETHER)
    for name in range(min(count, alone)):
        one = {start: {name: asked[name]}}
        check_same(track(model, clip, one, every, reverse=reverse), only(theirs, name))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(
    ("kind", "count"), [("mask", 3), ("box", 1), ("point", 1), ("box and point", 1)]
)
def test_nano_on_a_drawn_clip(kind, count, reverse):
    check_kind(nano(), drawn_clip(FRAMES), kind, count, reverse)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "reverse"), [("mask", False), ("box", True)], ids=str)
def test_nano_on_a_photographed_clip(kind, reverse):
    check_kind(nano(), photographed_clip(FRAMES), kind, 2, reverse)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_a_nano_whose_pointers_matter(reverse):
    check_kind(pointed_nano(), drawn_clip(FRAMES), "mask", 2, reverse)


def test_eight_objects():
    check_kind(nano(), drawn_clip(FRAMES, objects=8), "mask", 8, reverse=False)


@pytest.mark.parametrize(
    ("kind", "reverse"),
    [("mask", False), pytest.param("box", True, marks=pytest.mark.long)],
    ids=str,
)
@pytest.mark.long  # seconds a frame
def test_a_tiny_whose_memory_matters(kind, reverse):
    check_kind(loud_tiny(), photographed_clip(10), kind, 2, reverse, alone=0)


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("kind", ["mask", "box", "point", "box and point"])
def test_nano_on_longer_clips(kind, count, reverse):
    check_kind(nano(), drawn_clip(24, objects=count), kind, count, reverse, alone=3)
    if count <= 3:
        check_kind(nano(), photographed_clip(24), kind, count, reverse, alone=3)


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("kind", ["mask", "box", "point"])
def test_a_tiny_on_longer_clips(kind, reverse):
    check_kind(loud_tiny(), photographed_clip(24), kind, 3, reverse)
    check_kind(loud_tiny(), drawn_clip(24), kind, 3, reverse)


@pytest.mark.parametrize(
    "reverse",
    [False, pytest.param(True, marks=pytest.mark.long)],
    ids=["forward", "backward"],
)
def test_an_object_that_joins_later_is_tracked_as_if_it_had_been_alone(reverse):
    model, clip = nano(), drawn_clip(FRAMES)
    every = frames_from(FRAMES - 1 if reverse else 0, FRAMES - 1, reverse)
    first, joins = every[0], every[6]
    asked = {
        first: {0: prompts_for("mask", clip.masks[first, 0])},
        joins: {1: prompts_for("box", clip.masks[joins, 1])},
    }
    mine = track(model, clip, asked, every, reverse=reverse)
    for name, start in ((0, first), (1, joins)):
        after = every[every.index(start) :]
        theirs = clip.peer(model).track({start: asked[start]}, start, len(after) - 1, reverse)
        check_same(only({index: mine[index] for index in after}, name), theirs, TOGETHER)
