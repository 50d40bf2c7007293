"""Tracking as the timeline and Auto Track ask for it: four ways, over the real wire."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest
import supervisely as sly
from live import Platform, RunningApp
from pictures import CLIP, CLIP_FRAMES, CLIP_OBJECTS

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
            "fields": [
                "id",
                "objectId",
                "geometryType",
                "geometry",
                "meta",
                "nnCreated",
                "nnUpdated",
            ],
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
        found: dict[tuple[int, int], np.ndarray] = {}
        for one in self.figures():
            cell = (one["meta"]["frame"], one["objectId"])
            mask = mask_of(one["geometryType"], one["geometry"])
            before = found.setdefault(cell, np.zeros_like(mask))
            assert not (before & mask).any(), f"{cell} has an object twice"
            before |= mask
        return sorted(found)

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

    def wait(self, done: Callable[[], Any], seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            result = done()
            if result:
                return result
            time.sleep(0.05)
        raise AssertionError(f"it did not happen:\n{self.app.log()[-3000:]}")

    def wait_for_end(self, track_id: str) -> list[Message]:
        def ended() -> list[Message] | None:
            told = self.platform.told(track_id)
            return told if any(one.kind == "error" or is_final(one) for one in told) else None

        return self.wait(ended)


def is_final(message: Message) -> bool:
    progress = message.data.get("progress")
    return progress is not None and progress["current"] == progress["total"]


@pytest.fixture
def timeline(platform: Platform, app: RunningApp) -> Timeline:
    api = platform.api()
    meta = sly.ProjectMeta.from_json(api.project.get_meta(1))
    if meta.get_obj_class("followed") is None:
        meta = meta.add_obj_class(sly.ObjClass("followed", sly.AnyGeometry))
        api.project.update_meta(1, meta.to_json())
    ids = sly.KeyIdMap()
    objects = [sly.VideoObject(meta.get_obj_class("followed")) for _ in KINDS]
    video = platform.others["clip"]
    api.video.object.append_bulk(video, sly.VideoObjectCollection(objects), ids)
    return Timeline(platform, app, [ids.get_object_id(one.key()) for one in objects])


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_track_stores_every_figure_once_and_reports(timeline, direction):
    start = 0 if direction == "forward" else CLIP_FRAMES - 1
    ids = timeline.draw(start)
    told = timeline.wait_for_end(timeline.track(start, 8, ids, direction=direction))
    frames = [start + (1 if direction == "forward" else -1) * away for away in range(1, 9)]
    wanted = {(frame, one) for frame in (start, *frames) for one in timeline.object_ids}
    assert set(timeline.cells()) == wanted
    found: dict[tuple[int, int], np.ndarray] = {}
    for one in timeline.figures():
        place, frame = timeline.object_ids.index(one["objectId"]), one["meta"]["frame"]
        assert one["geometryType"] == KINDS[place]
        assert (one["nnCreated"], one["nnUpdated"]) == (frame != start, frame != start)
        mask = mask_of(KINDS[place], one["geometry"])
        found[frame, place] = found.get((frame, place), False) | mask
    for place, kind in enumerate(KINDS):
        assert np.mean([iou(found[f, place], truth(place, f, kind)) for f in frames]) > 0.5
    progress = [one.data for one in told if one.kind == "progress"]
    counts = [one["progress"]["current"] for one in progress]
    assert counts == sorted(set(counts)), "progress goes back, or says a thing twice"
    assert sum(map(is_final, told)) == 1
    assert all(one["frameRange"][0] <= one["frameRange"][1] for one in progress)
    assert {
        f for one in progress for f in range(one["frameRange"][0], one["frameRange"][1] + 1)
    } <= set(frames)


def test_the_mask_that_is_drawn_is_the_prompt(timeline):
    """Not clicks that lie in the figure, nor points drawn by chance: a pixel more is seen."""
    mask = CLIP.masks[0, CLIP_OBJECTS[0]]
    box = tight_box(mask)
    half = mask.copy()
    half[:, int(box.x0 + box.x1) // 2 :] = False
    rows = []
    for drawn in (mask, mask, half):
        context = timeline.context(
            0, 2, input_geometries=[{"type": "bitmap", "data": geometry_of(drawn, "bitmap")}]
        )
        rows.append(timeline.platform.send("track-api", context))
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]


def test_track_is_clipped_to_the_video(timeline):
    ids = timeline.draw(CLIP_FRAMES - 3, (0,))
    told = timeline.wait_for_end(timeline.track(CLIP_FRAMES - 3, 50, ids))
    assert told[-1].data["progress"] == {"current": 2, "total": 2}
    assert timeline.cells()[-1][0] == CLIP_FRAMES - 1
    last = timeline.draw(CLIP_FRAMES - 1, (0,))
    told = timeline.wait_for_end(timeline.track(CLIP_FRAMES - 1, 5, last))
    assert "last one" in told[-1].data["error"]["message"]


def test_a_persons_figures_stay_and_a_models_are_replaced(timeline):
    ids = timeline.draw(0, (0,))
    timeline.draw(3, (0,))
    timeline.draw(5, (0,), nnCreated=True, nnUpdated=True)
    before = {one["meta"]["frame"]: one["id"] for one in timeline.figures()}
    timeline.wait_for_end(timeline.track(0, 7, ids))
    after = {one["meta"]["frame"]: one["id"] for one in timeline.figures()}
    assert sorted(after) == list(range(8))
    assert len(timeline.cells()) == 8
    assert after[3] == before[3]
    assert after[5] != before[5]


def test_three_extensions_and_a_retrack_in_the_middle(timeline):
    ids = timeline.draw(0)
    for start in (0, 3, 6, 9):
        here = (
            ids
            if start == 0
            else [one["id"] for one in timeline.figures() if one["meta"]["frame"] == start]
        )
        timeline.wait_for_end(timeline.track(start, 3, here))
    whole = timeline.figures()
    assert timeline.cells() == sorted((f, o) for f in range(13) for o in timeline.object_ids)
    # a person corrects object 0 on frame 6, and tracks it anew from there
    wrong = next(
        one
        for one in whole
        if one["meta"]["frame"] == 6 and one["objectId"] == timeline.object_ids[0]
    )
    timeline.platform.api().post("figures.bulk.remove", {"figureIds": [wrong["id"]]})
    timeline.wait_for_end(timeline.track(6, 6, timeline.draw(6, (0,))))
    assert timeline.cells() == sorted((f, o) for f in range(13) for o in timeline.object_ids)
    old, new = ids_by_cell(whole), ids_by_cell(timeline.figures())
    changed = {cell for cell in old if old[cell] != new[cell]}
    assert changed == {(f, timeline.object_ids[0]) for f in range(6, 13)}


def test_a_keyframe_that_cannot_be_read_is_left_alone_and_ends_nothing(timeline):
    ids = timeline.draw(0, (0,))
    outside = {"bitmap": {**geometry_of(CLIP.masks[3, CLIP_OBJECTS[0]], "bitmap")["bitmap"]}}
    outside["bitmap"]["origin"] = [5000, 5000]
    figure = {
        "objectId": timeline.object_ids[0],
        "geometryType": "bitmap",
        "geometry": outside,
        "meta": {"frame": 3},
    }
    body = {"entityId": timeline.video, "figures": [figure], "skipBoundsValidation": True}
    timeline.platform.api().post("figures.bulk.add", body)
    told = timeline.wait_for_end(timeline.track(0, 6, ids))
    assert is_final(told[-1])
    frames = [one["meta"]["frame"] for one in timeline.figures()]
    assert sorted(frames) == list(range(7))


def ids_by_cell(figures: list[dict[str, Any]]) -> dict[tuple[int, int], set[int]]:
    found: dict[tuple[int, int], set[int]] = {}
    for one in figures:
        found.setdefault((one["meta"]["frame"], one["objectId"]), set()).add(one["id"])
    return found


@pytest.mark.parametrize("place", range(3), ids=KINDS)
def test_extensions_give_what_one_long_track_gives(timeline, platform, app, place):
    ids = timeline.draw(0, (place,))
    timeline.wait_for_end(timeline.track(0, 5, ids))
    here = [one["id"] for one in timeline.figures() if one["meta"]["frame"] == 5]
    timeline.wait_for_end(timeline.track(5, 5, here))
    in_parts = {o["meta"]["frame"]: o["geometry"] for o in timeline.figures()}
    again = timeline.draw(0, (place,))[0]
    for one in timeline.figures():
        if one["id"] != again:
            platform.api().post("figures.bulk.remove", {"figureIds": [one["id"]]})
    timeline.wait_for_end(timeline.track(0, 10, [again]))
    at_once = {o["meta"]["frame"]: o["geometry"] for o in timeline.figures()}
    assert in_parts == at_once


def test_stop_is_obeyed_within_a_frame(timeline):
    ids = timeline.draw(0)
    track_id = timeline.track(0, CLIP_FRAMES - 1, ids)
    timeline.wait(lambda: timeline.progress(track_id))
    timeline.platform.workspace.tracks.ask_to_stop(track_id)
    asked_at = len(timeline.progress(track_id))
    time.sleep(1)
    told = timeline.progress(track_id)
    assert len(told) <= asked_at + 1, "it went on after it was told to stop"
    last_told = told[-1]["frameRange"][1]
    assert last_told < CLIP_FRAMES - 1
    assert max(frame for frame, _ in timeline.cells()) == last_told


def test_a_newer_request_takes_over_the_frames_it_covers(timeline):
    ids = timeline.draw(0)
    first = timeline.track(0, CLIP_FRAMES - 1, ids)
    timeline.wait(lambda: timeline.progress(first))
    second = timeline.track(0, CLIP_FRAMES - 1, ids)
    assert is_final(timeline.wait_for_end(second)[-1])
    time.sleep(0.5)
    assert len({frame for frame, _ in timeline.cells()}) == CLIP_FRAMES
    told = timeline.platform.told(first)
    assert len(told) < CLIP_FRAMES


def test_what_cannot_be_tracked_is_named_and_the_others_are_tracked(timeline):
    ids = timeline.draw(0, (0,))
    point = {
        "objectId": timeline.object_ids[1],
        "geometryType": "point",
        "geometry": {"points": {"exterior": [[30, 30]], "interior": []}},
        "meta": {"frame": 0},
    }
    body = {"entityId": timeline.video, "figures": [point]}
    [one] = timeline.platform.api().post("figures.bulk.add", body).json()
    told = timeline.wait_for_end(timeline.track(0, 3, [*ids, one["id"], 987654]))
    warnings = [one.data["message"] for one in told if one.kind == "warning"]
    assert any(f"Figure {one['id']}" in text and "point" in text for text in warnings)
    assert any("987654" in text for text in warnings)
    assert is_final(told[-1])
    assert len(timeline.cells()) == 5


def test_nothing_to_track_is_an_error_that_says_why(timeline):
    [figure] = timeline.draw(4, (0,))
    told = timeline.wait_for_end(timeline.track(0, 3, [figure]))
    assert f"Figure {figure} is on frame 4" in told[-1].data["error"]["message"]


# Results that the tool fetches


def pop(timeline: Timeline, job: str, **extra: Any) -> dict[str, Any]:
    return timeline.platform.send("pop_tracking_results", {"inference_request_uuid": job, **extra})


def cells_of(results: list[dict[str, Any]]) -> set[tuple[int, int]]:
    return {(one["meta"]["frame"], one["objectId"]) for one in results}


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_track_async_gives_figures_as_objects_in_the_form_they_came(timeline, direction):
    start = 0 if direction == "forward" else CLIP_FRAMES - 1
    context = timeline.inline(start, 6, direction=direction, useDirectProgressMessages=True)
    job = timeline.platform.send("track_async", context)["inference_request_uuid"]
    timeline.wait(lambda: not timeline_is_busy(timeline, job))
    near = sorted((start, start + (2 if direction == "forward" else -2)))
    some = pop(timeline, job, frameRange=near)["pending_results"]
    assert {one["meta"]["frame"] for one in some} == set(range(near[0], near[1] + 1)) - {start}
    rest = pop(timeline, job)
    assert len(cells_of(some) | cells_of(rest["pending_results"])) == 6 * 3
    assert rest["progress"] == {"current": 6, "total": 6}
    assert not rest["is_inferring"]
    assert rest["exception"] is None
    for one in some + rest["pending_results"]:
        place = timeline.object_ids.index(one["objectId"])
        assert one["geometryType"] == KINDS[place]
        assert one["id"] == 900 + place
    assert pop(timeline, job)["pending_results"] == []
    told = timeline.platform.told(context["trackId"], "direct")
    assert told[-1].data["progress"] == {"current": 6, "total": 6}
    assert timeline.platform.send("clear_tracking_results", {"inference_request_uuid": job}) == {
        "success": True
    }
    gone = timeline.app.post(
        "pop_tracking_results",
        timeline.platform.envelope({"inference_request_uuid": job}),
    )
    assert gone.status_code == 404
    assert gone.json()["request_id"]


def timeline_is_busy(timeline: Timeline, job: str) -> bool:
    # frames beyond the video: nothing is taken
    return pop(timeline, job, frameRange=[10**6, 10**6])["is_inferring"]


@pytest.mark.parametrize("by", ["inference_request_uuid", "trackId"])
def test_stop_tracking_ends_a_job(timeline, by):
    context = timeline.inline(0, CLIP_FRAMES - 1)
    job = timeline.platform.send("track_async", context)["inference_request_uuid"]
    name = {"inference_request_uuid": job, "trackId": context["trackId"]}[by]
    answer = timeline.platform.send("stop_tracking", {by: name})
    assert answer["success"]
    timeline.wait(lambda: not timeline_is_busy(timeline, job))
    after = pop(timeline, job)
    assert after["cancel_inference"]
    assert after["exception"] is None
    assert after["progress"]["current"] < CLIP_FRAMES - 1


def test_another_persons_track_id_stops_nothing(timeline):
    context = timeline.inline(0, CLIP_FRAMES - 1)
    timeline.platform.send("track_async", context)
    body = timeline.platform.envelope({"trackId": context["trackId"]}, api_token="someone-elses")
    assert timeline.app.post("stop_tracking", body).status_code == 404


def test_track_stream_sends_events_and_closes(timeline):
    context = timeline.inline(0, 6)
    events = []
    with timeline.app.client.stream(
        "POST", "/track_stream", json=timeline.platform.envelope(context)
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        for line in answer.iter_lines():
            if line:
                assert line.startswith("data: ")
                events.append(json.loads(line.removeprefix("data: ")))
    assert events[0]["action"] == "inference-started"
    assert events[0]["trackId"] == context["trackId"]
    progress = [e["payload"] for e in events[1:] if "progress" in e["payload"]]
    assert {e["action"] for e in events[1:]} == {"progress"}
    assert all(e["sessionId"] == "tool-1" for e in events[1:])
    assert progress[-1]["progress"] == {"current": 6, "total": 6}
    assert sum(p["progress"]["current"] == 6 for p in progress) == 1
    job = events[0]["payload"]["inference_request_uuid"]
    assert len(cells_of(pop(timeline, job)["pending_results"])) == 6 * 3


def test_a_client_that_goes_away_stops_its_stream(timeline):
    context = timeline.inline(0, CLIP_FRAMES - 1)
    with timeline.app.client.stream(
        "POST", "/track_stream", json=timeline.platform.envelope(context)
    ) as answer:
        lines = (line for line in answer.iter_lines() if line)
        first = json.loads(next(lines).removeprefix("data: "))
        next(lines)
    job = first["payload"]["inference_request_uuid"]
    timeline.wait(lambda: not timeline_is_busy(timeline, job))
    assert pop(timeline, job)["progress"]["current"] < CLIP_FRAMES - 1


# Auto Track


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_track_api_keeps_places(timeline, direction):
    start = 0 if direction == "forward" else CLIP_FRAMES - 1
    geometries = [
        {"type": kind, "data": geometry_of(CLIP.masks[start, CLIP_OBJECTS[place]], kind)}
        for place, kind in enumerate(KINDS)
    ]
    geometries.insert(1, {"type": "point", "data": {"points": {}}})
    context = {
        "videoId": timeline.video,
        "frameIndex": start,
        "frames": 4,
        "direction": direction,
        "input_geometries": geometries,
    }
    # by address, and not by task: without a `state`
    body = timeline.platform.envelope(context)
    del body["state"]
    rows = timeline.app.post("track-api", body).json()
    assert len(rows) == 4
    for away, row in enumerate(rows, 1):
        assert row[1] is None
        frame = start + away if direction == "forward" else start - away
        for place, one in enumerate([row[0], *row[2:]]):
            assert one["type"] == KINDS[place]
            found = mask_of(KINDS[place], one["data"])
            assert iou(found, truth(place, frame, KINDS[place])) > 0.5
    assert rows == timeline.app.post("track-api", body).json()


def test_track_api_files_is_track_api_on_the_same_pixels(timeline):
    geometries = [{"type": "bitmap", "data": geometry_of(CLIP.masks[0, CLIP_OBJECTS[0]], "bitmap")}]
    files = [
        ("files", (f"../{n}.png", io.BytesIO(cv2.imencode(".png", frame[..., ::-1])[1].tobytes())))
        for n, frame in enumerate(np.asarray(CLIP.frames)[:4])
    ]
    settings = {"frame_index": 0, "frames": 3, "input_geometries": geometries}
    answer = timeline.app.client.post(
        "/track-api-files", files=files, data={"settings": json.dumps(settings)}
    )
    assert answer.status_code == 200, answer.text
    # `num_frames` is part of what the tracker is told, so it is compared loosely with the video
    context = timeline.context(0, 3, input_geometries=geometries)
    rows = timeline.platform.send("track-api", context)
    for one, other in zip(answer.json(), rows, strict=True):
        assert iou(mask_of("bitmap", one[0]["data"]), mask_of("bitmap", other[0]["data"])) > 0.95


BAD = {
    "no figures": {"figureIds": []},
    "text for a frame": {"frameIndex": "three"},
    "a frame below zero": {"frameIndex": -1},
    "no frames": {"frames": 0},
    "too many frames": {"frames": 10**9},
    "sideways": {"direction": "sideways"},
    "an object for a track id": {"trackId": {"a": 1}},
    "a figure id that is text": {"figureIds": ["1"]},
    "a video id that is a list": {"videoId": [1]},
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("route", ["track", "track_async", "track_stream", "track-api"])
def test_bad_requests_get_a_sentence(timeline, route, what):
    good = timeline.inline(0, 3) | {
        "figureIds": [1],
        "input_geometries": [{"type": "bitmap", "data": {}}],
    }
    changed = BAD[what]
    if route != "track" and "figureIds" in changed:
        changed = {"figures": [], "input_geometries": []}
    if route == "track-api" and "trackId" in changed:
        changed = {"input_geometries": [{"type": 3}]}
    answer = timeline.app.post(route, timeline.platform.envelope(good | changed))
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]
    assert answer.json()["request_id"]


@pytest.mark.parametrize("route", ["track", "track_async", "track_stream", "track-api"])
def test_without_a_token_nothing_is_tracked(timeline, route):
    good = timeline.inline(0, 3) | {
        "figureIds": [1],
        "input_geometries": [{"type": "bitmap", "data": {}}],
    }
    body = timeline.platform.envelope(good)
    del body["api_token"]
    assert timeline.app.post(route, body).status_code == 401


def test_a_token_without_the_right_to_the_video_gets_nothing(timeline):
    body = timeline.platform.envelope(timeline.inline(0, 3), api_token="not-a-token-of-anyone")
    job = timeline.app.post("track_async", body).json()["inference_request_uuid"]
    timeline.wait(lambda: not timeline_is_busy(timeline, job))
    answer = pop(timeline, job)
    assert answer["pending_results"] == []
    assert "token" in answer["exception"]
    assert "not-a-token-of-anyone" not in timeline.app.log()


def test_a_track_id_is_no_path(timeline, app_environment):
    from pathlib import Path

    folder = Path(app_environment["SAM2_SERVING_DATA_DIR"])
    before = {p for p in folder.parent.rglob("*") if "tracking" not in p.parts}
    ids = timeline.draw(0, (0,))
    timeline.wait_for_end(timeline.track(0, 2, ids, trackId="../../../escaped"))
    after = {p for p in folder.parent.rglob("*") if "tracking" not in p.parts}
    assert not [p for p in after - before if "escaped" in p.name]
    timeline.wait(lambda: not list((folder / "tracking" / "jobs").iterdir()))
