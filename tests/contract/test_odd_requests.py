"""Whatever comes in, the answer is a 4xx in words or a mask: never a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import Platform, RunningApp

CLICK = {"positive": [{"x": 160, "y": 120}], "negative": []}
CROP = [{"x": 10, "y": 10}, {"x": 200, "y": 200}]
HUGE = 10**30

ODD_CONTEXTS: dict[str, dict[str, Any]] = {
    "no clicks at all": {},
    "no positive": {"negative": []},
    "no negative": {"positive": []},
    "positive null": {**CLICK, "positive": None},
    "positive text": {**CLICK, "positive": "5"},
    "positive object": {**CLICK, "positive": {"x": 1, "y": 2}},
    "positive number": {**CLICK, "positive": 7},
    "click number": {**CLICK, "positive": [5]},
    "click null": {**CLICK, "positive": [None]},
    "click list": {**CLICK, "positive": [[1, 2]]},
    "click empty": {**CLICK, "positive": [{}]},
    "click no y": {**CLICK, "positive": [{"x": 1}]},
    "click x null": {**CLICK, "positive": [{"x": None, "y": 1}]},
    "click x text": {**CLICK, "positive": [{"x": "1", "y": 1}]},
    "click x bool": {**CLICK, "positive": [{"x": True, "y": 1}]},
    "click x fraction": {**CLICK, "positive": [{"x": 1.5, "y": 1}]},
    "click x nan": {**CLICK, "positive": [{"x": float("nan"), "y": 1}]},
    "click x infinite": {**CLICK, "positive": [{"x": float("inf"), "y": 1}]},
    "click x huge": {**CLICK, "positive": [{"x": HUGE, "y": 1}]},
    "click x 1e300": {**CLICK, "positive": [{"x": 1e300, "y": 1}]},
    "click x negative": {**CLICK, "positive": [{"x": -1, "y": 1}]},
    "click x list": {**CLICK, "positive": [{"x": [1], "y": 1}]},
    "click right of the image": {**CLICK, "positive": [{"x": 320, "y": 1}]},
    "click below the image": {**CLICK, "positive": [{"x": 1, "y": 240}]},
    "negative click outside": {**CLICK, "negative": [{"x": 999999, "y": 1}]},
    "negative text": {**CLICK, "negative": "x"},
    "too many clicks": {**CLICK, "positive": [{"x": 1, "y": 1}] * 501},
    "crop empty": {**CLICK, "crop": []},
    "crop one corner": {**CLICK, "crop": CROP[:1]},
    "crop three corners": {**CLICK, "crop": [*CROP, CROP[0]]},
    "crop text": {**CLICK, "crop": "10,10,20,20"},
    "crop numbers": {**CLICK, "crop": [1, 2]},
    "crop pairs": {**CLICK, "crop": [[1, 2], [3, 4]]},
    "crop object": {**CLICK, "crop": {"x": 1}},
    "crop nan": {**CLICK, "crop": [{"x": float("nan"), "y": 1}, CROP[1]]},
    "crop bool": {**CLICK, "crop": [{"x": False, "y": 1}, CROP[1]]},
    "crop huge": {**CLICK, "crop": [{"x": HUGE, "y": 1}, CROP[1]]},
    "image_id null": {**CLICK, "image_id": None},
    "image_id text": {**CLICK, "image_id": "1"},
    "image_id bool": {**CLICK, "image_id": True},
    "image_id zero": {**CLICK, "image_id": 0},
    "image_id negative": {**CLICK, "image_id": -1},
    "image_id fraction": {**CLICK, "image_id": 1.5},
    "image_id nan": {**CLICK, "image_id": float("nan")},
    "image_id huge": {**CLICK, "image_id": HUGE},
    "image_id list": {**CLICK, "image_id": [1]},
    "image_id object": {**CLICK, "image_id": {"id": 1}},
    "image_id unknown": {**CLICK, "image_id": 123456789},
    "image_hash number": {**CLICK, "image_id": None, "image_hash": 5},
    "image_hash empty": {**CLICK, "image_id": None, "image_hash": ""},
    "image_hash long": {**CLICK, "image_id": None, "image_hash": "a" * 1000},
    "video no frame": {**CLICK, "video": {"video_id": 1}},
    "video number": {**CLICK, "video": 5},
    "video negative frame": {**CLICK, "video": {"video_id": 1, "frame_index": -1}},
    "volume empty": {**CLICK, "volume": {}},
    "volume oblique": {
        **CLICK,
        "volume": {
            "volume_id": 1,
            "slice_index": 0,
            "normal": {"x": 1, "y": 1, "z": 0},
            "window_center": 1,
            "window_width": 1,
        },
    },
    "volume nan window": {
        **CLICK,
        "volume": {
            "volume_id": 1,
            "slice_index": 0,
            "normal": {"x": 0, "y": 0, "z": 1},
            "window_center": float("nan"),
            "window_width": 1,
        },
    },
    "pcd text": {**CLICK, "pcd_related_image_id": "5"},
    "figure_id text": {**CLICK, "figure_id": "5"},
    "init_figure text": {**CLICK, "init_figure": "yes"},
    "mask number": {**CLICK, "mask": 5},
    "mask no origin": {**CLICK, "mask": {"data": "eJw="}},
    "mask odd origin": {**CLICK, "mask": {"data": "eJw=", "origin": [1, 2, 3]}},
    "mask fraction origin": {**CLICK, "mask": {"data": "eJw=", "origin": {"x": 1.5, "y": 0}}},
    "mask data number": {**CLICK, "mask": {"data": 5, "origin": [0, 0]}},
    "local_figure_id number": {**CLICK, "local_figure_id": 5},
}

ODD_STATES: dict[str, Any] = {
    "settings text": {"settings": "mode: raw"},
    "settings list": {"settings": [1]},
    "use_box text": {"settings": {"use_box": "yes"}},
    "use_box number": {"settings": {"use_box": 1}},
    "refine unknown": {"settings": {"refine": "best"}},
    "refine number": {"settings": {"refine": 2}},
}

ODD_ENVELOPES: dict[str, dict[str, Any]] = {
    "context text": {"context": "x"},
    "context list": {"context": [1]},
    "state number": {"state": 5},
    "token number": {"api_token": 5},
    "token object": {"api_token": {}},
    "token empty": {"api_token": ""},
    "token with line break": {"api_token": "a\nx-evil: 1"},
    "token with umlaut": {"api_token": "größe-größe"},
    "token long": {"api_token": "a" * 5000},
    "server number": {"server_address": 5},
    "server empty": {"server_address": ""},
    "server nonsense": {"server_address": "http://[::1"},
    "server file": {"server_address": "file:///etc/passwd"},
    "server port": {"server_address": "http://127.0.0.1:99999999"},
    "server user": {"server_address": "http://user:pass@127.0.0.1"},
}

ODD_BYTES: dict[str, bytes] = {
    "nothing": b"",
    "text": b"hello",
    "half": b'{"context": {',
    "null": b"null",
    "list": b"[]",
    "number": b"5",
    "string": b'"x"',
    "true": b"true",
    "not utf-8": b"\xff\xfe\xfd",
    "deep": b"[" * 100_000,
    "deep object": b'{"context":' * 50_000,
    "long number": b'{"context": {"image_id": ' + b"9" * 10_000 + b"}}",
    "lone surrogate": b'{"context": {"positive": [], "negative": [], "image_hash": "\\ud800"}}',
    "nul in key": b'{"con\\u0000text": {}}',
    "duplicate keys": b'{"context": {}, "context": null}',
    "too large": b'{"context": {"pad": "' + b"a" * (3 * 2**20) + b'"}}',
}

ROUTES_WITH_BODIES = (
    "smart_segmentation",
    "deploy_from_api",
    "get_session_info",
    "get_model_meta",
    "is_online",
    "get_serve_options",
    "get_deploy_settings",
    "list_pretrained_models",
    "get_status",
)
JSON = {"content-type": "application/json"}


def refused(answer: Any) -> None:
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    body = answer.json()
    assert body["success"] is False
    assert len(body["message"].split()) >= 3, "a sentence"
    assert body["request_id"] == answer.headers["x-request-id"]


def refused_by_smart_tool(answer: Any) -> None:
    refused(answer)
    body = answer.json()
    assert (body["origin"], body["bitmap"]) == (None, None)
    assert body["error"] == body["message"]


@pytest.mark.parametrize("name", ODD_CONTEXTS)
def test_odd_context(name: str, app: RunningApp, platform: Platform) -> None:
    context = ODD_CONTEXTS[name]
    sources = ("video", "volume", "image_hash", "pcd_related_image_id", "image_id")
    if not any(source in context for source in sources):
        context = {**context, "image_id": platform.images["scene0"]}
    body = json.dumps(platform.envelope(context)).encode()
    refused_by_smart_tool(app.client.post("/smart_segmentation", content=body, headers=JSON))


@pytest.mark.parametrize("name", ODD_STATES)
def test_odd_state(name: str, app: RunningApp, platform: Platform) -> None:
    context = {**CLICK, "image_id": platform.images["scene0"]}
    body = platform.envelope(context, ODD_STATES[name])
    refused_by_smart_tool(app.post("smart_segmentation", body))


@pytest.mark.parametrize("name", ODD_ENVELOPES)
def test_odd_envelope(name: str, app: RunningApp, platform: Platform) -> None:
    context = {**CLICK, "image_id": platform.images["scene0"]}
    body = {**platform.envelope(context), **ODD_ENVELOPES[name]}
    refused_by_smart_tool(app.post("smart_segmentation", body))


@pytest.mark.parametrize("route", ROUTES_WITH_BODIES)
@pytest.mark.parametrize("name", ODD_BYTES)
def test_odd_bytes(route: str, name: str, app: RunningApp) -> None:
    answer = app.client.post(f"/{route}", content=ODD_BYTES[name], headers=JSON)
    assert answer.status_code < 500, answer.text
    if route == "smart_segmentation":
        refused_by_smart_tool(answer)


@pytest.mark.parametrize("route", ROUTES_WITH_BODIES)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_other_content_types(route: str, kind: str, app: RunningApp) -> None:
    answer = app.client.post(f"/{route}", content=b"a=1", headers={"content-type": kind})
    refused(answer)
    assert answer.status_code == 415


def test_no_body_and_no_content_type_is_an_empty_request(app: RunningApp) -> None:
    assert app.client.post("/is_online").json() == {"is_online": True}
    assert app.client.post("/get_session_info").status_code == 200


def test_body_of_unknown_length_is_limited(app: RunningApp) -> None:
    """A chunked body states no length."""

    def chunks() -> Any:
        yield b'{"pad": "'
        for _ in range(48):
            yield b"a" * 65536
        yield b'"}'

    answer = app.client.post("/smart_segmentation", content=chunks(), headers=JSON)
    assert answer.status_code == 413
    refused_by_smart_tool(answer)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods(method: str, app: RunningApp) -> None:
    assert app.client.request(method, "/smart_segmentation").status_code == 405


def test_routes_of_the_sdk_that_would_hang_or_crash_say_so(app: RunningApp) -> None:
    """Contract 7.2 S3, S4, S11, S13 and 4.4: they would hang, or write outside their folder."""
    for route in ("tracking_by_detection", "run_speedtest"):
        answer = app.post(route, {"state": {"image_id": 1}})
        assert answer.status_code == 501
        assert answer.json()["message"].startswith("Not supported yet")
    files = {"files": ("../../x.png", b"x")}
    assert app.client.post("/smart_cache_files", files=files).status_code == 501


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
known_fields = st.sampled_from(sorted({key for one in ODD_CONTEXTS.values() for key in one}))
contexts = st.dictionaries(known_fields, values, max_size=8)
states = st.fixed_dictionaries({}, optional={"settings": values, "deploy_params": values})


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(context=contexts | values, state=states | values, more=st.dictionaries(st.text(), values))
def test_anything(app: RunningApp, context: Any, state: Any, more: dict[str, Any]) -> None:
    body = json.dumps({**more, "context": context, "state": state}).encode()
    for route in ("smart_segmentation", "deploy_from_api", "get_model_meta"):
        answer = app.client.post(f"/{route}", content=body, headers=JSON)
        assert answer.status_code < 500, (route, answer.text)
        answer.json()
