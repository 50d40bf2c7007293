"""What the tracker keeps, hands over and reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_serving.model import Box, Prompts, VideoTracker, load_model
from sam2_serving.model.memory import FrameMemory, ObjectMemory, Reach
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

PROMPTS = [Prompts(box=Box(20 + 40 * n, 30, 90 + 40 * n, 120)) for n in range(3)]


@pytest.fixture(scope="module")
def model():
    return load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")


@pytest.fixture(scope="module")
def frames(model):
    tracker = VideoTracker(model)
    pictures = [draw_scene(seed, size=(256, 192)).image for seed in range(3)]
    return [tracker.encode(tracker.prepare(picture)) for picture in pictures]


def started(model, frames, count: int = 3, **options) -> VideoTracker:
    tracker = VideoTracker(model, **options)
    for name, prompts in enumerate(PROMPTS[:count]):
        tracker.condition(name, 0, frames[0], prompts)
    return tracker


def step_through(tracker: VideoTracker, frames, indices) -> dict[int, dict]:
    return {index: tracker.step(index, frames[index % len(frames)]) for index in indices}


def test_memory_does_not_grow_and_nothing_else_is_pinned(model, frames):
    tracker = started(model, frames, 2)
    sizes = {}
    for index in range(1, 41):
        tracker.step(index, frames[index % 3])
        memory = tracker.take(0)
        sizes[index] = memory.nbytes
        tracker.adopt(0, memory)
    assert len({sizes[index] for index in range(6, 41)}) == 1
    network, memory = model.network, tracker.take(0)
    assert len(memory.features) == network.num_maskmem - 1
    assert len(memory.pointers) == network.max_obj_ptrs_in_encoder - 1
    features = network.mem_dim * (network.image_size // network.backbone_stride) ** 2 * 2
    pointer = network.hidden_dim * 4
    assert memory.nbytes == 5 * features + 6 * pointer
    # what a tensor shows is all that it holds: no other object of the batch stays with it
    kept = [*memory.features.values(), *memory.pointers.values()]
    assert sum(tensor.untyped_storage().nbytes() for tensor in kept) == 4 * features + 5 * pointer


def test_an_object_goes_on_in_another_tracker_as_if_nothing_had_happened(model, frames):
    whole = step_through(started(model, frames, 1), frames, range(1, 13))
    first = started(model, frames, 1)
    step_through(first, frames, range(1, 7))
    memory = first.take(0)
    assert not first.has(0)
    assert first.objects == ()
    second = VideoTracker(model)
    second.adopt(0, memory)
    for index, found in step_through(second, frames, range(7, 13)).items():
        assert torch.equal(found[0].logits, whole[index][0].logits)


def test_what_was_remembered_forward_is_not_taken_backward(model, frames):
    memory = started(model, frames, 1).take(0)
    with pytest.raises(ValueError, match="direction"):
        VideoTracker(model, reverse=True).adopt(0, memory)


def test_an_object_that_is_not_tracked_cannot_be_taken(model):
    with pytest.raises(KeyError):
        VideoTracker(model).take("nobody")


def test_a_frame_can_be_done_in_parts(model, frames):
    at_once = started(model, frames).step(1, frames[1])
    tracker = started(model, frames)
    parts = tracker.step(1, frames[1], [2, 0]) | tracker.step(1, frames[1], [1, "unknown"])
    assert parts.keys() == at_once.keys() == {0, 1, 2}
    for name, found in at_once.items():
        torch.testing.assert_close(parts[name].logits, found.logits, atol=1e-3, rtol=0)


def test_a_forgotten_object_is_left_out(model, frames):
    tracker = started(model, frames)
    tracker.forget(1)
    tracker.forget("nobody")
    assert tracker.objects == (0, 2)
    assert tracker.step(1, frames[1]).keys() == {0, 2}


def test_a_prompted_frame_is_not_overwritten_by_a_remembered_mask(model, frames):
    tracker = started(model, frames, 1)
    tracker.remember(0, 0, frames[0], np.zeros((192, 256), bool))
    expected = started(model, frames, 1).step(1, frames[1])
    assert torch.equal(tracker.step(1, frames[1])[0].logits, expected[0].logits)


def test_an_object_of_which_nothing_near_is_known_is_an_error(model, frames):
    tracker = VideoTracker(model)
    tracker.remember("a", 0, frames[0], np.ones((192, 256), bool))
    assert "a" in tracker.step(1, frames[1])
    with pytest.raises(ValueError, match="Nothing is known"):
        tracker.step(50, frames[1])


@pytest.mark.parametrize("limit", [0, 1, -2])
def test_fewer_than_two_conditioning_frames_at_once_are_refused(model, limit):
    with pytest.raises(ValueError, match="At least 2"):
        VideoTracker(model, max_cond_frames=limit)


def test_the_network_is_left_as_it_is(model, frames):
    before = model.network.max_cond_frames_in_attn
    tracker = started(model, frames, 1, max_cond_frames=2)
    tracker.step(1, frames[1])
    assert model.network.max_cond_frames_in_attn == before


@pytest.mark.parametrize("reverse", [False, True])
def test_keyframes_given_when_they_are_read_are_all_that_is_read(reverse):
    """Over many draws: what is recalled equals what is recalled with all given up front."""
    rng = np.random.default_rng(int(reverse))
    for _ in range(300):
        features, pointers = (int(n) for n in rng.integers(1, 8, 2))
        limit = int(rng.choice([-1, 2, 3, 4]))
        reach = Reach(features, pointers, limit, -1 if reverse else 1, True, True)
        keys = {int(k) for k in rng.integers(0, 40, rng.integers(1, 12))}
        start = int(rng.choice(sorted(keys)))
        made = {k: FrameMemory(torch.tensor([k]), torch.tensor([k])) for k in range(40)}
        up_front, as_read = ObjectMemory(reach), ObjectMemory(reach)
        for key in rng.permutation(sorted(keys)):
            up_front.condition(int(key), made[int(key)])
        for index in range(start, -1 if reverse else 40, reach.step):
            known = keys | as_read.conditioning.keys()
            needed = {index} if index in keys else reach.read(index, known)
            for key in needed - as_read.conditioning.keys():
                as_read.condition(key, made[key])
            if index not in keys:
                assert as_read.recall(index) == up_front.recall(index)
                up_front.remember(index, made[index])
                as_read.remember(index, made[index])
