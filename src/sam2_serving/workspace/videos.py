"""What the workspace keeps of its videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sam2_serving.videos import UnreadableVideo, VideoFacts, describe_video
from sam2_serving.workspace.pictures import UnreadableMedia

VIDEO_MIMES = {
    ".mp4": "video/mp4",
    ".avi": "video/x-msvideo",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}


def video_to_keep(file: Path) -> tuple[int, int, dict[str, Any]]:
    """Return width, height and the further facts of a video as the database keeps them.

    Raises:
        UnreadableMedia: no frame can be read.
    """
    try:
        facts = describe_video(file)
    except UnreadableVideo as error:
        raise UnreadableMedia(str(error)) from error
    kept = {
        "framesCount": facts.frames,
        "fps": facts.fps,
        "duration": facts.duration,
        "steady": facts.steady,
    }
    return facts.width, facts.height, kept


def kept_facts(width: int, height: int, kept: dict[str, Any]) -> VideoFacts:
    """Return what `video_to_keep` gave, as the frame reader takes it."""
    frames, fps = int(kept["framesCount"]), float(kept["fps"])
    return VideoFacts(width, height, frames, fps, float(kept["duration"]), bool(kept["steady"]))
