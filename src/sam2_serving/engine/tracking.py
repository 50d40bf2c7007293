"""Follow objects through a video: frames in, masks out, one frame at a time.

The line of a job is `frames -> tracker -> whoever iterates`. Frames are fetched and prepared ahead
on a thread of the job; what needs the device is cut into units of work, so that clicks and other
jobs get their turn in between.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import replace

import numpy as np

from sam2_serving.engine.doubts import Doubts
from sam2_serving.engine.errors import Cancelled, EngineClosed
from sam2_serving.engine.held_states import HeldState, HeldStates, StateKey
from sam2_serving.engine.read_ahead import ReadAhead
from sam2_serving.engine.tracking_request import (
    Frames,
    Keyframe,
    Mask,
    ObjectOnFrame,
    ObjectToTrack,
    TrackedFrame,
    TrackingRequest,
)
from sam2_serving.engine.turns import DeviceTurns
from sam2_serving.masks import decode_rle, encode_rle, tight_box
from sam2_serving.model import Prompts, SegmentationModel
from sam2_serving.model.devices import all_cores
from sam2_serving.model.frames import EncodedFrame, PreparedFrame
from sam2_serving.model.parts import InParts
from sam2_serving.model.video import VideoTracker

REBUILT_FROM = 15
"""Frames before the start whose masks rebuild a state that is not held: no more are read again."""
PREPARED_AHEAD = 2
UNCHANGED_IOU = 0.999
"""A mask that came back from a client this equal to the one it was given was not edited."""
OBJECTS_AT_ONCE_ON_GPU = 16
OBJECTS_AT_ONCE_A_THREAD = 4
"""Of a small network on a CPU. On one thread eight would take longer than a unit may, and be no
faster a frame; two threads take eight in that time, and are faster with them than with four."""
OBJECTS_AT_ONCE_ON_CPU = 8
SMALL_NETWORK = 10_000_000
"""Parameters; a larger network takes longer for one object on a CPU than a unit should."""


class Tracking:
    """One job; iterate over it once. Belongs to one thread.

    Attributes:
        start_masks: what the prompts on the first frame mean, of those objects that do not go on
            from a held state; known when the first tracked frame is.
    """

    def __init__(
        self,
        request: TrackingRequest,
        frames: Frames,
        model: SegmentationModel,
        turns: DeviceTurns,
        held: HeldStates,
    ) -> None:
        self._request = request
        self._frames = frames
        self._turns = turns
        self._held = held
        self._open_tracker: VideoTracker | None = VideoTracker(
            model, request.num_frames, request.reverse, request.max_cond_frames
        )
        self._objects = {one.id: one for one in request.objects}
        self._given: dict[Hashable, dict[int, str]] = {one.id: {} for one in request.objects}
        self._doubts = Doubts(request.doubt)
        self._at_once = objects_at_once(model)
        self._latest: dict[Hashable, tuple[int, Mask]] = {}
        self.start_masks: dict[Hashable, Mask] = {}
        self._step = -1 if request.reverse else 1

    def release(self) -> None:
        """Let go of the model: it was stopped. What is done with the job then fails."""
        self._open_tracker = None

    def _tracker(self) -> VideoTracker:
        tracker = self._open_tracker
        if tracker is None:
            raise EngineClosed("The model was stopped.")
        return tracker

    def drop(self, object_id: Hashable) -> None:
        """Follow an object no longer."""
        self._objects.pop(object_id, None)
        self._tracker().forget(object_id)

    def __iter__(self) -> Generator[TrackedFrame, None, None]:
        """Track frame after frame.

        Raises:
            Cancelled: the job's token was cancelled.
            EngineClosed: the model was stopped.
            ValueError: an object without a prompt.
            Exception: whatever the frames raise.
        """
        try:
            self._begin()
            yield from self._follow()
        except CancelledError as error:
            raise Cancelled("Tracking was stopped.") from error

    def _follow(self) -> Iterator[TrackedFrame]:
        indices = self._request.indices
        prepared = (self._tracker().prepare(frame) for frame in self._frames.run(indices))
        ahead = ReadAhead(prepared, PREPARED_AHEAD)
        coming: Future[EncodedFrame] | None = None
        try:
            for place, index in enumerate(indices):
                if not self._objects:
                    break
                encoded = coming or self._encode(ahead.get())
                parts = self._find(index, encoded)
                # While the device works on this frame, the next one is sent after it if it is here.
                more = ahead.get_if_ready() if place + 1 < len(indices) else None
                coming = None if more is None else self._encode(more)
                on_frame = {name: one for part in parts for name, one in part.result().items()}
                self._latest |= {name: (index, one.mask) for name, one in on_frame.items()}
                yield TrackedFrame(index, self._judged(on_frame))
        except GeneratorExit:
            self._hold()
            raise
        else:
            self._hold()
        finally:
            ahead.close()

    def _begin(self) -> None:
        """Give every object its state at the start: the one that is held, or a rebuilt one."""
        anew = [one for one in self._objects.values() if not self._goes_on(one)]
        before = sorted(
            {index for one in anew for index in one.before}, reverse=self._request.reverse
        )
        for index in before[-REBUILT_FROM:]:
            frame = self._encode(self._tracker().prepare(self._frames.frame(index)))
            for one in anew:
                if index in one.before and index not in one.keyframes:
                    self._remember(one, index, frame)
        if anew:
            start = self._request.start
            frame = self._encode(self._tracker().prepare(self._frames.frame(start)))
            for one in anew:
                self._start(one, frame)
                self._compare_with(one.id, one.start)

    def _start(self, one: ObjectToTrack, encoded: Future[EncodedFrame]) -> None:
        """Take the start for what it is: shown by a person, or tracked from what one showed.

        A tracked mask that would count as shown moves the track away from what the person meant.
        """
        start, mask = self._request.start, one.start.prompts().mask
        shown_before = any((start - index) * self._step > 0 for index in one.keyframes)
        if not one.by_person and shown_before and mask is not None:
            self._turns.run(lambda: self._tracker().remember(one.id, start, encoded.result(), mask))
            return
        shown = self._condition(one.id, start, one.start, encoded, one.by_person)
        if shown is not None:
            self.start_masks[one.id] = shown

    def _goes_on(self, one: ObjectToTrack) -> bool:
        """Take over the state that an earlier job left, if nothing that made it was changed."""
        key = StateKey(self._request.video, one.id, self._request.reverse)
        state = self._held.peek(key)
        if state is None or one.by_person or state.index != self._request.start:
            return False
        if not _made_of(state, one, self._request):
            return False
        mask = decode_rle(state.mask)
        if not _unchanged(one.start.prompts(), one.comes_back_as(mask)):
            return False
        if not self._held.take(key, state):
            return False
        self._tracker().adopt(one.id, state.memory)
        self._given[one.id] = dict(state.given)
        self._doubts.given(one.id, mask)
        return True

    def _find(
        self, index: int, encoded: Future[EncodedFrame]
    ) -> list[Future[dict[Hashable, ObjectOnFrame]]]:
        """Send the units of one frame: what a person showed there, then what is to be found."""
        for one in list(self._objects.values()):
            if one.last is not None and (index - one.last) * self._step > 0:
                self.drop(one.id)
        found: list[Hashable] = []
        for one in self._objects.values():
            if index in one.keyframes:
                self._condition(one.id, index, one.keyframes[index], encoded)
                self._compare_with(one.id, one.keyframes[index])
            else:
                self._show_keyframes(one, index)
                found.append(one.id)
        # A fixed number at once, and not as many as fit the time: another batch shape would
        # change the last bits of the answer.
        parts = [found[at : at + self._at_once] for at in range(0, len(found), self._at_once)]
        return [self._look_for(part, index, encoded) for part in parts]

    def _look_for(
        self, ids: list[Hashable], index: int, encoded: Future[EncodedFrame]
    ) -> Future[dict[Hashable, ObjectOnFrame]]:
        """Send three units for a part of the objects, so that a click can come in between."""
        attended = self._turns.submit(lambda: self._tracker().attend(index, encoded.result(), ids))
        found = self._turns.submit(lambda: self._tracker().decode(attended.result()))

        def remember() -> dict[Hashable, ObjectOnFrame]:
            self._tracker().memorise(found.result())
            size = encoded.result().image_size
            return {
                name: ObjectOnFrame(one.mask(size), one.object_score, one.predicted_iou)
                for name, one in found.result().masks.items()
            }

        return self._turns.submit(remember)

    def _show_keyframes(self, one: ObjectToTrack, index: int) -> None:
        """Condition the tracker on those keyframes that it reads on this frame, and not before."""
        given = self._given[one.id]
        missing = [key for key in one.keyframes if key not in given]
        if not missing:
            return
        for key in sorted(self._tracker().reads(one.id, index, one.keyframes) - given.keys()):
            frame = self._encode(self._tracker().prepare(self._frames.frame(key)))
            self._condition(one.id, key, one.keyframes[key], frame)

    def _condition(
        self,
        object_id: Hashable,
        index: int,
        keyframe: Keyframe,
        encoded: Future[EncodedFrame],
        by_person: bool = True,
    ) -> Mask | None:
        """Show an object to the tracker, once; return the mask that its prompts mean."""
        if index in self._given[object_id]:
            return None
        prompts = keyframe.prompts()
        if prompts.is_empty and index != self._request.start:
            self._given[object_id][index] = keyframe.version
            return None

        def show() -> Mask:
            frame = encoded.result()
            tracked = self._tracker().condition(object_id, index, frame, prompts)
            return tracked.mask(frame.image_size) if prompts.mask is None else prompts.mask

        mask = self._turns.run(show)
        if by_person:
            self._given[object_id][index] = keyframe.version
        return mask

    def _compare_with(self, object_id: Hashable, keyframe: Keyframe) -> None:
        mask = keyframe.prompts().mask
        if mask is not None:
            self._doubts.given(object_id, mask)

    def _remember(self, one: ObjectToTrack, index: int, encoded: Future[EncodedFrame]) -> None:
        mask = one.before[index]()
        self._turns.run(lambda: self._tracker().remember(one.id, index, encoded.result(), mask))

    def _encode(self, frame: PreparedFrame) -> Future[EncodedFrame]:
        return self._turns.submit(InParts(lambda: self._tracker().encode_in_parts(frame)))

    def _judged(self, on_frame: dict[Hashable, ObjectOnFrame]) -> dict[Hashable, ObjectOnFrame]:
        return {
            name: one
            if one.lost
            else replace(one, doubt=self._doubts.judge(name, one.mask, one.predicted_iou))
            for name, one in on_frame.items()
        }

    def _hold(self) -> None:
        """Leave the states for a job that goes on from here."""
        if self._request.video is None:
            return
        for name, (index, mask) in self._latest.items():
            if name in self._objects and self._tracker().has(name):
                key = StateKey(self._request.video, name, self._request.reverse)
                memory = self._tracker().take(name)
                given, limit = self._given[name], self._request.max_cond_frames
                known = _versions(self._objects[name]) | given
                state = HeldState(index, encode_rle(mask), given, known, limit, memory)
                self._held.hold(key, state)


def objects_at_once(model: SegmentationModel) -> int:
    """Return how many objects go through the network together: about 150 ms of work at most.

    Decided by the device, its threads and the size of the network alone, so that equal requests on
    one numeric path go through in equal batches.
    """
    if model.device.type != "cpu":
        return OBJECTS_AT_ONCE_ON_GPU
    parameters = sum(weights.numel() for weights in model.network.parameters())
    if parameters >= SMALL_NETWORK:
        return 1
    return min(OBJECTS_AT_ONCE_A_THREAD * all_cores(), OBJECTS_AT_ONCE_ON_CPU)


def _made_of(state: HeldState, one: ObjectToTrack, request: TrackingRequest) -> bool:
    """Tell whether a state was made of what persons say today."""
    today = _versions(one)
    passed = {
        index: version
        for index, version in today.items()
        if (request.start - index) * (-1 if request.reverse else 1) >= 0
    }
    return (
        state.max_cond_frames == request.max_cond_frames
        and all(today.get(i) == v for i, v in state.given.items())
        and all(state.known.get(i) == v for i, v in passed.items())
    )


def _versions(one: ObjectToTrack) -> dict[int, str]:
    return {index: keyframe.version for index, keyframe in one.keyframes.items()}


def _unchanged(start: Prompts, mask: Mask) -> bool:
    """Tell whether the start that a client sends is the mask that it was given."""
    if start.mask is None:
        return start.box is not None and start.box == tight_box(mask)
    union = np.count_nonzero(start.mask | mask)
    shared = np.count_nonzero(start.mask & mask)
    return bool(union > 0 and shared >= UNCHANGED_IOU * union)
