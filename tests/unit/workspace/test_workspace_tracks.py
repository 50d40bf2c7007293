"""Runs of tracking: asked for by the page, told of by the app; an echo stands where the app is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from workspace_film import Film, figure_on, serving_film
from workspace_http import OWNER_TOKEN, Settings, serving

from sam2_serving.workspace import tracks
from sam2_serving.workspace.tracks import MAX_MESSAGES, MAX_TRACKS


def _app(heard: list[dict[str, Any]]) -> FastAPI:
    """Note what is asked; refuse to go backward."""
    app = FastAPI()

    @app.post("/track")
    async def track(request: Request) -> JSONResponse:
        heard.append(await request.json())
        if heard[-1]["context"]["direction"] == "backward":
            return JSONResponse({"message": "not backward"}, 400)
        return JSONResponse({"message": "Tracking task started"})

    return app


@pytest.fixture
def heard() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def tracked(settings: Settings, heard: list[dict[str, Any]]) -> Iterator[Film]:
    with (
        serving(_app(heard)) as app_url,
        serving_film(settings(app_url=app_url, server_address="http://w")) as film,
    ):
        yield film


def _track(film: Film, **more: object) -> Any:
    body = {"frame": 3, "frames": 20, "direction": "forward", **more}
    return film.running.page("POST", f"/workspace/api/videos/{film.video_id}/track", json=body)


def _tracks(film: Film) -> list[dict[str, Any]]:
    got = film.running.page("GET", f"/workspace/api/videos/{film.video_id}/tracks")
    assert got.status_code == 200
    return list(got.json())


def _stop(film: Film, track_id: str) -> Any:
    return film.running.page("POST", f"/workspace/api/tracks/{track_id}/stop")


def test_what_the_app_is_asked(tracked: Film, heard: list[dict[str, Any]]) -> None:
    first, second = tracked.object_of("cat"), tracked.object_of("cat")
    figures = [figure_on(first, 3), figure_on(second, 3), figure_on(second, 4)]
    one, two, _ = (row["id"] for row in tracked.add(*figures).json())
    track_id = _track(tracked).json()["trackId"]
    assert uuid.UUID(track_id).version == 4
    assert heard[0] == {
        "context": {
            "videoId": tracked.video_id,
            "trackId": track_id,
            "frameIndex": 3,
            "frames": 20,
            "direction": "forward",
            "figureIds": [one, two],
            "objectIds": [first, second],
        },
        "state": {},
        "api_token": OWNER_TOKEN,
        "server_address": "http://w",
    }
    (track,) = _tracks(tracked)
    assert track.pop("startedAt").endswith("Z")
    assert track == {
        "trackId": track_id,
        "frame": 3,
        "frames": 20,
        "direction": "forward",
        "objectIds": [first, second],
        "state": "running",
        "progress": {"current": 0, "total": 20},
        "frameRange": None,
        "warnings": [],
        "error": None,
    }
    _track(tracked, objectIds=[second])
    _track(tracked, figureIds=[one])
    assert [call["context"]["figureIds"] for call in heard[1:]] == [[two], [one]]
    assert [one["objectIds"] for one in _tracks(tracked)] == [[first], [second], [first, second]]


def test_what_cannot_be_tracked(tracked: Film, heard: list[dict[str, Any]]) -> None:
    thing = tracked.object_of("cat")
    tracked.add(figure_on(thing, 3))
    for more, status, words in (
        ({"frame": 4}, 400, "no figure to follow on frame 4"),
        ({"frame": 45}, 404, "no frame 45"),
        ({"objectIds": [thing + 1]}, 400, "objectIds"),
        ({"figureIds": [99]}, 400, "figureIds"),
        ({"frames": 0}, 400, "frames"),
    ):
        refused = _track(tracked, **more)
        assert refused.status_code == status
        assert words in refused.json()["error"]
    assert heard == []
    refused = _track(tracked, direction="backward")
    assert (refused.status_code, refused.json()) == (400, {"message": "not backward"})
    assert _tracks(tracked) == []


def test_a_run_to_its_end(tracked: Film) -> None:
    tracked.add(figure_on(tracked.object_of("cat"), 3))
    track_id = _track(tracked).json()["trackId"]
    video = tracked.api.video
    assert video.notify_progress(track_id, tracked.video_id, 4, 9, 6, 20) is False
    assert video.notify_tracking_warning(track_id, tracked.video_id, "lost on frame 8") is None
    (track,) = _tracks(tracked)
    assert (track["state"], track["progress"]) == ("running", {"current": 6, "total": 20})
    assert (track["frameRange"], track["warnings"]) == ([4, 9], ["lost on frame 8"])
    extra = {"trackedFigures": {"1": 14}}
    assert video.notify_progress(track_id, tracked.video_id, 10, 23, 20, 20, extra) is False
    assert _tracks(tracked)[0]["state"] == "finished"
    path = f"/workspace/api/tracks/{track_id}/messages"
    messages = tracked.running.page("GET", path).json()
    assert [one["kind"] for one in messages] == ["progress", "warning", "progress"]
    assert messages[2]["data"]["trackedFigures"] == {"1": 14}
    assert all(one["channel"] == "notify" and one["at"].endswith("Z") for one in messages)


def test_a_run_that_is_stopped(tracked: Film) -> None:
    tracked.add(figure_on(tracked.object_of("cat"), 3))
    track_id = _track(tracked).json()["trackId"]
    other_id = _track(tracked).json()["trackId"]
    video = tracked.api.video
    assert video.notify_progress(track_id, tracked.video_id, 4, 5, 2, 20) is False
    assert _stop(tracked, track_id).json() == {"trackId": track_id, "state": "running"}
    assert video.notify_progress(other_id, tracked.video_id, 4, 5, 2, 20) is False
    assert [one["state"] for one in _tracks(tracked)] == ["running", "running"]
    assert video.notify_progress(track_id, tracked.video_id, 6, 7, 4, 20) is True
    assert video.notify_progress(track_id, tracked.video_id, 6, 7, 4, 4) is True
    assert [one["state"] for one in _tracks(tracked)] == ["running", "stopped"]
    assert _stop(tracked, "nobody's").status_code == 404


def test_a_run_that_fails(tracked: Film) -> None:
    tracked.add(figure_on(tracked.object_of("cat"), 3))
    track_id = _track(tracked).json()["trackId"]
    tracked.api.video.notify_tracking_error(track_id, "ValueError", "frame 9 is broken")
    (track,) = _tracks(tracked)
    assert (track["state"], track["error"]) == ("failed", "ValueError: frame 9 is broken")


def test_direct_messages(film: Film) -> None:
    """A run that another client started is listed when it is heard of."""
    say = film.api.vid_ann_tool
    args = ("session", film.video_id, "track-7")
    say.set_direct_tracking_progress(*args, [4, 9], 6, 12)
    say.set_direct_tracking_warning(*args, "lost")
    (track,) = _tracks(film)
    assert (track["trackId"], track["frame"], track["objectIds"]) == ("track-7", None, [])
    assert (track["state"], track["warnings"]) == ("running", ["lost"])
    say.set_direct_tracking_progress(*args, [4, 15], 12, 12)
    say.set_direct_tracking_progress(*args, [4, 15], 0, 1)
    (track,) = _tracks(film)
    assert (track["state"], track["progress"]) == ("finished", {"current": 12, "total": 12})
    say.set_direct_tracking_error(*args, "broken")
    assert _tracks(film)[0]["error"] == "broken"
    other = {"sessionId": "x", "action": "frames/setPosition", "payload": {}}
    assert film.running.post("annotation-tool.run-action", other).status_code == 400


def test_a_number_names_a_run_as_well(film: Film) -> None:
    """The SDK's client says that track ids are whole numbers."""
    film.api.video.notify_progress(12, film.video_id, 0, 1, 1, 2)
    film.api.vid_ann_tool.set_direct_tracking_progress(5, film.video_id, 12, [0, 1], 2, 2)
    (track,) = _tracks(film)
    assert (track["trackId"], track["state"]) == ("12", "finished")
    thing = film.object_of("cat")
    film.api.video.figure.create(
        film.video_id, thing, 0, figure_on(thing, 0)["geometry"], "bitmap", track_id=12
    )
    assert [one["trackId"] for one in film.listed()] == ["12"]


