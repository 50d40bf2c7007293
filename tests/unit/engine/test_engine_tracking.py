"""Tracking jobs: what they find, what they leave for the next one, how they share the device."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from contextvars import ContextVar

import numpy as np
import pytest

from sam2_serving.engine import (
    Cancelled,
    CancelToken,
    Engine,
    EngineClosed,
    ImageKey,
    ImageSource,
    Keyframe,
    ObjectToTrack,
    Priority,
    TrackingRequest,
)
from sam2_serving.engine.read_ahead import ReadAhead
from sam2_serving.masks import tight_box
from sam2_serving.model import Point, Prompts, load_model
from sam2_serving.model.video import VideoTracker
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_clip

FRAMES = 14


class Clip:
    """Drawn frames; counts what is fetched."""

    def __init__(self, seed: int = 4, count: int = FRAMES) -> None:
        clip = draw_clip(seed, frames=count, size=(160, 120))
        self.frames = np.asarray(clip.frames)
        self.masks = np.asarray(clip.masks)
        self.fetched: list[int] = []

    def frame(self, index: int) -> np.ndarray:
        self.fetched.append(index)
        return self.frames[index]

    def run(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        for index in indices:
            yield self.frame(index)


@pytest.fixture(scope="module")
def model():
    return load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")


@pytest.fixture
def engine(model):
    with Engine(model, store_bytes=2**26) as engine:
        yield engine


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip()


def key(mask: np.ndarray, version: str = "1") -> Keyframe:
    return Keyframe(version, lambda: Prompts(mask=mask))


def ask(clip: Clip, start=0, last=FRAMES - 1, objects=(0, 1), **extra) -> TrackingRequest:
    what = [ObjectToTrack(id, key(clip.masks[start, id], f"{id} at {start}")) for id in objects]
    return TrackingRequest("clip", start, last, extra.pop("of", what), FRAMES, **extra)


def masks_of(tracking) -> dict[int, dict]:
    return {frame.index: {id: one.mask for id, one in frame.objects.items()} for frame in tracking}


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        one[i].keys() == other[i].keys()
        and all(np.array_equal(one[i][id], other[i][id]) for id in one[i])
        for i in one
    )


@pytest.mark.parametrize(("start", "last"), [(0, FRAMES - 1), (FRAMES - 1, 0)])
def test_a_job_finds_what_the_tracker_finds(model, engine, clip, start, last):
    found = masks_of(engine.track(ask(clip, start, last), clip))
    tracker = VideoTracker(model, FRAMES, reverse=last < start)
    frame = tracker.encode(tracker.prepare(clip.frames[start]))
    for id in (0, 1):
        tracker.condition(id, start, frame, Prompts(mask=clip.masks[start, id]))
    step = -1 if last < start else 1
    for index in range(start + step, last + step, step):
        there = tracker.step(index, tracker.encode(tracker.prepare(clip.frames[index])))
        for id, one in there.items():
            assert np.array_equal(found[index][id], one.mask(clip.frames.shape[1:3]))
    assert list(found) == list(range(start + step, last + step, step))


def test_the_first_frame_is_here_before_the_last_is_fetched(engine):
    clip = Clip(count=60)
    request = TrackingRequest(
        "long", 0, 59, [ObjectToTrack(0, key(clip.masks[0, 0]))], num_frames=60
    )
    tracking = iter(engine.track(request, clip))
    next(tracking)
    assert max(clip.fetched) < 10
    tracking.close()


def test_an_extension_goes_on_as_if_there_had_been_no_end(engine, clip):
    whole = masks_of(engine.track(ask(clip), clip))
    first = masks_of(engine.track(ask(clip, last=6), clip))
    people = {0: key(clip.masks[0, 0], "0 at 0")}
    goes_on = ObjectToTrack(0, key(first[6][0]), by_person=False, keyframes=people)
    second = masks_of(engine.track(ask(clip, 6, of=[goes_on]), clip))
    assert all(np.array_equal(second[i][0], whole[i][0]) for i in range(7, FRAMES))


@pytest.mark.parametrize("change", ["mask", "person", "keyframe", "frame"])
def test_a_state_is_not_used_if_anything_that_made_it_changed(engine, clip, change):
    first = masks_of(engine.track(ask(clip, last=6, objects=[0]), clip))
    mask, people, start = first[6][0], {0: key(clip.masks[0, 0], "0 at 0")}, 6
    if change == "mask":
        mask = mask.copy()
        box = tight_box(mask)
        mask[int(box.y0) : int(box.y0 + box.y1) // 2] = False
    if change == "keyframe":
        people = {0: key(clip.masks[0, 0], "0 at 0, edited")}
    if change == "frame":
        start, mask = 5, first[5][0]
    held = engine._held_states.nbytes
    one = ObjectToTrack(0, key(mask), by_person=change == "person", keyframes=people)
    tracking = engine.track(ask(clip, start, start + 2, of=[one]), clip)
    iterator = iter(tracking)
    next(iterator)
    assert engine._held_states.nbytes == held, "the held state was taken"


def test_keyframes_that_were_never_read_do_not_spoil_an_extension(engine, clip):
    """With room for two, the oldest of many keyframes is passed over; the state is as good."""
    people = {i: key(clip.masks[i, 0], f"0 at {i}") for i in (0, 2, 4)}

    def track(first, last, **extra):
        one = ObjectToTrack(0, **extra)
        return masks_of(engine.track(ask(clip, first, last, of=[one], max_cond_frames=2), clip))

    shown = {"start": key(clip.masks[6, 0], "0 at 6"), "keyframes": people}
    whole = track(6, FRAMES - 1, **shown)
    first = track(6, 9, **shown)
    people = people | {6: shown["start"]}
    second = track(9, FRAMES - 1, start=key(first[9][0]), by_person=False, keyframes=people)
    assert all(np.array_equal(second[i][0], whole[i][0]) for i in range(10, FRAMES))
    first = track(6, 9, **shown)
    held = engine._held_states.nbytes
    people = people | {5: key(clip.masks[5, 0], "0 at 5, drawn meanwhile")}
    one = ObjectToTrack(0, key(first[9][0]), False, people)
    next(tracking := iter(engine.track(ask(clip, 9, 11, of=[one], max_cond_frames=2), clip)))
    assert engine._held_states.nbytes == held, "the held state was taken"
    tracking.close()


def test_what_nobody_will_go_on_from_is_not_held(engine, clip):
    one = ObjectToTrack(0, key(clip.masks[0, 0]))
    masks_of(engine.track(TrackingRequest(None, 0, 3, [one]), clip))
    assert engine._held_states.nbytes == 0


def test_reading_ahead_happens_in_the_context_of_who_asked():
    asked_by = ContextVar("asked_by", default="nobody")
    asked_by.set("me")
    assert ReadAhead((asked_by.get() for _ in range(1)), 1).get() == "me"


def test_a_lost_state_is_rebuilt_from_the_masks_before(engine, clip):
    whole = masks_of(engine.track(ask(clip, objects=[0]), clip))
    engine._held_states.close()
    before = {i: lambda i=i: whole[i][0] for i in range(1, 8)}
    people = {0: key(clip.masks[0, 0], "0 at 0")}
    one = ObjectToTrack(0, key(whole[8][0]), False, people, before)
    rebuilt = masks_of(engine.track(ask(clip, 8, of=[one]), clip))
    for i in range(9, FRAMES):
        shared = np.count_nonzero(rebuilt[i][0] & whole[i][0])
        assert shared >= 0.9 * np.count_nonzero(rebuilt[i][0] | whole[i][0])


def test_a_persons_frames_are_left_alone_and_count(engine, clip):
    keyframes = {5: key(clip.masks[5, 0]), 9: key(clip.masks[9, 0])}
    one = ObjectToTrack(0, key(clip.masks[0, 0]), keyframes=keyframes)
    found = masks_of(engine.track(ask(clip, of=[one]), clip))
    assert [i for i in found if 0 not in found[i]] == [5, 9]
    alone = masks_of(engine.track(ask(clip, objects=[0]), clip))
    assert any(not np.array_equal(found[i][0], alone[i][0]) for i in (3, 4, 6, 7))


def test_objects_are_found_alone_as_beside_others(engine, clip):
    """An object that ends its track early leaves the others as they were."""
    one, other = (ObjectToTrack(id, key(clip.masks[0, id])) for id in (0, 1))
    early = ObjectToTrack(1, other.start, last=4)
    found = masks_of(engine.track(ask(clip, of=[one, early]), clip))
    assert [i for i in found if 1 in found[i]] == [1, 2, 3, 4]
    assert all(0 in found[i] for i in found)


def test_clicks_get_their_turn_and_their_answer(engine, clip):
    source = ImageSource(ImageKey("image", "s", "1", "v"), lambda: clip.frames[3])
    prompts = Prompts((Point(80, 60),))
    alone = engine.segment(source, prompts).mask
    answers = []

    def click():
        for _ in range(20):
            answers.append(engine.segment(source, prompts).mask)

    clicks = threading.Thread(target=click)
    quiet = masks_of(engine.track(ask(clip), clip))
    clicks.start()
    busy = masks_of(engine.track(ask(clip), clip))
    clicks.join()
    assert same(quiet, busy)
    assert len(answers) == 20
    assert all(np.array_equal(answer, alone) for answer in answers)


def test_a_click_comes_between_the_parts_of_a_frame(model, engine, clip):
    """It waits for one network of the tracker, not for the frame."""
    source = ImageSource(ImageKey("image", "s", "1", "v"), lambda: clip.frames[3])
    prompts = Prompts((Point(80, 60), Point(90, 60)))
    engine.segment(source, prompts)
    ran: list[str] = []
    clicks: list[threading.Thread] = []

    def click_meanwhile(*_):
        if clicks:
            return
        ran.append("attend")
        clicks.append(threading.Thread(target=lambda: engine.segment(source, prompts)))
        clicks[0].start()
        while not engine.stats().waiting[Priority.CLICK_DECODE]:
            time.sleep(0.001)

    network = model.network
    hooks = [
        network.memory_attention.norm.register_forward_hook(click_meanwhile),
        network.sam_mask_decoder.iou_prediction_head.register_forward_hook(
            lambda _, __, out: ran.append(f"decode {len(out)}")
        ),
        # of the memory encoder, lean or not
        network.memory_encoder.mask_downsampler.encoder[0].register_forward_hook(
            lambda *_: ran.append("remember")
        ),
    ]
    try:
        with closing(iter(engine.track(ask(clip), clip))) as tracking:
            next(tracking)
            clicks[0].join()
    finally:
        for hook in hooks:
            hook.remove()
    # the click's one mask, then the tracker's two objects
    assert ran[ran.index("attend") :][:4] == ["attend", "decode 1", "decode 2", "remember"]


def test_several_jobs_find_what_each_finds_alone(engine, clip):
    requests = [ask(clip), ask(clip, FRAMES - 1, 0), ask(clip, 3, objects=[1])]
    alone = [masks_of(engine.track(request, clip)) for request in requests]
    together: list = [None] * len(requests)

    def run(place):
        together[place] = masks_of(engine.track(requests[place], clip))

    threads = [threading.Thread(target=run, args=[place]) for place in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(*pair) for pair in zip(alone, together, strict=True))


def test_a_cancelled_job_ends_within_a_frame(engine, clip):
    cancel = CancelToken()
    seen = []

    def stop_at_three(frame):
        seen.append(frame.index)
        if frame.index == 3:
            cancel.cancel()

    with pytest.raises(Cancelled):
        deque(map(stop_at_three, engine.track(ask(clip), clip, cancel)))
    assert seen[-1] <= 4


def test_a_stopped_model_ends_a_job(model, clip):
    engine = Engine(model, store_bytes=2**26)
    with pytest.raises(EngineClosed):
        deque(engine.close() for _ in engine.track(ask(clip), clip))


def test_a_job_that_waits_for_a_frame_lets_go_of_a_stopped_model(clip):
    waits, go_on = threading.Event(), threading.Event()

    class Slow(Clip):
        def run(self, indices):
            waits.set()
            go_on.wait(30)
            yield from super().run(indices)

    own = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    weight = weakref.ref(next(own.network.parameters()))
    engine = Engine(own, store_bytes=2**26)
    del own
    ended = []

    def follow(tracking):
        try:
            deque(tracking)
        except EngineClosed as error:
            ended.append(str(error))

    thread = threading.Thread(target=follow, args=[engine.track(ask(clip), Slow())])
    thread.start()
    assert waits.wait(30)
    engine.close()
    gone = weight() is None
    go_on.set()
    thread.join(30)
    assert gone, "the old model stays in memory while a job waits for the platform"
    assert ended


def test_frames_that_fail_end_the_job_after_what_came_before(engine, clip):
    class Broken(Clip):
        def run(self, indices):
            for index in indices:
                if index == 6:
                    raise OSError("frame 6 is broken")
                yield self.frame(index)

    seen = []
    with pytest.raises(OSError, match="frame 6"):
        deque(seen.append(frame.index) for frame in engine.track(ask(clip), Broken()))
    assert seen == [1, 2, 3, 4, 5]
    assert engine._held_states.nbytes == 0, "a state of a job that failed was kept"


def test_what_is_held_stays_within_its_budget(model, clip):
    with Engine(model, store_bytes=2**26, held_bytes=0) as engine:
        masks_of(engine.track(ask(clip, last=3), clip))
        assert engine._held_states.nbytes == 0
