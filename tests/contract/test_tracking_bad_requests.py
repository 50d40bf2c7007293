"""Requests to track that are wrong, or that their sender has no right to."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    timeline.wait_for_job(job)
    answer = timeline.pop(job)
    assert answer["pending_results"] == []
    assert "token" in answer["exception"]
    assert "not-a-token-of-anyone" not in timeline.app.log()


def test_a_track_id_is_no_path(timeline, app_environment):
    folder = Path(app_environment["SAM2_SERVING_DATA_DIR"])
    before = {p for p in folder.parent.rglob("*") if "tracking" not in p.parts}
    jobs = folder / "tracking" / "jobs"
    of_others = set(jobs.iterdir())  # whose results nobody fetched
    ids = timeline.draw(0, (0,))
    timeline.wait_for_end(timeline.track(0, 2, ids, trackId="../../../escaped"))
    after = {p for p in folder.parent.rglob("*") if "tracking" not in p.parts}
    assert not [p for p in after - before if "escaped" in p.name]
    timeline.wait(lambda: set(jobs.iterdir()) <= of_others)
