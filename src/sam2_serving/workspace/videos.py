"""Videos: what is in them, and single frames by their exact index."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sam2_serving.workspace.pictures import UnreadableMedia

VIDEO_MIMES = {
    ".mp4": "video/mp4",
    ".avi": "video/x-msvideo",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}

_KEPT_OPEN = 4
_WALK_RATHER_THAN_SEEK = 32
"""So many frames ahead are reached by reading on: a seek would go back to a key frame."""

Frame = npt.NDArray[np.uint8]


def describe_video(file: Path) -> tuple[int, int, dict[str, Any]]:
    """Read a video through, once.

    Returns:
        Width and height of the frames as they are decoded (turned upright), and what else is
        known: `framesCount` (decoded, not what the header claims), `fps`, `duration` in seconds,
        and `steady`: whether frame k stands at k / fps seconds, so that it can be sought by time.

    Raises:
        UnreadableMedia: no frame can be read.
    """
    capture = cv2.VideoCapture(str(file))
    try:
        if not capture.isOpened() or not capture.grab():
            raise UnreadableMedia("not a readable video")
        shown, frame = capture.retrieve()
        if not shown:
            raise UnreadableMedia("its first frame cannot be decoded")
        fps = float(capture.get(cv2.CAP_PROP_FPS)) or 25.0
        count, last, steady = 1, 0.0, True
        while capture.grab():
            last = float(capture.get(cv2.CAP_PROP_POS_MSEC))
            steady = steady and round(last * fps / 1000.0) == count
            count += 1
    finally:
        capture.release()
    duration = count / fps if steady else last / 1000.0 + 1.0 / fps
    facts = {"framesCount": count, "fps": fps, "duration": duration, "steady": steady}
    return frame.shape[1], frame.shape[0], facts


class FrameReader:
    """Reads frames; keeps the last few videos open. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, int], _OpenVideo] = OrderedDict()

    def read(self, file: Path, facts: dict[str, Any], index: int) -> Frame:
        """Return a frame as RGB.

        Args:
            file: the video.
            facts: what `describe_video` said of it.
            index: counted from 0, in the order of decoding from the start.

        Raises:
            IndexError: there is no such frame.
            UnreadableMedia: the frame cannot be decoded (any more).
        """
        if not 0 <= index < int(facts["framesCount"]):
            raise IndexError(index)
        return self._video(file, facts).read(index)

    def close(self) -> None:
        """Close all videos."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _video(self, file: Path, facts: dict[str, Any]) -> _OpenVideo:
        key = (str(file), file.stat().st_mtime_ns)
        with self._lock:
            if key not in self._open:
                self._open[key] = _OpenVideo(file, float(facts["fps"]), bool(facts["steady"]))
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
                raise UnreadableMedia(f"Frame {index} of {self._file.name} cannot be read.")
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
            raise UnreadableMedia(f"Frame {index} of {self._file.name} cannot be decoded.")
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
