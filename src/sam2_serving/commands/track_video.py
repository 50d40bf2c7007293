"""What the command `track` does: one object through a video file, to masks or to an overlay video.

Masks are collected in a hidden folder beside the result (in it, where a folder is given), and get
their names when all are there: a run that is stopped or fails leaves nothing behind.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from sam2_serving.commands.errors import UsageError
from sam2_serving.engine import (
    Engine,
    Keyframe,
    ObjectOnFrame,
    ObjectToTrack,
    Tracking,
    TrackingRequest,
)
from sam2_serving.masks import draw_overlay
from sam2_serving.model import Prompts
from sam2_serving.videos import Frame, FrameReader, UnreadableVideo, VideoFacts, describe_video

Mask = npt.NDArray[np.bool_]

LOST = "lost"
MOST_SPANS = 10
"""Of one kind that are told; a long video may have hundreds."""
_READ_BACKWARD_BYTES = 128 * 2**20
_READ_BACKWARD_FRAMES = 64
_OTHER_FILES = {".avi", ".gif", ".jpg", ".jpeg", ".mkv", ".mov", ".png", ".webm", ".zip"}
_OBJECT = 0


@dataclass(frozen=True)
class VideoFile:
    """The frames of a video file. Implements the engine's `Frames`."""

    file: Path
    facts: VideoFacts
    reader: FrameReader

    @classmethod
    def open(cls, file: Path) -> VideoFile:
        """Read the file through once.

        Raises:
            UsageError: it is no video.
        """
        if not file.is_file():
            raise UsageError(f"There is no file {str(file)!r}.")
        try:
            return cls(file, describe_video(file), FrameReader())
        except UnreadableVideo as error:
            raise UsageError(f"{str(file)!r} cannot be read: {error}.") from error

    def frame(self, index: int) -> Frame:
        """Read one frame."""
        return self.reader.read(self.file, self.facts, index)

    def run(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Read frames in this order. A file is read forward: going back, some at once."""
        step = 1
        if len(indices) > 1 and indices[1] < indices[0]:
            room = _READ_BACKWARD_BYTES // (3 * self.facts.width * self.facts.height)
            step = max(1, min(_READ_BACKWARD_FRAMES, room))
        for first in range(0, len(indices), step):
            some = {index: self.frame(index) for index in sorted(indices[first : first + step])}
            for index in indices[first : first + step]:
                yield some.pop(index)


@dataclass
class Followed:
    """What became of an object.

    Attributes:
        states: for each frame after the start, in the order of the frames: LOST, the reason why
            it is doubtful, or None if all is well.
    """

    start: int
    states: dict[int, str | None] = field(default_factory=dict)

    def see(self, frame: int, one: ObjectOnFrame) -> None:
        """Note the next frame."""
        self.states[frame] = LOST if one.lost else one.doubt.value if one.doubt else None

    def sentences(self) -> list[str]:
        """Say where the object was lost, and which frames a person should look at."""
        lost = self._spans(LOST)
        said = [f"The object was lost on frames {lost}." if lost else "The object was never lost."]
        for reason in sorted({state for state in self.states.values() if state} - {LOST}):
            said.append(f"Look at frames {self._spans(reason)}: {reason}.")
        return said

    def _spans(self, state: str) -> str:
        """Write the frames of a state as "3, 7 to 12"."""
        frames = sorted(frame for frame, one in self.states.items() if one == state)
        runs = [
            [frame for _, frame in together]
            for _, together in groupby(enumerate(frames), lambda pair: pair[1] - pair[0])
        ]
        words = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
        more = len(words) - MOST_SPANS
        return ", ".join(words[:MOST_SPANS]) + (f" and {more} more" if more > 0 else "")


def frames_to_track(count: int, start: int, frames: int | None, backward: bool) -> range:
    """Return the frames after the start in the order of tracking, cut to the video.

    Args:
        count: frames of the video.
        start: the frame that is prompted.
        frames: how many are wanted; None: all.
        backward: towards the first frame.

    Raises:
        UsageError: there is no such start, or nothing to track.
    """
    if not 0 <= start < count:
        raise UsageError(f"There is no frame {start}: the video's frames are 0 to {count - 1}.")
    if frames is not None and frames < 1:
        raise UsageError(f"--frames is {frames}: at least one frame must be tracked.")
    there = start if backward else count - 1 - start
    wanted = there if frames is None else min(frames, there)
    if not wanted:
        end = "first" if backward else "last"
        raise UsageError(f"Frame {start} is the video's {end} one: no frame follows to track on.")
    return (
        range(start - 1, start - wanted - 1, -1)
        if backward
        else range(start + 1, start + wanted + 1)
    )


def check_output(out: Path, video: Path) -> None:
    """Refuse a result that cannot be written, before any work is done.

    Raises:
        UsageError: it is neither an .mp4 nor a folder, or something else is there already.
    """
    if not out.parent.is_dir():
        raise UsageError(f"There is no folder {str(out.parent)!r} to write to.")
    if out.exists() and out.samefile(video):
        raise UsageError("--out is the video itself: name another file.")
    if writes_video(out):
        if out.is_dir():
            raise UsageError(f"{str(out)!r} is a folder: name an .mp4 file, or another folder.")
    elif out.suffix.lower() in _OTHER_FILES:
        raise UsageError(f"--out is an .mp4 file or a folder of masks; {out.name!r} is neither.")
    elif out.exists() and not out.is_dir():
        raise UsageError(f"{str(out)!r} is a file: name a folder for the masks.")
    elif out.exists() and any(out.iterdir()):
        raise UsageError(f"The folder {str(out)!r} is not empty: name another one.")


def writes_video(out: Path) -> bool:
    """Tell whether the result is an overlay video; else it is a folder of masks."""
    return out.suffix.lower() == ".mp4"


def track_file(
    engine: Engine, video: VideoFile, start: int, indices: range, prompts: Prompts, out: Path
) -> Followed:
    """Track one object and write the result.

    Args:
        engine: with the model.
        video: of which frames.
        start: the frame of the prompts.
        indices: the frames that follow, in the order of tracking.
        prompts: a mask, a box or clicks.
        out: an .mp4 file, which is replaced, or a folder that is not there or empty.

    Raises:
        UsageError: a frame cannot be read, or the result cannot be written.
    """
    request = TrackingRequest(
        str(video.file),
        start,
        indices[-1],
        [ObjectToTrack(_OBJECT, Keyframe("command", lambda: prompts))],
        video.facts.frames,
    )
    try:
        # A folder that is there may be a link or lie on another disk: it cannot be replaced.
        place = out if out.is_dir() else out.parent
        with _ended_by_signal(), TemporaryDirectory(prefix=f".{out.name}-", dir=place) as hidden:
            masks = Path(hidden) / "masks"
            masks.mkdir()
            followed = _follow(engine.track(request, video), request, masks)
            whole = masks
            if writes_video(out):
                whole = Path(hidden) / "overlay.mp4"
                _draw(video, sorted((start, *indices)), masks, whole)
            if out.is_dir():
                for file in sorted(whole.iterdir()):
                    file.replace(out / file.name)
            else:
                whole.replace(out)
    except UnreadableVideo as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"The result cannot be written: {error}.") from error
    return followed


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let SIGTERM end the program as an exception, so that what is half written is removed."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _follow(tracking: Tracking, request: TrackingRequest, folder: Path) -> Followed:
    """Write the masks of the start frame and of all that follow; empty where it is lost."""
    followed = Followed(request.start)
    bar = tqdm(desc="tracking", total=len(request.indices), unit="frame", disable=None)
    with bar, closing(iter(tracking)) as found:
        for frame in found:
            if not followed.states:
                _save(folder, request.start, tracking.start_masks[_OBJECT])
            one = frame.objects[_OBJECT]
            _save(folder, frame.index, np.zeros_like(one.mask) if one.lost else one.mask)
            followed.see(frame.index, one)
            bar.update(1)
    return followed


def _draw(video: VideoFile, indices: Sequence[int], masks: Path, file: Path) -> None:
    """Write the frames with their masks over them, in the order of time."""
    size = (video.facts.width, video.facts.height)
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, code, video.facts.fps, size)
    try:
        if not writer.isOpened():
            raise UsageError(f"This OpenCV cannot write an .mp4 video of {size[0]} x {size[1]}.")
        bar = tqdm(indices, desc="drawing", unit="frame", disable=None)
        for index, frame in zip(bar, video.run(indices), strict=True):
            with Image.open(_name(masks, index)) as image:
                mask = np.asarray(image) > 0
            writer.write(cv2.cvtColor(draw_overlay(frame, mask), cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
    # The writer says nothing when, for instance, the disk is full.
    written = cv2.VideoCapture(str(file))
    count = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
    written.release()
    if count != len(indices):
        raise OSError(f"only {count} of {len(indices)} frames arrived in the video")


def _save(folder: Path, frame: int, mask: Mask) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(_name(folder, frame))


def _name(folder: Path, frame: int) -> Path:
    return folder / f"{frame:06d}.png"
