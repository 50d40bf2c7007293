"""What the tracker remembered when a job ended, for the job that goes on from there."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from sam2_serving.masks.rle import Rle
from sam2_serving.model.memory import ObjectMemory


@dataclass(frozen=True)
class StateKey:
    """Whose state it is; `video` names the video and its version."""

    video: Hashable
    object_id: Hashable
    reverse: bool


@dataclass(frozen=True)
class HeldState:
    """An object's state after a frame.

    Attributes:
        index: the frame.
        mask: the object's mask there.
        given: versions of the prompts that made the state, by frame.
        known: versions of all prompts that could have been read, and of `given`.
        max_cond_frames: of them that were read at once.
        memory: what the tracker remembers.
    """

    index: int
    mask: Rle
    given: Mapping[int, str]
    known: Mapping[int, str]
    max_cond_frames: int | None
    memory: ObjectMemory


class HeldStates:
    """States under a budget of bytes; the one unused for longest goes first. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._states: OrderedDict[StateKey, HeldState] = OrderedDict()
        self._bytes = 0

    def hold(self, key: StateKey, state: HeldState) -> None:
        """Keep a state in place of an older one of the same object."""
        with self._lock:
            self._drop(key)
            self._states[key] = state
            self._bytes += state.memory.nbytes
            while self._states and self._bytes > self._max_bytes:
                self._drop(next(iter(self._states)))

    def peek(self, key: StateKey) -> HeldState | None:
        """Return a state without taking it."""
        with self._lock:
            return self._states.get(key)

    def take(self, key: StateKey, state: HeldState) -> bool:
        """Take a state out; False if it is gone or another one by now."""
        with self._lock:
            if self._states.get(key) is not state:
                return False
            self._drop(key)
            return True

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._states.clear()
            self._bytes = 0

    def close(self) -> None:
        """Drop everything, and hold nothing from now on."""
        with self._lock:
            self._max_bytes = 0
            self._states.clear()
            self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of device memory that are held."""
        return self._bytes

    def _drop(self, key: StateKey) -> None:
        state = self._states.pop(key, None)
        if state is not None:
            self._bytes -= state.memory.nbytes