ODD_DATA = [
    ("videos:fetch-figures-in-range", {"trackId": "t", "videoId": 1}, "progress"),
    ("videos:tracking-warning", {"trackId": "t", "videoId": 1, "message": ""}, "videoId"),
    ("videos:tracking-warning", {"trackId": "t", "videoId": "x", "message": ""}, "videoId"),
    ("videos:tracking-error", {"trackId": "t", "error": "text"}, "error"),
    ("videos:else", {"trackId": "t"}, "type"),
]


def test_odd_messages_are_named(film: Film) -> None:
    for kind, data, field in ODD_DATA:
        answer = film.running.post("videos.notify-annotation-tool", {"type": kind, "data": data})
        assert answer.status_code == 400, data
        assert field in answer.json()["error"]


def test_what_is_kept_is_bounded(film: Film) -> None:
    kept = film.running.app.state.workspace.tracks
    for number in range(MAX_TRACKS + 5):
        film.api.video.notify_tracking_error(f"t{number}", "E", "x")
    assert len(kept._tracks) == MAX_TRACKS
    assert (kept.messages("t4"), len(kept.messages("t5"))) == ([], 1)
    (message,) = kept.messages("t9")
    for _ in range(MAX_MESSAGES + 5):
        kept.note_error("t9", None, "x", message)
    assert len(kept.messages("t9")) == MAX_MESSAGES


