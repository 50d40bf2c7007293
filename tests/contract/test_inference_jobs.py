"""Requests that run on: asked about, stopped, left alone; odd ones; a platform that fails."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from failing import FailingPlatform
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import Platform, RunningApp

BOX = {"mode": "bbox", "bbox_coordinates": [10, 10, 90, 90]}
SLOW = {"mode": "raw", "points_per_side": 64, "pred_iou_thresh": 0.9}
ABOUT_A_JOB = (
    "get_inference_progress",
    "pop_inference_results",
    "get_inference_result",
    "get_inference_status",
    "get_preparing_progress",
    "stop_inference",
    "clear_inference_request",
)
WITH_STATE = (
    "inference_image_id",
    "inference_batch_ids",
    "inference_image_url",
    "inference_video_id",
    "inference_image_id_async",
    "inference_batch_ids_async",
    "inference_video_id_async",
)
FORMS = (
    "inference_image",
    "inference_batch",
    "inference_batch_async",
    "inference_boxes_file",
    "inference_video_async",
)
ONE_FILE = ("inference_image", "inference_boxes_file", "inference_video_async")


def start(app: RunningApp, body: dict[str, Any], route: str = "inference_batch_ids_async") -> str:
    answer = app.post(route, body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["inference_request_uuid"])


def about(app: RunningApp, route: str, uuid: str) -> Any:
    answer = app.post(route, {"state": {"inference_request_uuid": uuid}})
    assert answer.status_code == 200, answer.text
    return answer.json()


def to_the_end(app: RunningApp, uuid: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Fetch as clients do; returns the predictions and the last answer."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = about(app, "pop_inference_results", uuid)
        found += answer["pending_results"]
        if answer["finished"] and not answer["pending_results"]:
            return found, answer
        time.sleep(0.05)
    raise AssertionError(answer)


def test_every_question_about_a_job(app: RunningApp, platform: Platform) -> None:
    state = {"image_id": platform.images["scene0"], "settings": BOX}
    uuid = start(app, platform.envelope({}, state), "inference_image_id_async")
    assert len(uuid) == 32
    deadline = time.monotonic() + 30
    while not (progress := about(app, "get_inference_progress", uuid))["finished"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert progress["pending_results"] == 1
    assert progress["progress"]["total"] == progress["progress"]["current"] == 1
    expected = (
        "uuid stage progress pending_results final_result exception is_inferring stopped paused "
        "finished created_at updated_at cancel_inference has_result preparing_progress result"
    )
    assert set(progress) == set(expected.split())
    status = about(app, "get_inference_status", uuid)
    assert status["ram_memory"]["total"] > status["ram_memory"]["allocated"] > 0
    assert about(app, "get_preparing_progress", uuid)["total"] == 1
    assert about(app, "get_inference_result", uuid) is None
    found, _ = to_the_end(app, uuid)
    assert found[0]["annotation"]["objects"]
    for route in ("stop_inference", "clear_inference_request") * 2:
        assert about(app, route, uuid)["success"] is True


@pytest.mark.parametrize("route", ABOUT_A_JOB)
def test_a_job_that_is_not_there(app: RunningApp, route: str) -> None:
    assert app.post(route).status_code == 400
    assert app.post(route, {"state": {"inference_request_uuid": None}}).status_code == 400
    assert app.post(route, {"state": {"inference_request_uuid": 5}}).status_code == 400
    unknown = app.post(route, {"state": {"inference_request_uuid": "0" * 32}})
    assert unknown.status_code == 404
    assert unknown.json()["message"]


def test_clients_that_fetch_at_once_get_each_prediction_once(
    app: RunningApp, platform: Platform
) -> None:
    ids = [platform.images[f"scene{number % 3}"] for number in range(30)]
    uuid = start(app, platform.envelope({}, {"batch_ids": ids, "settings": BOX}))
    with ThreadPoolExecutor(4) as pool:
        fetched = list(pool.map(lambda _: to_the_end(app, uuid)[0], range(4)))
    found = sorted(one["image_id"] for some in fetched for one in some)
    assert found == sorted(ids)


def test_a_job_is_stopped_and_cleared_from_all_sides_while_it_runs(
    app: RunningApp, platform: Platform
) -> None:
    ids = [platform.images["scene2"]] * 20
    uuid = start(app, platform.envelope({}, {"batch_ids": ids, "settings": SLOW}))
    routes = ("stop_inference", "pop_inference_results", "stop_inference", "get_inference_progress")
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda route: about(app, route, uuid), routes))
    _, last = to_the_end(app, uuid)
    assert last["stopped"] is True
    assert last["exception"] is None
    with ThreadPoolExecutor(4) as pool:
        cleared = pool.map(lambda _: about(app, "clear_inference_request", uuid), range(4))
        assert all(one["success"] for one in cleared)
    assert about(app, "pop_inference_results", uuid)["pending_results"] == []
    # what was stopped holds nobody up
    begun = time.monotonic()
    state = {"image_id": platform.images["scene0"], "settings": BOX}
    assert app.post("inference_image_id", platform.envelope({}, state)).status_code == 200
    assert time.monotonic() - begun < 10


def test_a_client_that_goes_away_leaves_no_work_behind(app: RunningApp, platform: Platform) -> None:
    state = {"image_id": platform.images["scene2"], "settings": SLOW}
    with pytest.raises(httpx.ReadTimeout):
        app.post("inference_image_id", platform.envelope({}, state), timeout=0.5)
    deadline = time.monotonic() + 10
    while '"path": "/inference_image_id", "status": 499' not in app.log():
        assert time.monotonic() < deadline, app.log()[-3000:]
        time.sleep(0.1)


def test_a_model_that_is_replaced_answers_on(app: RunningApp, platform: Platform) -> None:
    ids = [platform.images[f"scene{number % 3}"] for number in range(60)]
    state = {"batch_ids": ids, "settings": BOX}
    uuid = start(app, platform.envelope({}, state))
    deploy = {
        "model_name": "nano",
        "deploy_params": {"model_source": "Pretrained models", "device": "cpu"},
    }
    assert app.post("deploy_from_api", {"state": deploy}).status_code == 200
    found, last = to_the_end(app, uuid)
    # what comes while there is no model has none to answer it: then the job says so
    assert last["exception"] is None or "model" in last["exception"]["message"].lower()
    assert len(found) == 60 or last["exception"]
    assert [one["image_id"] for one in found] == ids[: len(found)]


def test_images_of_a_platform_that_fails(
    app: RunningApp, failing_platform: FailingPlatform
) -> None:
    ways = ("well", "info once 500", "download 404", "download text", "download bomb", "well")
    ids = [failing_platform.image(way) for way in ways]
    body = {
        "state": {"batch_ids": ids, "settings": BOX},
        "api_token": "any-token",
        "server_address": failing_platform.address,
    }
    found, last = to_the_end(app, start(app, body))
    assert [one["image_id"] for one in found] == [ids[0], ids[1], ids[5]]
    message = last["exception"]["message"]
    assert message.startswith("3 of 6 have no prediction")
    assert all(f"image {id}" in message for id in ids[2:5])
    assert app.post("inference_batch_ids", body).status_code in (404, 413, 422)


# Odd requests

ODD_STATES: dict[str, Any] = {
    "nothing": {},
    "settings text": {"image_id": 1, "settings": "mode: raw"},
    "settings list": {"image_id": 1, "settings": [1]},
    "id text": {"image_id": "1"},
    "id list": {"image_id": [1]},
    "id true": {"image_id": True},
    "ids text": {"batch_ids": "1,2"},
    "ids with null": {"batch_ids": [1, None]},
    "ids huge": {"batch_ids": [10**30]},
    "rectangle number": {"image_id": 1, "rectangle": 5},
    "rectangle of one": {"image_id": 1, "rectangle": {"points": {"exterior": [[1, 1]]}}},
    "rectangle huge": {
        "image_id": 1,
        "rectangle": {"points": {"exterior": [[1e300, 1], [2, 2]]}},
    },
    "url number": {"image_url": 5},
    "url long": {"image_url": "http://" + "a" * 10_000},
    "url nonsense": {"image_url": "http://\u0000:99999999"},
    "url surrogate": {"image_url": "http://\ud800"},
    "video text": {"video_id": "1"},
    "frames zero": {"video_id": 1, "framesCount": 0},
    "stride zero": {"video_id": 1, "stride": 0},
    "direction": {"video_id": 1, "direction": "sideways"},
    "upload mode number": {"image_id": 1, "upload_mode": 5},
}


@pytest.mark.parametrize("route", WITH_STATE)
def test_odd_states(app: RunningApp, platform: Platform, route: str) -> None:
    for name, state in ODD_STATES.items():
        if name == "id list" and "batch" in route:
            continue
        answer = app.post(route, platform.envelope({}, state))
        assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
        assert answer.json()["message"], name


@pytest.mark.parametrize("route", FORMS)
def test_odd_forms(app: RunningApp, route: str) -> None:
    png = ("a.png", b"no picture")
    odd: dict[str, dict[str, Any]] = {
        "no body": {},
        "json": {"json": {"state": {}}},
        "text": {"content": b"hello", "headers": {"content-type": "text/plain"}},
        "no boundary": {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        "cut": {
            "content": b"--x\r\nContent-Disposition: form-data; name=",
            "headers": {"content-type": "multipart/form-data; boundary=x"},
        },
        "no files": {"data": {"state": "{}"}},
        "text for a file": {"data": {"files": "hello"}},
        "file for a state": {"files": [("files", png), ("state", ("s.json", b"{}"))]},
        "state no json": {"files": {"files": png}, "data": {"state": "mode: raw"}},
        "state list": {"files": {"files": png}, "data": {"state": "[1]"}},
        "state nan": {"files": {"files": png}, "data": {"state": '{"a": NaN}'}},
        "settings text": {"files": {"files": png}, "data": {"state": '{"settings": "x"}'}},
    }
    for name, request in odd.items():
        answer = app.client.post(f"/{route}", **request)
        assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
        assert ".." not in answer.json()["message"], name
        assert answer.json()["message"], name
    if route in ("inference_image", "inference_batch"):
        damaged = app.client.post(f"/{route}", files={"files": ("../../x.png", b"no picture")})
        assert damaged.status_code == 422
    if route in ONE_FILE:
        two = [("files", png), ("files", png)]
        answer = app.client.post(f"/{route}", files=two, data={"state": '{"boxes": []}'})
        assert answer.status_code == 400
        assert "2 came" in answer.json()["message"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
names = st.sampled_from(sorted({key for one in ODD_STATES.values() for key in one}))
known = st.sampled_from(
    [
        "mode", "point_coordinates", "point_labels", "bbox_coordinates", "init_mask", "rectangle",
        "bbox_class_name", "output_geometry", "polygon_tolerance", "sliding_window_params",
        "inference_mode", "classes", "hole_area", "points_per_side", "crop_n_layers", "refine",
    ]
)  # fmt: skip
modes = st.fixed_dictionaries({"mode": st.sampled_from(["points", "bbox", "combined"])})


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    state=st.dictionaries(names, values, max_size=5),
    some=st.dictionaries(known, values, max_size=5),
    mode=modes,
)
def test_anything(app: RunningApp, platform: Platform, state: Any, some: Any, mode: Any) -> None:
    state |= {"image_id": platform.images["scene0"], "settings": some | mode}
    content = json.dumps(platform.envelope({}, state)).encode()
    headers = {"content-type": "application/json"}
    for route in ("inference_image_id", "inference_video_id", "get_inference_progress"):
        answer = app.client.post(f"/{route}", content=content, headers=headers)
        assert answer.status_code < 500 or answer.status_code == 501, (route, answer.text)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    boxes=values | st.lists(values, max_size=6),
    some=st.dictionaries(known, values, max_size=4),
    contexts=values | st.lists(values, max_size=4),
    items=st.dictionaries(st.text(max_size=5), values, max_size=4),
)
def test_any_batch(
    app: RunningApp, platform: Platform, boxes: Any, some: Any, contexts: Any, items: Any
) -> None:
    image = {"image_id": platform.images["scene0"]}
    bodies = {
        "inference_boxes": platform.envelope({}, {**image, "boxes": boxes, "settings": some}),
        "smart_segmentation_batch": platform.envelope({"states": contexts}, {"settings": some}),
        "smart_segmentation_batched": platform.envelope(
            {"data_to_process": {key: {**image, "crop": one} for key, one in items.items()}}
        ),
    }
    for route, body in bodies.items():
        headers = {"content-type": "application/json"}
        answer = app.client.post(f"/{route}", content=json.dumps(body).encode(), headers=headers)
        assert answer.status_code < 500, (route, answer.text)
        if answer.status_code == 200 and route == "inference_boxes":
            assert len(answer.json()["results"]) == len(boxes)
