"""Which job writes on which frames of a video: of two that want the same, the newer one."""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sam2_serving.engine import CancelToken


@dataclass
class _Video:
    writing: threading.Lock = field(default_factory=threading.Lock)
    claims: list[Claim] = field(default_factory=list)


class Claim:
    """One job's right to write its objects on its frames; shrinks when newer jobs come."""

    def __init__(
        self,
        video: _Video,
        track_id: Hashable,
        objects: Collection[Hashable],
        frames: range,
    ) -> None:
        self.track_id = track_id
        self.objects = frozenset(objects)
        self.frames = frames
        self.hush = CancelToken()
        """Cancelled when a newer job reports under the same track id: this one is silent then."""
        self._video = video
        self._taken: list[tuple[frozenset[Hashable], range]] = []

    @property
    def superseded(self) -> bool:
        """Whether this job has nothing more to say."""
        return self.hush.cancelled

    def allows(self, object_id: Hashable, frame: int) -> bool:
        """Tell whether no newer job writes there."""
        return not any(object_id in objects and frame in frames for objects, frames in self._taken)

    def over(self, object_id: Hashable, frame: int) -> bool:
        """Tell whether newer jobs write on this frame and all that follow."""
        last = self.frames[-1]
        return any(
            object_id in objects and frame in frames and last in frames
            for objects, frames in self._taken
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold off other jobs of the video; inside, what `allows` says stays true."""
        with self._video.writing:
            yield

    def take(self, newer: Claim) -> None:
        """Leave to a newer claim what it wants."""
        if self.objects & newer.objects:
            self._taken.append((newer.objects, _ascending(newer.frames)))
            if self.track_id == newer.track_id:
                self.hush.cancel()


class Claims:
    """The claims of all running jobs. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._videos: dict[Hashable, _Video] = {}

    def claim(
        self,
        video: Hashable,
        track_id: Hashable,
        objects: Collection[Hashable],
        frames: range,
    ) -> Claim:
        """Claim frames for objects; returns when no older job writes any more."""
        with self._lock:
            shared = self._videos.setdefault(video, _Video())
            claim = Claim(shared, track_id, objects, frames)
            older = list(shared.claims)
            shared.claims.append(claim)
        with shared.writing:
            for one in older:
                one.take(claim)
        return claim

    def release(self, video: Hashable, claim: Claim) -> None:
        """The job has ended."""
        with self._lock:
            shared = self._videos[video]
            shared.claims.remove(claim)
            if not shared.claims:
                del self._videos[video]


def _ascending(frames: range) -> range:
    return frames if frames.step > 0 else frames[::-1]
