"""A day on which the platform fails: a clip with objects, jobs, and what came of them."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import supervisely as sly
from live import OWNER_TOKEN, RunningApp
from timeline import KINDS, geometry_of, separate_cells

from sam2_serving.scenes import Clip, draw_clip
from sam2_serving.workspace.context import Workspace

# Settings of the app: there are two modules called conftest, so they stand here.
TIMEOUT_S, PATIENCE_S = 0.7, 4.0
MOST_JOBS = 3
FRAMES = 101
SIZE = (160, 120)
"""That of the contract tests' clip, whose helpers draw on it."""

Cell = tuple[int, int]
"""(frame, object id)"""


@cache
def draw_long_clip() -> Clip:
    """A clip whose three largest objects show on every frame."""
    return draw_clip(21, frames=FRAMES, size=SIZE)


@cache
def followed(frame: int) -> list[int]:
    """The three objects that are largest on a frame."""
    areas = draw_long_clip().masks[frame].sum((1, 2))
    return [int(one) for one in np.argsort(-areas)[:3]]


@dataclass
class Day:
    """Tracks on the clip, with objects that no other test has."""

    address: str
    workspace: Workspace
    app: RunningApp
    class_id: int = field(init=False)
    object_ids: list[int] = field(init=False)
    video: int = field(init=False)
    dataset: int = field(init=False)

    def __post_init__(self) -> None:
        self.fine()
        api = self.api()
        project = api.project.get_list(1)[0].id
        meta = sly.ProjectMeta.from_json(api.project.get_meta(project))
        if meta.get_obj_class("followed") is None:
            meta = meta.add_obj_class(sly.ObjClass("followed", sly.AnyGeometry))
            meta = api.project.update_meta(project, meta.to_json())
        self.class_id = meta.get_obj_class("followed").sly_id
        self.dataset = api.dataset.get_list(project)[0].id
        self.video = api.video.get_list(self.dataset)[0].id
        ids = sly.KeyIdMap()
        objects = [sly.VideoObject(meta.get_obj_class("followed")) for _ in KINDS]
        api.video.object.append_bulk(self.video, sly.VideoObjectCollection(objects), ids)
        self.object_ids = [ids.get_object_id(one.key()) for one in objects]

    # The platform

    def api(self) -> sly.Api:
        return sly.Api(self.address, OWNER_TOKEN)

    def fails(self, **plan: Any) -> None:
        """Let calls fail from now on."""
        body = {"hang_s": 0.9, "slow_s": 0.15, "share": 1.0, **plan}
        httpx.put(f"{self.address}/workspace/faults", json=body).raise_for_status()

    def fine(self) -> Counter[str]:
        """Let no call fail; returns how many did, by way."""
        answer = httpx.delete(f"{self.address}/workspace/faults").raise_for_status().json()
        return Counter(answer["counts"])

    def draw(self, frame: int, places: Iterable[int] = (0, 1, 2), **extra: Any) -> list[int]:
        """Store figures as a person makes them; returns their ids."""
        figures = [
            {
                "objectId": self.object_ids[place],
                "geometryType": KINDS[place],
                "geometry": self.geometry(frame, place),
                "meta": {"frame": frame},
                **extra,
            }
            for place in places
        ]
        body = {"entityId": self.video, "figures": figures}
        return [one["id"] for one in self.api().post("figures.bulk.add", body).json()]

    def geometry(self, frame: int, place: int) -> dict[str, Any]:
        return geometry_of(draw_long_clip().masks[frame, followed(0)[place]], KINDS[place])

    def figures(self) -> list[dict[str, Any]]:
        """All figures of the objects, as the platform gives them raw."""
        body = {
            "datasetId": self.dataset,
            "filter": [
                {"field": "entityId", "operator": "in", "value": [self.video]},
                {"field": "objectId", "operator": "in", "value": self.object_ids},
            ],
            "fields": ["id", "objectId", "geometryType", "geometry", "meta", "nnUpdated"],
        }
        found: list[dict[str, Any]] = []
        page, pages = 1, 1
        while page <= pages:
            answer = self.api().post("figures.list", {**body, "page": page}).json()
            found += answer["entities"]
            page, pages = page + 1, answer["pagesCount"]
        return found

    def cells(self) -> set[Cell]:
        """What has a figure; several on one cell must be parts that lie beside each other."""
        return separate_cells(self.figures())

    # The app

    def envelope(self, context: dict[str, Any]) -> dict[str, Any]:
        return {
            "context": context,
            "state": {},
            "api_token": OWNER_TOKEN,
            "server_address": self.address,
        }

    def context(self, frame: int, frames: int, **extra: Any) -> dict[str, Any]:
        return {
            "videoId": self.video,
            "trackId": uuid.uuid4().hex,
            "frameIndex": frame,
            "frames": frames,
            "direction": "forward",
            "frameWidth": SIZE[0],
            "frameHeight": SIZE[1],
            **extra,
        }

    def ask(self, frame: int, frames: int, ids: list[int], **extra: Any) -> httpx.Response:
        """Send `/track`."""
        context = self.context(frame, frames, figureIds=ids, objectIds=self.object_ids, **extra)
        answer = self.app.post("track", self.envelope(context))
        answer.extensions["track"] = context["trackId"]
        return answer

    def track(self, frame: int, frames: int, ids: list[int], **extra: Any) -> str:
        """Send `/track`; returns the track id."""
        answer = self.ask(frame, frames, ids, **extra)
        assert answer.status_code == 200, answer.text
        return str(answer.extensions["track"])

    def inline(self, frame: int, frames: int, places: Iterable[int] = (0, 1, 2)) -> dict[str, Any]:
        """A context whose figures come with it."""
        figures = [
            {
                "id": 900 + place,
                "objectId": self.object_ids[place],
                "geometryType": KINDS[place],
                "geometry": self.geometry(frame, place),
                "meta": {"frame": frame},
            }
            for place in places
        ]
        return self.context(frame, frames, figures=figures)

    def track_async(self, frame: int, frames: int, places: Iterable[int] = (0, 1, 2)) -> str:
        """Send `/track_async`; returns the job's uuid."""
        answer = self.app.post("track_async", self.envelope(self.inline(frame, frames, places)))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["inference_request_uuid"])

    def pop(self, job: str, **extra: Any) -> httpx.Response:
        context = {"inference_request_uuid": job, **extra}
        return self.app.post("pop_tracking_results", self.envelope(context))

    def told(self, track_id: str) -> list[dict[str, Any]]:
        """What the app told the timeline, the oldest first."""
        return [asdict(one) for one in self.workspace.tracks.messages(track_id)]

    def wait(self, done: Callable[[], Any], seconds: float = 60) -> Any:
        return self.app.until(done, seconds)

    def running(self) -> list[Path]:
        """The notes of the jobs that run."""
        folder = Path(self.app.environment["SAM2_SERVING_DATA_DIR"]) / "tracking" / "jobs"
        return list(folder.iterdir())

    def wait_for_end(self, track_id: str) -> list[dict[str, Any]]:
        """Wait for the last message, and for the end of all jobs; returns all messages."""
        self.wait(lambda: any(map(is_last, self.told(track_id))), 150)
        self.wait(lambda: not self.running())
        return self.told(track_id)

    def wait_for_progress(self, track_id: str, frames: int = 1) -> None:
        self.wait(lambda: any(count_of(one) >= frames for one in self.told(track_id)))


def count_of(message: dict[str, Any]) -> int:
    """How many frames a message says are done."""
    return int(message["data"].get("progress", {}).get("current", 0))


def is_final(message: dict[str, Any]) -> bool:
    progress = message["data"].get("progress")
    return progress is not None and progress["current"] == progress["total"]


def is_last(message: dict[str, Any]) -> bool:
    return message["kind"] == "error" or is_final(message)


def error_of(messages: list[dict[str, Any]]) -> str:
    """The sentence of the one error that was told."""
    [error] = [one for one in messages if one["kind"] == "error"]
    return str(error["data"]["error"]["message"])


def safe_frame(sentence: str) -> int:
    """The last frame that an error calls safe; 0: none after the start."""
    named = re.search(r"up to frame (\d+) is kept", sentence)
    return int(named.group(1)) if named else 0


def frames_named(messages: list[dict[str, Any]]) -> set[int]:
    """The frames that the timeline was told to fetch."""
    ranges = [one["data"]["frameRange"] for one in messages if one["kind"] == "progress"]
    return {frame for first, last in ranges for frame in range(first, last + 1)}
