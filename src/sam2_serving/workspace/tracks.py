"""What the app says about its runs of tracking, kept in memory for the page and for tests."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from sam2_serving.workspace.losses import Loss, loss_said
from sam2_serving.workspace.tables import now

State = Literal["running", "finished", "stopped", "failed"]
Direction = Literal["forward", "backward"]

MAX_TRACKS = 100
MAX_MESSAGES = 2000
"""Of one track; then the oldest go."""
_MAX_WARNINGS = 100
QUIET_S = 15.0
"""A running track that says nothing for so long may have nobody behind it any more."""


@dataclass(frozen=True)
class Asked:
    """What a track is to do.

    Attributes:
        frame: where the figures are that are followed.
        frames: how many frames are to be predicted after it.
        object_ids: the objects that are followed.
    """

    frame: int
    frames: int
    direction: Direction
    object_ids: tuple[int, ...]


@dataclass(frozen=True)
class Progress:
    """How far a track is.

    Attributes:
        first: frame, the lowest that the message is about.
        last: frame, the highest.
    """

    current: int
    total: int
    first: int
    last: int


@dataclass(frozen=True)
class Message:
    """A message as it came.

    Attributes:
        at: when.
        channel: the route that brought it.
        kind: progress, error or warning.
        data: its body.
    """

    at: str
    channel: Literal["notify", "direct"]
    kind: Literal["progress", "error", "warning"]
    data: dict[str, Any]


@dataclass
class Track:
    """One run of tracking.

    Attributes:
        asked: None: it was started by another client than the page.
        video_id: None: nothing said yet of which video it is.
        heard: when something was heard of it, by the monotonic clock.
        stop_asked: the page asked it to stop.
    """

    track_id: str
    video_id: int | None
    asked: Asked | None
    started_at: str = field(default_factory=now)
    state: State = "running"
    progress: Progress | None = None
    warnings: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_WARNINGS))
    error: str | None = None
    heard: float = field(default_factory=time.monotonic)
    stop_asked: bool = False
    messages: deque[Message] = field(default_factory=lambda: deque(maxlen=MAX_MESSAGES))


class Tracks:
    """The latest tracks. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tracks: OrderedDict[str, Track] = OrderedDict()

    def begin(self, track_id: str, video_id: int, asked: Asked) -> None:
        """Remember a track that is about to be asked for."""
        with self._lock:
            self._add(Track(track_id, video_id, asked))

    def forget(self, track_id: str) -> None:
        """Forget a track that was refused."""
        with self._lock:
            self._tracks.pop(track_id, None)

    def note_progress(
        self, track_id: str, video_id: int, progress: Progress, message: Message
    ) -> bool:
        """Note how far a track is; tell whether it is to stop."""
        with self._lock:
            track = self._noted(track_id, video_id, message)
            # Clients set a bar back with 0 of 1 when all is over.
            if track.state != "running" and (progress.current, progress.total) == (0, 1):
                return track.stop_asked
            track.progress = progress
            if track.stop_asked:
                track.state = "stopped"
            elif track.state in ("running", "finished"):
                # A finished track goes on when the timeline extends it.
                done = progress.current >= progress.total
                track.state = "finished" if done else "running"
            return track.stop_asked

    def note_error(self, track_id: str, video_id: int | None, error: str, message: Message) -> None:
        """Note that a track failed."""
        with self._lock:
            track = self._noted(track_id, video_id, message)
            track.state, track.error = "failed", error

    def note_warning(self, track_id: str, video_id: int, warning: str, message: Message) -> None:
        """Note what a track warns of."""
        with self._lock:
            self._noted(track_id, video_id, message).warnings.append(warning)

    def ask_to_stop(self, track_id: str) -> State | None:
        """Let a running track's next progress be answered with stop; return its state.

        One that has been quiet for long counts as stopped at once: nothing may ever come of it.
        """
        with self._lock:
            track = self._tracks.get(track_id)
            if track is None:
                return None
            if track.state == "running":
                track.stop_asked = True
                if time.monotonic() - track.heard > QUIET_S:
                    track.state = "stopped"
            return track.state

    def video_of(self, track_id: str) -> int | None:
        """Return a track's video, if both are known."""
        with self._lock:
            track = self._tracks.get(track_id)
            return track.video_id if track else None

    def of_video(self, video_id: int) -> list[dict[str, Any]]:
        """Describe a video's tracks, the newest first."""
        with self._lock:
            found = [one for one in self._tracks.values() if one.video_id == video_id]
            return [_track_json(track) for track in reversed(found)]

    def losses(self, video_id: int) -> list[Loss]:
        """Return what was said of objects of a video that were lost, the oldest first."""
        with self._lock:
            return [
                loss
                for track in self._tracks.values()
                if track.video_id == video_id and track.asked and track.progress
                for loss in _losses(track.asked, track.progress, track.warnings)
            ]

    def messages(self, track_id: str) -> list[Message]:
        """Return what came about a track, the oldest first."""
        with self._lock:
            track = self._tracks.get(track_id)
            return list(track.messages) if track else []

    def _noted(self, track_id: str, video_id: int | None, message: Message) -> Track:
        track = self._tracks.get(track_id)
        # Clients number their tracks: the same name on another video is another track.
        if track is None or not (None in (video_id, track.video_id) or video_id == track.video_id):
            track = Track(track_id, video_id, None)
            self._add(track)
        if track.video_id is None:
            track.video_id = video_id
        track.heard = time.monotonic()
        track.messages.append(message)
        return track

    def _add(self, track: Track) -> None:
        self._tracks[track.track_id] = track
        self._tracks.move_to_end(track.track_id)
        while len(self._tracks) > MAX_TRACKS:
            # What runs may still be asked to stop.
            ended = (name for name, one in self._tracks.items() if one.state != "running")
            del self._tracks[next(ended, next(iter(self._tracks)))]


def _losses(asked: Asked, progress: Progress, warnings: Iterable[str]) -> list[Loss]:
    step = 1 if asked.direction == "forward" else -1
    reach = asked.frame + step * progress.current
    said = (loss_said(sentence, step, reach) for sentence in warnings)
    return [loss for loss in said if loss is not None]


def _track_json(track: Track) -> dict[str, Any]:
    asked, progress = track.asked, track.progress
    total = asked.frames if asked else 0
    return {
        "trackId": track.track_id,
        "frame": asked.frame if asked else None,
        "frames": asked.frames if asked else None,
        "direction": asked.direction if asked else None,
        "objectIds": list(asked.object_ids) if asked else [],
        "state": track.state,
        "progress": {
            "current": progress.current if progress else 0,
            "total": progress.total if progress else total,
        },
        "frameRange": [progress.first, progress.last] if progress else None,
        "warnings": list(track.warnings),
        "error": track.error,
        "startedAt": track.started_at,
    }
