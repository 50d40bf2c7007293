"""Our tracker gives what Meta's `SAM2VideoPredictor` gives for the same pixels and prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_serving.masks import tight_box
from sam2_serving.model import Box, Point, Prompts, build_network, load_model
from sam2_serving.model.memory import ObjectMemory
from sam2_serving.model.video import VideoTracker
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_clip

TOLERANCE = 1e-3
EXACT_FRAMES = 8
FRAMES = 24


@pytest.fixture(scope="module")
def model():
    return load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")


@pytest.fixture(scope="module")
def clip():
    """A clip with at least three objects that can be seen on its first and last frames."""
    for seed in range(50):
        clip = draw_clip(seed, frames=FRAMES, size=(256, 192))
        seen = [m for m in range(clip.masks.shape[1]) if clip.masks[[0, -1], m].any((1, 2)).all()]
        if len(seen) >= 3:
            return np.asarray(clip.frames), np.asarray(clip.masks)[:, seen[:3]]
    raise AssertionError("no clip with three lasting objects")


@pytest.fixture(scope="module")
def folder(clip, tmp_path_factory) -> Path:
    """The frames as upstream's loader wants them, without loss: PNG bytes in files named .jpg."""
    folder = tmp_path_factory.mktemp("frames")
    for index, frame in enumerate(clip[0]):
        Image.fromarray(frame).save(folder / f"{index:05d}.jpg", format="PNG")
    return folder


class Peer:
    """Upstream's video predictor over the same weights, hole filling off."""

    def __init__(self, model, folder: Path, **switches) -> None:
        self.predictor = build_network(
            model.config_name,
            _target_="sam2.sam2_video_predictor.SAM2VideoPredictor",
            fill_hole_area=0,
            **switches,
        )
        self.predictor.load_state_dict(model.network.state_dict())
        self.state = self.predictor.init_state(str(folder))

    def condition(self, name: int, index: int, prompts: Prompts) -> None:
        if prompts.mask is not None:
            self.predictor.add_new_mask(self.state, index, name, torch.from_numpy(prompts.mask))
            return
        self.predictor.add_new_points_or_box(
            self.state,
            index,
            name,
            points=np.array([p[:2] for p in prompts.points]) if prompts.points else None,
            labels=np.array([int(p.positive) for p in prompts.points]) if prompts.points else None,
            box=None if prompts.box is None else np.array(prompts.box),
        )

    def run(self, start: int, count: int, reverse: bool) -> dict[int, dict[int, torch.Tensor]]:
        """Return {frame: {object: low-resolution logits}}."""
        steps = self.predictor.propagate_in_video(self.state, start, count, reverse)
        found = {}
        for index, names, _ in steps:
            outputs = self.state["output_dict_per_obj"]
            found[index] = {}
            for name in names:
                out = outputs[self.state["obj_id_to_idx"][name]]
                kept = out["cond_frame_outputs"].get(index) or out["non_cond_frame_outputs"][index]
                found[index][name] = kept["pred_masks"][0]
        return found


def ours(model, frames, asked, start: int, count: int, reverse: bool, **options):
    """Track with our tracker; `asked` is {frame: {object: prompts}}."""
    tracker = VideoTracker(model, num_frames=len(frames), reverse=reverse, **options)
    step = -1 if reverse else 1
    found: dict[int, dict[int, torch.Tensor]] = {}
    for index in range(start, start + step * (count + 1), step):
        frame = tracker.encode(frames[index])
        found[index] = {
            name: tracker.condition(name, index, frame, prompts).logits
            for name, prompts in asked.get(index, {}).items()
        }
        found[index] |= {name: t.logits for name, t in tracker.step(index, frame).items()}
    return found


def prompts_for(kind: str, mask: np.ndarray) -> Prompts:
    box = tight_box(mask)
    assert box is not None
    ys, xs = np.nonzero(mask)
    middle = len(xs) // 2
    point = Point(int(xs[middle]), int(ys[middle]))
    return {
        "mask": Prompts(mask=mask),
        "box": Prompts(box=Box(*box)),
        "point": Prompts(points=(point,)),
        "box and point": Prompts(points=(point,), box=Box(*box)),
    }[kind]


def worst(ours, theirs, frames) -> float:
    return max(
        float((ours[index][name] - theirs[index][name]).abs().max())
        for index in frames
        for name in theirs[index]
    )


def close(mine: torch.Tensor, peer: torch.Tensor) -> bool:
    """Masks differ by at most 2 pixels or 0.1 % of their union."""
    a, b = mine > 0, peer > 0
    return int((a ^ b).sum()) <= max(2, 0.001 * int((a | b).sum()))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", ["mask", "box", "point", "box and point"])
