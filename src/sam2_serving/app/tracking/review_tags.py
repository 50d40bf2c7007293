"""Tag the frames of a video that a person should look at, if the project has a tag for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from supervisely.sly_logger import logger

from sam2_serving.app.platform.api import MAX_JSON_BYTES, PlatformClient
from sam2_serving.app.reporting import AppError
from sam2_serving.app.tracking.results import Span
from sam2_serving.app.video_source import Video

MOST_TAGS = 100


@dataclass(frozen=True)
class ReviewTags:
    """Adds the tag of one name to ranges of frames; never makes a tag of its own."""

    client: PlatformClient
    video: Video
    name: str

    def mark(self, spans: Sequence[Span]) -> None:
        """Tag each span once. What fails is only logged: the figures are stored."""
        if not spans or not self.name or self.video.project_id is None:
            return
        try:
            tag_id = self._tag_id()
            if tag_id is not None:
                for first, last in sorted({tuple(sorted((s.first, s.last))) for s in spans})[
                    :MOST_TAGS
                ]:
                    self._add(tag_id, first, last)
        except (AppError, ValueError, KeyError, TypeError) as problem:
            logger.warning("Frames were not tagged for review", extra={"error": str(problem)})

    def _tag_id(self) -> int | None:
        body = {"id": self.video.project_id}
        answer = self.client.call(
            self.video.caller, "projects.meta", body, "project", MAX_JSON_BYTES
        )
        for tag in json.loads(answer.content)["tags"]:
            if tag["name"] == self.name:
                return int(tag["id"])
        return None

    def _add(self, tag_id: int, first: int, last: int) -> None:
        body = {"tagId": tag_id, "videoId": self.video.id, "frameRange": [first, last]}
        self.client.call(self.video.caller, "videos.tags.add", body, "tag", MAX_JSON_BYTES, tries=1)