def test_a_model_s_figure_that_is_deleted_and_brought_back_stays_a_model_s(film: Film) -> None:
    thing = film.object_of("cat")
    x, y = figure_on(thing, 3)["geometry"]["bitmap"]["origin"]
    body = {
        "class_id": film.class_id("cat"),
        "object_id": thing,
        "origin": {"x": x, "y": y},
        "bitmap": figure_on(thing, 3)["geometry"]["bitmap"]["data"],
        "nn_created": True,
        "nn_updated": True,
    }
    path = f"/workspace/api/videos/{film.video_id}/frames/3/figures"
    assert film.running.page("POST", path, json=body).status_code == 201
    assert film.listed()[0]["nnUpdated"] is True


def test_what_runs_is_kept_before_what_has_ended(film: Film) -> None:
    """A long run can still be stopped after many short ones."""
    notify = film.api.video.notify_progress
    notify("long", film.video_id, 0, 1, 1, 9)
    for number in range(MAX_TRACKS + 5):
        notify(f"t{number}", film.video_id, 0, 1, 1, 1)
    assert _stop(film, "long").status_code == 200
    assert notify("long", film.video_id, 1, 2, 2, 9) is True


def test_a_name_that_is_used_again_on_another_video_is_another_run(film: Film) -> None:
    film.api.video.notify_progress(7, film.video_id, 0, 1, 2, 2)
    folder = film.running.app.state.workspace.media.root / "film"
    (folder / "copy.avi").write_bytes((folder / "clip.avi").read_bytes())
    film.running.page("GET", "/workspace/api/media")
    (other,) = (one for one in film.api.video.get_list(film.dataset_id) if one.id != film.video_id)
    film.api.video.notify_progress(7, other.id, 5, 6, 1, 4)
    (track,) = film.running.page("GET", f"/workspace/api/videos/{other.id}/tracks").json()
    assert (track["state"], track["frameRange"]) == ("running", [5, 6])
    assert _tracks(film) == []