def test_same_logits_as_upstream(model, clip, folder, kind, count, reverse):
    frames, masks = clip
    start = len(frames) - 1 if reverse else 0
    asked = {n: prompts_for(kind, masks[start, n]) for n in range(count)}
    peer = Peer(model, folder)
    for name, prompts in asked.items():
        peer.condition(name, start, prompts)
    theirs = peer.run(start, FRAMES - 1, reverse)
    mine = ours(model, frames, {start: asked}, start, FRAMES - 1, reverse)
    order = list(theirs)
    assert list(mine) == order
    assert worst(mine, theirs, order[: EXACT_FRAMES + 1]) <= TOLERANCE
    for index in order[EXACT_FRAMES + 1 :]:
        assert all(close(mine[index][name], theirs[index][name]) for name in asked)


@pytest.fixture(scope="module")
def one_run(model, clip, folder):
    """Upstream's answer for three masks, forward, to hold spoilt trackers against."""
    frames, masks = clip
    asked = {n: prompts_for("mask", masks[0, n]) for n in range(3)}
    peer = Peer(model, folder)
    for name, prompts in asked.items():
        peer.condition(name, 0, prompts)
    return frames, asked, peer.run(0, FRAMES - 1, False)


def spoil_oldest_memory(monkeypatch):
    recall = ObjectMemory.recall

    def spoilt(self, *args):
        whole = recall(self, *args)
        oldest_first = [s for s in whole.spatial if s[0] != 1]
        return type(whole)(oldest_first, whole.pointers)

    monkeypatch.setattr(ObjectMemory, "recall", spoilt)


def spoil_times(monkeypatch):
    recall = ObjectMemory.recall

    def spoilt(self, *args):
        whole = recall(self, *args)
        shifted = [(max(t - 1, 0), m) for t, m in whole.spatial]
        return type(whole)(shifted, whole.pointers)

    monkeypatch.setattr(ObjectMemory, "recall", spoilt)


def spoil_pointers(monkeypatch):
    remember = ObjectMemory.remember

    def spoilt(self, index, memory):
        remember(self, index, type(memory)(memory.features, torch.zeros_like(memory.pointer)))

    monkeypatch.setattr(ObjectMemory, "remember", spoilt)


def spoil_identities(monkeypatch):
    track = VideoTracker._track

    def spoilt(self, index, frame, group):
        swapped = [(group[n - 1][0], recall) for n, (_, recall) in enumerate(group)]
        return track(self, index, frame, swapped)

    monkeypatch.setattr(VideoTracker, "_track", spoilt)


@pytest.mark.parametrize(
    "spoil", [spoil_oldest_memory, spoil_times, spoil_pointers, spoil_identities]
)
def test_the_comparison_sees_a_spoilt_memory(model, one_run, monkeypatch, spoil):
    frames, asked, theirs = one_run
    spoil(monkeypatch)
    mine = ours(model, frames, {0: asked}, 0, FRAMES - 1, False)
    assert worst(mine, theirs, list(theirs)[: EXACT_FRAMES + 1]) > TOLERANCE


def test_an_object_that_joins_later_is_tracked_as_if_it_had_been_alone(model, clip, folder):
    frames, masks = clip
    first, joins = prompts_for("mask", masks[0, 0]), prompts_for("mask", masks[6, 1])
    mine = ours(model, frames, {0: {0: first}, 6: {1: joins}}, 0, FRAMES - 1, False)
    for name, start, prompts in ((0, 0, first), (1, 6, joins)):
        peer = Peer(model, folder)
        peer.condition(name, start, prompts)
        theirs = peer.run(start, FRAMES - 1 - start, False)
        order = list(theirs)
        assert worst(mine, theirs, order[: EXACT_FRAMES + 1]) <= TOLERANCE
        assert all(close(mine[i][name], theirs[i][name]) for i in order)


def test_keyframes_ahead_and_behind_count_as_upstream_counts_them(model, clip, folder):
    frames, masks = clip
    keys = (0, 9, 17)
    peer = Peer(model, folder, max_cond_frames_in_attn=2)
    for key in keys:
        peer.condition(0, key, prompts_for("mask", masks[key, 0]))
    theirs = peer.run(0, FRAMES - 1, False)
    monkey = model.network.max_cond_frames_in_attn
    model.network.max_cond_frames_in_attn = 2
    try:
        tracker = VideoTracker(model, num_frames=len(frames))
        for key in keys:
            frame = tracker.encode(frames[key])
            tracker.condition(0, key, frame, prompts_for("mask", masks[key, 0]))
        for index in range(1, EXACT_FRAMES + 1):
            found = tracker.step(index, tracker.encode(frames[index]))[0]
            assert float((found.logits - theirs[index][0]).abs().max()) <= TOLERANCE
    finally:
        model.network.max_cond_frames_in_attn = monkey


def test_memory_does_not_grow(model, clip):
    frames, masks = clip
    tracker = VideoTracker(model)
    frame = tracker.encode(frames[0])
    tracker.condition("a", 0, frame, prompts_for("mask", masks[0, 0]))
    for index in range(1, 60):
        tracker.step(index, frame)
    memory = tracker._objects["a"]
    network = model.network
    assert len(memory.recent) == max(network.num_maskmem, network.max_obj_ptrs_in_encoder) - 1
    assert len(memory.conditioning) == 1
