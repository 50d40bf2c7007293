"""How a tracking job tells its client how far it is (contract, sections 3.3, 3.5 and 3.6)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from supervisely.sly_logger import logger

from sam2_serving.app.patience import Patience
from sam2_serving.app.platform.api import MAX_JSON_BYTES, Caller, PlatformClient
from sam2_serving.app.reporting import AppError, PlatformUnavailable
from sam2_serving.engine import Cancelled, CancelToken


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        first: of the frames that changed since the last report.
        last: the last of them; not below `first`.
    """

    current: int
    total: int
    first: int
    last: int

    def json(self) -> dict[str, Any]:
        """Shape it as every channel does."""
        return {
            "frameRange": [self.first, self.last],
            "progress": {"current": self.current, "total": self.total},
        }


class Reporter(Protocol):
    """A channel. None of its methods raises: a job does not fail because nobody listens."""

    def progress(self, progress: Progress, /) -> bool | None:
        """Report; returns whether the user pressed stop, or None if it did not get through."""

    def finish(self, progress: Progress, hush: CancelToken, /) -> None:
        """Report that all is done; `hush` ends the attempts if the channel fails."""

    def warn(self, sentence: str, /) -> None:
        """Tell what went less than well."""

    def fail(self, sentence: str, /) -> None:
        """Tell why the job ended early."""

    def end(self) -> None:
        """Nothing more comes."""


class Silence:
    """Nobody listens."""

    def progress(self, _: Progress) -> bool:
        """Say nothing."""
        return False

    def finish(self, _: Progress, __: CancelToken) -> None:
        """Say nothing."""

    def warn(self, _: str) -> None:
        """Say nothing."""

    def fail(self, _: str) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class _Platform:
    client: PlatformClient
    caller: Caller
    video_id: int
    track_id: int | str
    patience_s: float

    def end(self) -> None:
        """Say nothing: the last message said it."""

    def _tell(self, route: str, body: dict[str, Any], until: CancelToken | None = None) -> Any:
        """Call a route; None if it fails.

        Args:
            route: of the platform's API.
            body: JSON.
            until: given for the last words of a job: without them its bar would stand still for
                ever, so they are repeated until the platform's answer is understood. They may
                come twice then, in the same words.
        """

        def attempt() -> Any:
            answer = self.client.call(self.caller, route, body, "report", MAX_JSON_BYTES, tries=1)
            try:
                return json.loads(answer.content)
            except (ValueError, RecursionError) as error:
                raise PlatformUnavailable("The platform's answer makes no sense.") from error

        try:
            return attempt() if until is None else Patience(self.patience_s, until).insist(attempt)
        except (AppError, Cancelled) as problem:
            logger.warning(
                "Progress could not be reported", extra={"route": route, "error": str(problem)}
            )
            return None


@dataclass(frozen=True)
class Timeline(_Platform):
    """The platform's video timeline, through `videos.notify-annotation-tool`."""

    def progress(self, progress: Progress) -> bool | None:
        """Report; the platform answers whether the user pressed stop."""
        answer = self._progress(progress)
        return answer.get("stopped") is True if isinstance(answer, dict) else None

    def finish(self, progress: Progress, hush: CancelToken) -> None:
        """Report that all is done."""
        self._progress(progress, hush)

    def warn(self, sentence: str) -> None:
        """Show a warning beside the timeline."""
        data = {"videoId": str(self.video_id), "trackId": str(self.track_id), "message": sentence}
        self._notify("videos:tracking-warning", data)

    def fail(self, sentence: str) -> None:
        """Show an error beside the timeline."""
        data = {"trackId": self.track_id, "error": {"message": sentence}}
        self._notify("videos:tracking-error", data, CancelToken())

    def _progress(self, progress: Progress, until: CancelToken | None = None) -> Any:
        data = {"trackId": self.track_id, "videoId": self.video_id} | progress.json()
        return self._notify("videos:fetch-figures-in-range", data, until)

    def _notify(self, kind: str, data: dict[str, Any], until: CancelToken | None = None) -> Any:
        return self._tell("videos.notify-annotation-tool", {"type": kind, "data": data}, until)


@dataclass(frozen=True)
class DirectMessages(_Platform):
    """One session of the labeling tool, through `annotation-tool.run-action`."""

    session_id: int | str

    def progress(self, progress: Progress) -> bool | None:
        """Report; nobody can say stop here."""
        return None if self._send(progress.json()) is None else False

    def finish(self, progress: Progress, hush: CancelToken) -> None:
        """Report that all is done."""
        self._send(progress.json(), hush)

    def warn(self, sentence: str) -> None:
        """Show a warning."""
        self._send({"type": "warning", "message": sentence})

    def fail(self, sentence: str) -> None:
        """Show an error."""
        self._send({"type": "error", "error": {"message": sentence}}, CancelToken())

    def _send(self, payload: dict[str, Any], until: CancelToken | None = None) -> Any:
        whose = {"trackId": self.track_id, "videoId": self.video_id}
        body = {
            "sessionId": self.session_id,
            "action": "figures/setDirectTrackingProgress",
            "payload": whose | payload,
        }
        return self._tell("annotation-tool.run-action", body, until)


class EventStream:
    """Server-sent events. The job reports on its thread, one client reads on the event loop.

    Never holds more than one event of a kind that replaces its predecessor, so a client that reads
    slowly costs nothing.
    """

    def __init__(
        self,
        video_id: int,
        track_id: int | str,
        session_id: int | str | None,
        started: dict[str, Any],
    ) -> None:
        """Take what every event repeats, and what the first one says."""
        self._video_id = video_id
        self._track_id = track_id
        self._session_id = session_id
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self._range: tuple[int, int] | None = None
        self._ended = False
        first = {"trackId": track_id, "action": "inference-started", "payload": started}
        self._waiting: OrderedDict[str, dict[str, Any]] = OrderedDict(started=first)

    def progress(self, progress: Progress) -> bool:
        """Send; an event that still waits is replaced, its frames are named again."""
        with self._lock:
            first, last = self._range or (progress.first, progress.last)
            self._range = min(first, progress.first), max(last, progress.last)
            whole = Progress(progress.current, progress.total, *self._range)
        self._send("progress", whole.json())
        return False

    def finish(self, progress: Progress, _: CancelToken) -> None:
        """Send that all is done."""
        self.progress(progress)

    def warn(self, sentence: str) -> None:
        """Send a warning."""
        self._send(f"warning {sentence}", {"type": "warning", "message": sentence})

    def fail(self, sentence: str) -> None:
        """Send an error."""
        self._send("error", {"type": "error", "error": {"message": sentence}})

    def end(self) -> None:
        """Close the stream after what waits."""
        with self._lock:
            self._ended = True
        self._wake()

    async def read(self) -> AsyncIterator[str]:
        """Yield events in the wire's form, until the end."""
        while True:
            with self._lock:
                events, ended = list(self._waiting.values()), self._ended
                self._waiting.clear()
                self._range = None
                self._changed.clear()
            for event in events:
                yield f"data: {json.dumps(event)}\n\n"
            if ended and not events:
                return
            if not events:
                await self._changed.wait()

    def _send(self, kind: str, payload: dict[str, Any]) -> None:
        whose = {"trackId": self._track_id, "videoId": self._video_id}
        event = {"sessionId": self._session_id, "action": "progress", "payload": whose | payload}
        with self._lock:
            self._waiting[kind] = event
        self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:
            logger.debug("The event loop is closed: nobody reads the events")
