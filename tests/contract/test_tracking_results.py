"""Jobs whose results the tool fetches, and streams of events."""

from __future__ import annotations

import json

import pytest
from pictures import CLIP_FRAMES
from timeline import KINDS, cells_of


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_track_async_gives_figures_as_objects_in_the_form_they_came(timeline, direction):
    start = 0 if direction == "forward" else CLIP_FRAMES - 1
    context = timeline.inline(start, 6, direction=direction, useDirectProgressMessages=True)
    job = timeline.platform.send("track_async", context)["inference_request_uuid"]
    timeline.wait_for_job(job)
    near = sorted((start, start + (2 if direction == "forward" else -2)))
    some = timeline.pop(job, frameRange=near)["pending_results"]
    assert {one["meta"]["frame"] for one in some} == set(range(near[0], near[1] + 1)) - {start}
    rest = timeline.pop(job)
    assert len(cells_of(some) | cells_of(rest["pending_results"])) == 6 * 3
    assert rest["progress"] == {"current": 6, "total": 6}
    assert not rest["is_inferring"]
    assert rest["exception"] is None
    for one in some + rest["pending_results"]:
        place = timeline.object_ids.index(one["objectId"])
        assert one["geometryType"] == KINDS[place]
        assert one["id"] == 900 + place
    assert timeline.pop(job)["pending_results"] == []
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


@pytest.mark.parametrize("by", ["inference_request_uuid", "trackId"])
def test_stop_tracking_ends_a_job(timeline, by):
    context = timeline.inline(0, CLIP_FRAMES - 1)
    job = timeline.platform.send("track_async", context)["inference_request_uuid"]
    name = {"inference_request_uuid": job, "trackId": context["trackId"]}[by]
    answer = timeline.platform.send("stop_tracking", {by: name})
    assert answer["success"]
    timeline.wait_for_job(job)
    after = timeline.pop(job)
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
    assert len(cells_of(timeline.pop(job)["pending_results"])) == 6 * 3


def test_a_client_that_goes_away_stops_its_stream(timeline):
    context = timeline.inline(0, CLIP_FRAMES - 1)
    with timeline.app.client.stream(
        "POST", "/track_stream", json=timeline.platform.envelope(context)
    ) as answer:
        lines = (line for line in answer.iter_lines() if line)
        first = json.loads(next(lines).removeprefix("data: "))
        next(lines)
    job = first["payload"]["inference_request_uuid"]
    timeline.wait_for_job(job)
    assert timeline.pop(job)["progress"]["current"] < CLIP_FRAMES - 1
