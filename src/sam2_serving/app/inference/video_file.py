"""Frames of a video that came with a request, for as long as its job runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np
import numpy.typing as npt

from sam2_serving.app.inference.named import Picture
from sam2_serving.app.inference.predictions import Origin
from sam2_serving.app.inference.requests import FramesState
from sam2_serving.app.inference.video import VideoFacts, wanted_frames
from sam2_serving.app.media import Media
from sam2_serving.app.reporting import MediaTooLarge, UnreadableMedia
from sam2_serving.engine import ImageKey, ImageSource
from sam2_serving.videos import FrameReader, UnreadableVideo, describe_video
from sam2_serving.videos import VideoFacts as FileFacts


class BroughtVideo:
    """A video's file, copied; `close` removes the copy."""

    def __init__(self, folder: Path, name: str | None, content: BinaryIO, max_pixels: int) -> None:
        """Copy a file.

        Args:
            folder: where copies lie; it is made if it is missing.
            name: what the client calls it; only told back.
            content: is read from its beginning.
            max_pixels: of a frame.
        """
        self.name = name
        self._max_pixels = max_pixels
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._reader = FrameReader()
        try:
            with self._path.open("wb") as copy:
                content.seek(0)
                shutil.copyfileobj(content, copy)
        except BaseException:
            self.close()
            raise

    @property
    def _path(self) -> Path:
        return self._folder / "video"

    def close(self) -> None:
        """Remove the copy."""
        self._reader.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def frames(self, state: FramesState) -> Sequence[Picture]:
        """Read the video through, and return the wanted frames.

        Raises:
            UnreadableMedia: it is no video.
            MediaTooLarge: its frames are too large.
            BadRequest: it has no such frames.
        """
        try:
            facts = describe_video(self._path)
        except UnreadableVideo as error:
            raise UnreadableMedia(f"The file cannot be read as a video: {error}.") from error
        if facts.width * facts.height > self._max_pixels:
            raise MediaTooLarge(
                f"The video's frames have {facts.width} x {facts.height} pixels; at most "
                f"{self._max_pixels} are allowed (server setting SAM2_SERVING_MAX_IMAGE_PIXELS)."
            )
        known = VideoFacts(0, self.name, None, None, facts.frames, facts.duration)

        wanted = wanted_frames(state, known)
        return _Frames(wanted, lambda index: self._frame(facts, index))

    def _frame(self, facts: FileFacts, index: int) -> Picture:
        """Decode a frame at once: whoever asks for frames in order gets them without a seek."""
        found: npt.NDArray[np.uint8] | UnreadableMedia
        try:
            found = self._reader.read(self._path, facts, index)
        except UnreadableVideo:
            found = UnreadableMedia("It cannot be decoded.")

        def open_frame() -> tuple[Media, Origin]:
            if isinstance(found, UnreadableMedia):
                raise found
            # no other request has this video: what is kept of its frames is found by none
            key = ImageKey("video file", "", self._folder.name, str(index))
            size = facts.width, facts.height
            media = Media(ImageSource(key, lambda: found), size, lambda: size)
            return media, Origin(self.name, frame_index=index)

        return Picture(f"frame {index}", open_frame)


class _Frames(Sequence[Picture]):
    """Frames that are decoded when they are taken, not before: no more of them are in memory."""

    def __init__(self, indices: range, decode: Callable[[int], Picture]) -> None:
        self._indices = indices
        self._decode = decode

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, place: int) -> Picture: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Picture]: ...
    def __getitem__(self, place: int | slice) -> Picture | Sequence[Picture]:
        """Decode the frame at a place."""
        if isinstance(place, slice):
            return _Frames(self._indices[place], self._decode)
        return self._decode(self._indices[place])
