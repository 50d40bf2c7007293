"""A clip on the labeling tool's timeline: its figures, and tracks over it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import supervisely as sly
from live import Platform, RunningApp
from pictures import CLIP, CLIP_OBJECTS

from sam2_serving.masks import decode_bitmap, encode_bitmap, tight_box
from sam2_serving.workspace.tracks import Message

KINDS = ("bitmap", "polygon", "rectangle")
FIELDS = ["id", "objectId", "geometryType", "geometry", "meta", "nnCreated", "nnUpdated"]


def geometry_of(mask: np.ndarray, kind: str) -> dict[str, Any]:
    if kind == "bitmap":
        (x, y), data = encode_bitmap(mask)
        return {"bitmap": {"origin": [x, y], "data": data}}
    if kind == "rectangle":
        x0, y0, x1, y1 = (int(side) for side in tight_box(mask))
        return {"points": {"exterior": [[x0, y0], [x1 - 1, y1 - 1]], "interior": []}}
    outline = max(
        cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0],
        key=len,
    )
    return {"points": {"exterior": outline.reshape(-1, 2).tolist(), "interior": []}}


def separate_cells(figures: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """(frame, object) of figures; several on one cell must be parts that lie beside each other."""
    found: dict[tuple[int, int], np.ndarray] = {}
    for one in figures:
        cell = (one["meta"]["frame"], one["objectId"])
        mask = mask_of(one["geometryType"], one["geometry"])
        before = found.setdefault(cell, np.zeros_like(mask))
        assert not (before & mask).any(), f"{cell} has an object twice"
        before |= mask
    return set(found)


def mask_of(kind: str, geometry: dict[str, Any]) -> np.ndarray:
    mask = np.zeros(CLIP.masks.shape[2:], np.uint8)
    if kind == "bitmap":
        tight = decode_bitmap(geometry["bitmap"]["data"])
        x, y = geometry["bitmap"]["origin"]
        mask[y : y + tight.shape[0], x : x + tight.shape[1]] = tight
    elif kind == "rectangle":
        (x0, y0), (x1, y1) = geometry["points"]["exterior"]
        mask[y0 : y1 + 1, x0 : x1 + 1] = 1
    else:
        cv2.fillPoly(mask, [np.array(geometry["points"]["exterior"], np.int32)], 1)
        for hole in geometry["points"]["interior"]:
            cv2.fillPoly(mask, [np.array(hole, np.int32)], 0)
    return mask.astype(bool)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def truth(place: int, frame: int, kind: str) -> np.ndarray:
    """What is to be found of an object: for a box, the box round it."""
    mask = CLIP.masks[frame, CLIP_OBJECTS[place]]
    return mask_of(kind, geometry_of(mask, kind)) if mask.any() else mask


@dataclass
class Timeline:
    """The clip with objects and figures of its own, as the labeling tool has them."""

    platform: Platform
    app: RunningApp
    object_ids: list[int]

    @classmethod
    def with_objects(cls, platform: Platform, app: RunningApp) -> Timeline:
        """Make an object for each kind of figure; no other test has them."""
        api = platform.api()
        meta = sly.ProjectMeta.from_json(api.project.get_meta(1))
        if meta.get_obj_class("followed") is None:
            meta = meta.add_obj_class(sly.ObjClass("followed", sly.AnyGeometry))
            api.project.update_meta(1, meta.to_json())
        ids = sly.KeyIdMap()
        objects = [sly.VideoObject(meta.get_obj_class("followed")) for _ in KINDS]
        video = platform.others["clip"]
        api.video.object.append_bulk(video, sly.VideoObjectCollection(objects), ids)
        return cls(platform, app, [ids.get_object_id(one.key()) for one in objects])

    @property
    def video(self) -> int:
        return self.platform.others["clip"]

    def draw(self, frame: int, places: tuple[int, ...] = (0, 1, 2), **extra: Any) -> list[int]:
        """Store figures as a person makes them; returns their ids."""
        figures = [
            {
                "objectId": self.object_ids[place],
                "geometryType": KINDS[place],
                "geometry": geometry_of(CLIP.masks[frame, CLIP_OBJECTS[place]], KINDS[place]),
                "meta": {"frame": frame},
                **extra,
            }
            for place in places
        ]
        api = self.platform.api()
        body = {"entityId": self.video, "figures": figures}
        return [one["id"] for one in api.post("figures.bulk.add", body).json()]

    def figures(self) -> list[dict[str, Any]]:
        """All figures of the objects, as the platform gives them raw."""
        body = {
            "datasetId": self.platform.datasets["open"],
            "filter": [{"field": "entityId", "operator": "in", "value": [self.video]}],
            "fields": FIELDS,
        }
        found: list[dict[str, Any]] = []
        page, pages = 1, 1
        while page <= pages:
            answer = self.platform.api().post("figures.list", {**body, "page": page}).json()
            found += answer["entities"]
            page, pages = page + 1, answer["pagesCount"]
        return [one for one in found if one["objectId"] in self.object_ids]

    def cells(self) -> list[tuple[int, int]]:
        """(frame, object) of all figures. Of a polygon's parts, each lies beside the others."""
        return sorted(separate_cells(self.figures()))

    def context(self, frame: int, frames: int, **extra: Any) -> dict[str, Any]:
        return {
            "videoId": self.video,
            "trackId": uuid.uuid4().hex,
            "frameIndex": frame,
            "frames": frames,
            "direction": "forward",
            "frameWidth": 160,
            "frameHeight": 120,
            **extra,
        }

    def inline(self, frame: int, frames: int, **extra: Any) -> dict[str, Any]:
        figures = [
            {
                "id": 900 + place,
                "objectId": self.object_ids[place],
                "geometryType": kind,
                "geometry": geometry_of(CLIP.masks[frame, CLIP_OBJECTS[place]], kind),
                "meta": {"frame": frame},
            }
            for place, kind in enumerate(KINDS)
        ]
        return self.context(frame, frames, figures=figures, sessionId="tool-1", **extra)

    def track(self, frame: int, frames: int, figure_ids: list[int], **extra: Any) -> str:
        """Send `/track` as the platform does; returns the track id."""
        context = self.context(
            frame, frames, figureIds=figure_ids, objectIds=self.object_ids, **extra
        )
        answer = self.platform.send("track", context)
        assert answer["message"] == "Tracking task started"
        return str(context["trackId"])

    def progress(self, track_id: str) -> list[dict[str, Any]]:
        """The progress that the app told, in order."""
        return [one.data for one in self.platform.told(track_id) if one.kind == "progress"]

    def wait(self, done: Callable[[], Any]) -> Any:
        return self.app.until(done)

    def wait_for_end(self, track_id: str) -> list[Message]:
        def ended() -> list[Message] | None:
            told = self.platform.told(track_id)
            return told if any(one.kind == "error" or is_final(one) for one in told) else None

        return self.wait(ended)

    def pop(self, job: str, **extra: Any) -> dict[str, Any]:
        """Fetch results of a job as the tool does."""
        context = {"inference_request_uuid": job, **extra}
        return dict(self.platform.send("pop_tracking_results", context))

    def wait_for_job(self, job: str) -> None:
        """Wait until a job has ended; takes nothing of what it found."""
        beyond = [10**6, 10**6]
        self.wait(lambda: not self.pop(job, frameRange=beyond)["is_inferring"])


def is_final(message: Message) -> bool:
    progress = message.data.get("progress")
    return progress is not None and progress["current"] == progress["total"]


def cells_of(results: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """(frame, object) of figures that were fetched."""
    return {(one["meta"]["frame"], one["objectId"]) for one in results}
