"""Whole videos on disk, fetched in the background while a job takes single frames.

A local file answers only where it is known to give the very pixels that the platform gives: the
numbers of frames agree, and a frame that came from the platform equals the file's. Otherwise
masks would depend on how fast the download was.
"""

from __future__ import annotations

import contextvars
import shutil
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from supervisely.sly_logger import logger

from sam2_serving.videos import FrameReader, UnreadableVideo, VideoFacts, describe_video

Frame = npt.NDArray[np.uint8]
State = Literal["coming", "here", "proven", "useless"]

DOWNLOADS_AT_ONCE = 2


@dataclass(frozen=True)
class VideoKey:
    """Names a video's bytes."""

    server: str
    video_id: int
    version: str


@dataclass
class _File:
    path: Path
    frames: int
    state: State = "coming"
    facts: VideoFacts | None = None
    nbytes: int = 0


class VideoFiles:
    """Files of videos under a budget of bytes; the one unused for longest goes first. Thread-safe.

    Who may see a video is checked before anyone comes here.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Use a folder; whatever an earlier run left in it is removed.

        Args:
            folder: of this class alone.
            max_bytes: of all files together.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._files: OrderedDict[VideoKey, _File] = OrderedDict()
        self._reader = FrameReader()
        self._slots = threading.Semaphore(DOWNLOADS_AT_ONCE)

    def want(
        self, key: VideoKey, frames: int, size: int, stream: Callable[[], Iterator[bytes]]
    ) -> None:
        """Start to fetch a video, unless it is here or on its way.

        Args:
            key: of the video.
            frames: it has, as the platform says.
            size: of its file, as the platform says, bytes.
            stream: yields the file's bytes; called on another thread.
        """
        with self._lock:
            if key in self._files or size > self._max_bytes:
                return
            file = self._files[key] = _File(self._folder / uuid.uuid4().hex, frames)
        # No pool: its threads would keep a process that is to end until the download is over.
        # With the request's context: its token is kept out of the log of that thread too.
        run, args = contextvars.copy_context().run, (self._fetch, key, file, size, stream)
        threading.Thread(target=run, args=args, name="video-download", daemon=True).start()

    def has(self, key: VideoKey) -> bool:
        """Tell whether frames can be read here."""
        return self._get(key, "proven") is not None

    def frame(self, key: VideoKey, index: int) -> Frame | None:
        """Return a frame (uint8 HxWx3, RGB) if the file is proven to have it, else None."""
        file = self._get(key, "proven")
        return None if file is None else self._read(file, index)

    def prove(self, key: VideoKey, index: int, frame: Frame) -> None:
        """Compare a frame that the platform gave with the file's, if that is here by now."""
        file = self._get(key, "here")
        if file is None:
            return
        same = self._read(file, index)
        if same is not None:
            self._set(file, "proven" if np.array_equal(same, frame) else "useless")

    def close(self) -> None:
        """Remove all files."""
        self._reader.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _get(self, key: VideoKey, state: State) -> _File | None:
        with self._lock:
            file = self._files.get(key)
            if file is None or file.state != state:
                return None
            self._files.move_to_end(key)
            return file

    def _set(self, file: _File, state: State) -> None:
        with self._lock:
            file.state = state

    def _read(self, file: _File, index: int) -> Frame | None:
        assert file.facts is not None
        try:
            return self._reader.read(file.path, file.facts, index)
        except (IndexError, OSError, UnreadableVideo):
            self._set(file, "useless")
            return None

    def _fetch(
        self, key: VideoKey, file: _File, size: int, stream: Callable[[], Iterator[bytes]]
    ) -> None:
        try:
            with self._slots, file.path.open("wb") as out:
                for chunk in stream():
                    file.nbytes += len(chunk)
                    if file.nbytes > max(size, 1):
                        raise ValueError("the file is larger than the platform says")
                    out.write(chunk)
            if file.nbytes < size:
                raise ValueError("the file is cut")
            file.facts = describe_video(file.path)
            fits = file.facts.frames == file.frames
            self._set(file, "here" if fits else "useless")
        except Exception as error:
            logger.warning("A video is not kept: its frames are fetched one by one", exc_info=error)
            self._forget(key, file)
        else:
            self._make_room()

    def _make_room(self) -> None:
        with self._lock:
            held = [file.nbytes for file in self._files.values()]
            gone = []
            while sum(held) > self._max_bytes and len(held) > 1:
                held.pop(0)
                gone.append(self._files.popitem(last=False)[1])
        for file in gone:
            file.path.unlink(missing_ok=True)

    def _forget(self, key: VideoKey, file: _File) -> None:
        """Drop a file; the next job may try again."""
        with self._lock:
            if self._files.get(key) is file:  # it may have been dropped, and wanted again
                del self._files[key]
        file.path.unlink(missing_ok=True)
