"""A video of the platform as a tracking job sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sam2_serving.app.file_frames import FrameLimits
from sam2_serving.app.patience import Patience
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.platform.video import VideoFigures
from sam2_serving.app.reporting import PlatformUnavailable
from sam2_serving.app.video_files import VideoFiles, VideoKey
from sam2_serving.app.video_frames import VideoFrames
from sam2_serving.engine import Cancelled, CancelToken
from sam2_serving.images import UnreadableImage, decode_image

Frame = npt.NDArray[np.uint8]

_LOOKED_AT = 4096
"""Bytes at a picture's end that may hold its end mark: some writers add a little after it."""
_WORTH_FETCHING_WHOLE = 64 * 2**20
_BYTES_A_FRAME = 2 * 2**20
"""A whole video is fetched if it is small, or no larger than this for each frame wanted."""


@dataclass(frozen=True)
class Video:
    """What the platform says about a video that the caller may see.

    Attributes:
        count: of its frames, or None if the platform does not count them.
        size: of its file in bytes, or None.
    """

    caller: Caller
    id: int
    dataset_id: int
    project_id: int | None
    version: str
    count: int | None
    size: int | None

    @classmethod
    def ask(cls, client: PlatformClient, caller: Caller, video_id: int) -> Video:
        """Ask the platform with the caller's token: the permission check of every job.

        Raises:
            AppError: see `PlatformClient.video_info`.
        """
        info = client.video_info(caller, video_id)
        meta = info.get("fileMeta")
        meta = meta if isinstance(meta, dict) else {}
        dataset = _whole(info.get("datasetId"))
        if dataset is None:
            raise PlatformUnavailable(f"The platform does not say where video {video_id} is.")
        version = str(info.get("hash") or f"updated {info.get('updatedAt')}")
        count, size = _whole(meta.get("framesCount")), _whole(meta.get("size"))
        project = _whole(info.get("projectId"))
        return cls(caller, video_id, dataset, project, version, count, size)

    @property
    def key(self) -> VideoKey:
        """Names its bytes."""
        return VideoKey(self.caller.server, self.id, self.version)

    def figures(self, client: PlatformClient) -> VideoFigures:
        """Return its figures as the caller may see them."""
        return VideoFigures(client, self.caller, self.id, self.dataset_id)


class VideoPixels:
    """Opens the frames of a video for a job."""

    def __init__(
        self, client: PlatformClient, files: VideoFiles, limits: FrameLimits, max_video_bytes: int
    ) -> None:
        self._client = client
        self._files = files
        self.limits = limits
        self._max_video_bytes = max_video_bytes

    def open(self, video: Video, start: int, wanted: int, patience: Patience) -> VideoFrames:
        """Fetch the start frame; in the background, the whole video if that is worth it.

        Args:
            video: whose frames.
            start: the frame with the figures.
            wanted: frames that follow.
            patience: with the platform.
        """
        worth = max(_WORTH_FETCHING_WHOLE, wanted * _BYTES_A_FRAME)
        if video.count and video.size and video.size <= min(worth, self._max_video_bytes):
            self._files.want(video.key, video.count, video.size, lambda: self._stream(video))

        closed = CancelToken()

        def fetch(index: int) -> Frame:
            def once() -> Frame:
                if closed.cancelled:
                    raise Cancelled("The job has ended.")
                return self._frame(video, index)

            frame = patience.insist(once)
            self._files.prove(video.key, index, frame)
            return frame

        def local(index: int) -> Frame | None:
            return self._files.frame(video.key, index)

        here = local(start)
        first = fetch(start) if here is None else here
        is_local = partial(self._files.has, video.key)
        return VideoFrames(fetch, local, is_local, (start, first), closed)

    def _frame(self, video: Video, index: int) -> Frame:
        """Fetch a frame; raises PlatformUnavailable also for what is no whole picture."""
        file = self._client.frame_bytes(video.caller, video.id, index, self.limits.bytes)
        try:
            if not is_whole(file):
                raise UnreadableImage("The file is cut.")
            return decode_image(file, self.limits.pixels)
        except UnreadableImage as error:
            raise PlatformUnavailable(
                f"What the platform sends as frame {index} of video {video.id} is no picture, or "
                "a damaged one."
            ) from error

    def _stream(self, video: Video) -> Iterator[bytes]:
        what = f"video {video.id}"
        return self._client.stream(video.caller, "videos.download", {"id": video.id}, what)


def is_whole(file: bytes) -> bool:
    """Tell whether a PNG or JPEG has its end: decoders fill up what is missing without a word."""
    if file.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND\xaeB`\x82" in file[-_LOOKED_AT:]
    if file.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in file[-_LOOKED_AT:]
    return True


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and value > 0 else None
