"""The frames of one video for one tracking job, fetched ahead and kept no longer than needed."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from sam2_serving.engine import CancelToken

Frame = npt.NDArray[np.uint8]

FETCHED_AT_ONCE = 4
BUFFER_BYTES = 256 * 2**20
MOST_AHEAD = 8


class VideoFrames:
    """Frames by their index, one or in a run. Implements the engine's `Frames`."""

    def __init__(
        self,
        fetch: Callable[[int], Frame],
        local: Callable[[int], Frame | None],
        is_local: Callable[[], bool],
        first: tuple[int, Frame],
        closed: CancelToken,
    ) -> None:
        """Take where frames come from.

        Args:
            fetch: gets a frame from the platform.
            local: reads a frame from the disk, if it is there.
            is_local: tells whether frames are there.
            first: a frame that is here already, with its index. As many frames of its size are
                fetched ahead as fit `BUFFER_BYTES`.
            closed: is cancelled when no more frames are wanted.
        """
        self._closed = closed
        self._fetch = fetch
        self._local = local
        self._is_local = is_local
        self._last = first
        self._ahead = max(1, min(MOST_AHEAD, BUFFER_BYTES // max(first[1].nbytes, 1)))
        self._slots = threading.Semaphore(FETCHED_AT_ONCE)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames in pixels."""
        height, width = self._last[1].shape[:2]
        return width, height

    def frame(self, index: int) -> Frame:
        """Return one frame, uint8 HxWx3, RGB; raises what `fetch` raises. The last one is kept."""
        last, kept = self._last
        if last == index:
            return kept
        here = self._local(index)
        frame = self._fetch(index) if here is None else here
        self._last = index, frame
        return frame

    def run(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Yield frames in this order; at most `MOST_AHEAD` are fetched before their turn."""
        rest, coming = deque(indices), deque[Future[Frame]]()
        try:
            while rest or coming:
                # A file is read in order, when it is a frame's turn: jumping about in it is slow.
                while rest and len(coming) < self._ahead and not self._is_local():
                    coming.append(self._fetch_ahead(rest.popleft()))
                yield coming.popleft().result() if coming else self.frame(rest.popleft())
        finally:
            for future in coming:
                future.cancel()

    def close(self) -> None:
        """Stop fetching; a call that is under way ends by itself and is not repeated."""
        self._closed.cancel()

    def _fetch_ahead(self, index: int) -> Future[Frame]:
        """Fetch on a thread of its own: those of a pool keep a process from ending."""
        future: Future[Frame] = Future()

        def work() -> None:
            with self._slots:
                if not future.set_running_or_notify_cancel():
                    return
                try:
                    future.set_result(self._fetch(index))
                except BaseException as error:  # told to whoever waits for the frame
                    future.set_exception(error)

        # with the request's context: its token is kept out of the log of that thread too
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(work,), name=f"frame-{index}", daemon=True).start()
        return future