def test_a_run_that_is_silent_for_long_is_given_up(
    film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may be there any more to hear that it is to stop; if somebody is, they hear it."""
    film.api.video.notify_progress("t", film.video_id, 0, 1, 1, 9)
    monkeypatch.setattr(tracks, "QUIET_S", 0.0)
    assert _stop(film, "t").json()["state"] == "stopped"
    assert film.api.video.notify_progress("t", film.video_id, 0, 1, 2, 9) is True
    assert _tracks(film)[0]["state"] == "stopped"


def test_bars_of_the_timeline(film: Film) -> None:
    first, second = film.object_of("cat"), film.object_of("roof")
    machine = {"nnCreated": True, "nnUpdated": True}
    film.add(
        figure_on(first, 2),
        *(figure_on(first, frame, **machine) for frame in (3, 4, 5, 9)),
        figure_on(first, 10),
        figure_on(first, 10, **machine),
    )
    path = f"/workspace/api/videos/{film.video_id}/objects"
    listed = film.running.page("GET", path).json()
    assert [(one["id"], one["classTitle"]) for one in listed] == [(first, "cat"), (second, "roof")]
    assert listed[0]["color"].startswith("#")
    assert listed[1]["frames"] == []
    assert listed[0]["frames"] == [
        {"from": 2, "to": 2, "human": True},
        {"from": 3, "to": 5, "human": False},
        {"from": 9, "to": 9, "human": False},
        {"from": 10, "to": 10, "human": True},
    ]


def test_a_model_s_figure_that_a_person_edits_is_a_person_s(film: Film) -> None:
    thing = film.object_of("cat")
    (figure,) = film.add(figure_on(thing, 2, nnCreated=True, nnUpdated=True)).json()
    bitmap = figure_on(thing, 2)["geometry"]["bitmap"]
    x, y = bitmap["origin"]
    body = {
        "class_id": film.class_id("cat"),
        "origin": {"x": x + 1, "y": y},
        "bitmap": bitmap["data"],
    }
    edited = film.running.page("PUT", f"/workspace/api/figures/{figure['id']}", json=body).json()
    assert (edited["nnCreated"], edited["nnUpdated"]) == (True, False)
    (kept,) = film.listed()
    assert (kept["nnCreated"], kept["nnUpdated"]) == (True, False)


def test_a_member_sees_no_track_of_another_dataset(tracked: Film) -> None:
    tracked.add(figure_on(tracked.object_of("cat"), 3))
    track_id = _track(tracked).json()["trackId"]
    cats = tracked.api.dataset.get_info_by_name(1, "cats")
    headers = {"x-api-key": tracked.running.member("of-cats", [cats.id])}
    video = f"/workspace/api/videos/{tracked.video_id}"
    for method, path in (
        ("GET", f"{video}/tracks"),
        ("GET", f"{video}/objects"),
        ("GET", f"/workspace/api/tracks/{track_id}/messages"),
        ("POST", f"/workspace/api/tracks/{track_id}/stop"),
    ):
        assert tracked.running.page(method, path, headers=headers).status_code == 403, path


def test_a_member_says_nothing_of_a_track_of_another_dataset(tracked: Film) -> None:
    """Not even when they name a video of their own."""
    tracked.add(figure_on(tracked.object_of("cat"), 3))
    track_id = _track(tracked).json()["trackId"]
    folder = tracked.running.app.state.workspace.media.root
    (folder / "own").mkdir()
    (folder / "own" / "clip.avi").write_bytes((folder / "film" / "clip.avi").read_bytes())
    tracked.running.page("GET", "/workspace/api/media")
    own = tracked.api.dataset.get_info_by_name(1, "own")
    (video,) = tracked.api.video.get_list(own.id)
    token = tracked.running.member("of-own", [own.id])
    name = {"trackId": track_id, "videoId": video.id}
    for payload in (
        {**name, "frameRange": [0, 1], "progress": {"current": 1, "total": 1}},
        {**name, "type": "error", "error": {"message": "x"}},
        {**name, "type": "warning", "message": "x"},
    ):
        body = {"sessionId": "s", "action": "figures/setDirectTrackingProgress", "payload": payload}
        answer = tracked.running.post("annotation-tool.run-action", body, token)
        assert answer.status_code == 403, payload
    (track,) = _tracks(tracked)
    assert (track["state"], track["warnings"], track["error"]) == ("running", [], None)
