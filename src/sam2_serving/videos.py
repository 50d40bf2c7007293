"""From a video file to what is in it, and to single frames by their exact index.

Frame k is the k-th frame that is decoded from the start, whatever the file's header says: it is the
frame that the platform and every tool that reads the video through mean by k.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

_KEPT_OPEN = 4
_WALK_RATHER_THAN_SEEK = 32
"""So many frames ahead are reached by reading on: a seek would go back to a key frame."""

Frame = npt.NDArray[np.uint8]


class UnreadableVideo(ValueError):
    """No video, or a frame of it that cannot be decoded."""


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video after it was read through.

    Attributes:
        width: of the frames as they are decoded (turned upright), pixels.
        height: as `width`.
        frames: how many were decoded, not what the header claims.
        fps: frames a second.
        duration: seconds.
        steady: frame k stands at k / fps seconds, so that it can be sought by time.
    """

    width: int
    height: int
    frames: int
    fps: float
    duration: float
    steady: bool


def describe_video(file: Path) -> VideoFacts:
    """Read a video through, once.

    Raises:
        UnreadableVideo: no frame can be read.
    """
    capture = cv2.VideoCapture(str(file))
    try:
        if not capture.isOpened() or not capture.grab():
            raise UnreadableVideo("not a readable video")
        shown, frame = capture.retrieve()
        if not shown:
            raise UnreadableVideo("its first frame cannot be decoded")
        fps = float(capture.get(cv2.CAP_PROP_FPS)) or 25.0
        count, last, steady = 1, 0.0, True
        while capture.grab():
            last = float(capture.get(cv2.CAP_PROP_POS_MSEC))
            steady = steady and round(last * fps / 1000.0) == count
            count += 1
    finally:
        capture.release()
    duration = count / fps if steady else last / 1000.0 + 1.0 / fps
    return VideoFacts(frame.shape[1], frame.shape[0], count, fps, duration, steady)


class FrameReader:
    """Reads frames; keeps the last few videos open. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, int], _OpenVideo] = OrderedDict()

    def read(self, file: Path, facts: VideoFacts, index: int) -> Frame:
        """Return a frame.

        Args:
            file: the video.
            facts: what `describe_video` said of it.
            index: counted from 0, in the order of decoding from the start.

        Returns:
            uint8 HxWx3, RGB; the reader may give it to others too, so it is not to be written into.

        Raises:
            IndexError: there is no such frame.
            UnreadableVideo: the frame cannot be decoded (any more).
        """
        if not 0 <= index < facts.frames:
            raise IndexError(index)
        return self._video(file, facts).read(index)

    def close(self) -> None:
        """Close all videos."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _video(self, file: Path, facts: VideoFacts) -> _OpenVideo:
        key = (str(file), file.stat().st_mtime_ns)
        with self._lock:
            if key not in self._open:
                self._open[key] = _OpenVideo(file, facts.fps, facts.steady)
            self._open.move_to_end(key)
            video = self._open[key]
            gone = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - _KEPT_OPEN)]
        for one in gone:
            one.close()
        return video


class _OpenVideo:
    """One video and where its reader stands."""

    def __init__(self, file: Path, fps: float, steady: bool) -> None:
        self._file = file
        self._fps = fps
        self._steady = steady
        self._lock = threading.Lock()
        self._capture: cv2.VideoCapture | None = None
        self._at = -1
        """Index of the frame that was grabbed last."""
        self._frame: Frame | None = None

    def read(self, index: int) -> Frame:
        with self._lock:
            if index != self._at or self._frame is None:
                self._frame = None
                self._go_to(index)
                self._frame = self._decoded(index)
            return self._frame

    def close(self) -> None:
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
        self._capture, self._at, self._frame = None, -1, None

    def _go_to(self, index: int) -> None:
        near = self._capture is not None and 0 < index - self._at <= _WALK_RATHER_THAN_SEEK
        if not near and self._steady and index > _WALK_RATHER_THAN_SEEK and self._sought(index):
            return
        if self._capture is None or index <= self._at:
            self._release()
            self._capture = cv2.VideoCapture(str(self._file))
        while self._at < index:
            if not self._capture.grab():
                self._release()
                raise UnreadableVideo(f"Frame {index} of {self._file.name} cannot be read.")
            self._at += 1

    def _sought(self, index: int) -> bool:
        """Seek, and believe it only if the frame's own time says that it is the right one."""
        if self._capture is None:
            self._capture = cv2.VideoCapture(str(self._file))
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        if self._capture.grab():
            time_ms = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
            if round(time_ms * self._fps / 1000.0) == index:
                self._at = index
                return True
        self._release()
        return False

    def _decoded(self, index: int) -> Frame:
        assert self._capture is not None
        shown, frame = self._capture.retrieve()
        if not shown:
            self._release()
            raise UnreadableVideo(f"Frame {index} of {self._file.name} cannot be decoded.")
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
