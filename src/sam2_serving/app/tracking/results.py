"""Figures of one job that its client comes to fetch (contract, section 3.5)."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from sam2_serving.engine import Cancelled, CancelToken

_LOOK_S = 0.2


@dataclass(frozen=True)
class Span:
    """Frames that a person should look at: `first` to `last` in the order of tracking."""

    object_id: Any
    first: int
    last: int
    reason: str

    def json(self) -> dict[str, Any]:
        """Shape it for the client."""
        return {
            "objectId": self.object_id,
            "frameRange": sorted((self.first, self.last)),
            "reason": self.reason,
        }


@dataclass
class TrackResults:
    """What a job found and nobody has fetched yet, and how far it is. Thread-safe.

    A job whose client fetches too slowly waits when `max_bytes` are here, so that memory stays
    flat however long the video is.
    """

    max_bytes: int
    cancel: CancelToken
    total: int = 1
    current: int = 0
    running: bool = True
    error: str | None = None
    end_told: bool = False
    review: list[Span] = field(default_factory=list)
    touched: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        # as text: parsed, outlines take more than ten times as much memory as is counted
        self._figures: list[tuple[int, str]] = []
        self._bytes = 0

    def put(self, frame: int, figures: list[dict[str, Any]]) -> None:
        """Add a frame's figures; waits for room.

        Raises:
            Cancelled: the job was given up meanwhile.
        """
        texts = [(frame, json.dumps(figure)) for figure in figures]
        size = sum(len(text) for _, text in texts)
        with self._changed:
            while self._figures and self._bytes + size > self.max_bytes:
                if self.cancel.cancelled:
                    raise Cancelled("Tracking was stopped.")
                self._changed.wait(_LOOK_S)
            self.touched = time.monotonic()
            self._figures += texts
            self._bytes += size

    def pop(self, first: int | None, last: int | None) -> list[dict[str, Any]]:
        """Take out the figures of the frames `first` to `last`, both included; None: all."""
        with self._changed:
            self.touched = time.monotonic()
            wanted = [
                first is None or last is None or first <= frame <= last
                for frame, _ in self._figures
            ]
            taken = [one for one, want in zip(self._figures, wanted, strict=True) if want]
            self._figures = [
                one for one, want in zip(self._figures, wanted, strict=True) if not want
            ]
            self._bytes -= sum(len(text) for _, text in taken)
            self._changed.notify_all()
        return [json.loads(text) for _, text in taken]

    def drop(self) -> None:
        """Forget all figures."""
        self.pop(None, None)

    @property
    def nbytes(self) -> int:
        """Bytes of the figures' JSON."""
        return self._bytes
