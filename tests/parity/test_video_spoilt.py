"""The comparison with upstream's tracker finds what it is there to find."""

from __future__ import annotations

import pytest
import torch
from networks import pointed_nano
from video_peer import (
    EXACT_FRAMES,
    TOGETHER,
    close,
    drawn_clip,
    iou,
    loud_tiny,
    photographed_clip,
    prompts_for,
    track,
    worst,
)

from sam2_serving.model import VideoTracker
from sam2_serving.model.memory import ObjectMemory, Recall

LAST = EXACT_FRAMES


@pytest.fixture(scope="module", params=["nano", "tiny"])
def run(request):
    """(model, clip, prompts of two objects, upstream's answer)."""
    tiny = request.param == "tiny"
    model, clip = (loud_tiny(), photographed_clip(10)) if tiny else (pointed_nano(), drawn_clip(12))
    asked = {0: {n: prompts_for("mask", clip.masks[0, n]) for n in range(2)}}
    return model, clip, asked, clip.peer(model).track(asked, 0, LAST)


def spoil_recall(monkeypatch, change) -> None:
    recall = ObjectMemory.recall
    monkeypatch.setattr(ObjectMemory, "recall", lambda *args: change(recall(*args)))


def oldest_memory_dropped(monkeypatch) -> None:
    spoil_recall(monkeypatch, lambda r: Recall([s for s in r.spatial if s[0] != 1], r.pointers))


def temporal_positions_shifted(monkeypatch) -> None:
    spoil_recall(
        monkeypatch, lambda r: Recall([(max(t - 1, 0), m) for t, m in r.spatial], r.pointers)
    )


def pointers_zeroed(monkeypatch) -> None:
    spoil_recall(
        monkeypatch, lambda r: Recall(r.spatial, [(t, torch.zeros_like(p)) for t, p in r.pointers])
    )


def memories_swapped(monkeypatch) -> None:
    attend = VideoTracker._attend
    monkeypatch.setattr(
        VideoTracker, "_attend", lambda self, frame, recalls: attend(self, frame, recalls[::-1])
    )


@pytest.mark.parametrize(
    "spoil",
    [oldest_memory_dropped, temporal_positions_shifted, pointers_zeroed, memories_swapped],
    ids=lambda spoil: spoil.__name__,
)
def test_a_spoilt_memory_is_seen(run, monkeypatch, spoil):
    model, clip, asked, theirs = run
    spoil(monkeypatch)
    mine = track(model, clip, asked, range(LAST + 1))
    assert worst(mine, theirs, range(LAST + 1)) > 2 * TOGETHER


def test_two_objects_have_different_masks(run):
    """Else nothing would be seen of memories that are mixed up."""
    _, _, _, theirs = run
    for index in range(1, LAST + 1):
        a, b = theirs[index].values()
        assert not close(a, b)
        assert iou(a, b) < 0.98
        assert float((a - b).abs().max()) > 1
