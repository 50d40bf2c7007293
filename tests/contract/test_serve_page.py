"""The SDK's Serve page, driven through its own widgets' routes, then the unmodified SDK client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import supervisely as sly
from live import Platform, RunningApp
from serve_page import Page


@pytest.fixture
def page(page_app: RunningApp, platform: Platform) -> Iterator[Page]:
    settings = platform.workspace.settings
    before, settings.app_url = settings.app_url, f"http://127.0.0.1:{page_app.port}"
    page_app.post("stop_model")
    yield Page(page_app)
    settings.app_url = before


def click(platform: Platform, **extra: Any) -> dict[str, Any]:
    return {
        "positive": [platform.objects["scene1"].click],
        "negative": [],
        "image_id": platform.images["scene1"],
        **extra,
    }


def test_serve_then_click_then_stop(page: Page, platform: Platform) -> None:
    assert platform.send("is_online", {}) == {"is_online": False}
    page.choose("Nano")
    assert page.press("SERVE").status_code == 200

    assert platform.send("is_online", {}) == {"is_online": True}
    answer = platform.send("smart_segmentation", click(platform))
    assert answer["success"] is True
    assert sly.Bitmap.base64_2_data(answer["bitmap"]).any()
    options = page.app.post("get_serve_options").json()
    assert (options["state"], options["deployed"]["model"]) == ("ready", "Nano (demo)")

    assert page.press("STOP AND CHOOSE ANOTHER MODEL").status_code == 200
    assert platform.send("is_online", {}) == {"is_online": False}
    refused = page.app.post("smart_segmentation", platform.envelope(click(platform)))
    assert refused.status_code == 503
    assert "press Serve" in refused.json()["error"]


def test_page_offers_the_box_switch(page: Page) -> None:
    assert "Use bounding box prompt" in page.app.client.post("/sly/data").text
    assert page.state[page.widget("Switch")] == {"value": True}


def test_switch_is_the_default_that_a_request_overrides(page: Page, platform: Platform) -> None:
    page.choose("Nano")
    page.state[page.widget("Switch")]["value"] = False
    page.press("SERVE")
    box_only = {**click(platform, crop=platform.objects["scene1"].crop), "positive": []}

    def bitmap(state: dict[str, Any]) -> str | None:
        answer = page.app.post("smart_segmentation", platform.envelope(box_only, state))
        assert answer.status_code == 200, answer.text
        found: str | None = answer.json()["bitmap"]
        return found

    assert bitmap({}) is None
    assert bitmap({"settings": {"use_box": None}}) is None
    assert bitmap({"settings": {"use_box": True}}) is not None
    page.state[page.widget("Switch")]["value"] = True
    page.press("STOP AND CHOOSE ANOTHER MODEL")
    page.press("SERVE")
    assert bitmap({}) is not None
    assert bitmap({"settings": {"use_box": False}}) is None


def test_deploy_over_http_shows_on_the_page(page: Page) -> None:
    state = {
        "model_name": "Nano (demo)",
        "deploy_params": {"model_source": "Pretrained models", "device": "cpu"},
    }
    answer = page.app.post("deploy_from_api", {"state": state})
    assert answer.json() == {"result": "model was successfully deployed"}
    assert page.shows(page.button("STOP AND CHOOSE ANOTHER MODEL"))
    assert not page.shows(page.button("SERVE"))
    assert page.app.post("stop_model").json() == {"success": True}
    assert page.shows(page.button("SERVE"))


def test_failed_deploy_over_http_shows_that_nothing_is_served(page: Page) -> None:
    nano = {"model_name": "nano", "deploy_params": {"model_source": "Pretrained models"}}
    assert page.app.post("deploy_from_api", {"state": nano}).status_code == 200
    folder = Path(page.app.environment["SAM2_SERVING_CHECKPOINTS_DIR"])
    damaged = folder / "sam2.1_hiera_small.pt"
    damaged.write_bytes(b"damaged")
    try:
        answer = page.app.post("deploy_from_api", {"state": {**nano, "model_name": "small"}})
    finally:
        damaged.unlink()
    assert 400 <= answer.status_code < 500
    assert page.shows(page.button("SERVE"))
    assert not page.shows(page.button("STOP AND CHOOSE ANOTHER MODEL"))


def test_requests_of_clients_leave_the_page_alone(page: Page, platform: Platform) -> None:
    """Contract 2.1 and 7.2 S12: the SDK merges any request's state into the page's."""
    switch = page.widget("Switch")
    state = {"settings": {}, "planted": 1, switch: {"value": "planted"}}
    body = platform.envelope(click(platform), state)
    for route in ("smart_segmentation", "get_session_info", "get_model_meta", "is_deployed"):
        page.app.post(route, body)
    after = page.app.client.post("/sly/state").json()
    assert "planted" not in after
    assert after[switch] == {"value": True}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/smart_segmentation"),
        ("PATCH", "/is_alive"),
        ("GET", "/is_alive"),
        ("DELETE", "/nothing"),
        ("OPTIONS", "/nothing"),
        ("POST", "/nothing/here"),
        ("POST", "/SwitchOfMine/value_changed"),
    ],
)
def test_no_method_and_no_path_changes_the_page(page: Page, method: str, path: str) -> None:
    """Contract 7.2 S12: the SDK's middleware reads a JSON body whatever the method or path."""
    for body in (b'{"state": {"planted": 1}}', b'{"state": {"planted": NaN}}'):
        headers = {"content-type": "application/json"}
        answer = page.app.client.request(method, path, content=body, headers=headers)
        assert answer.status_code < 500
    after = page.app.client.post("/sly/state")
    assert after.status_code == 200
    assert "planted" not in after.json()


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "POST", "PUT"])
@pytest.mark.parametrize(
    "body",
    [b"not json", b"[1]", b"5", b'{"context": 5}', b'{"context": null}', b"[" * 970 + b"]" * 970],
)
def test_odd_json_is_no_500_whatever_the_method(page: Page, method: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = page.app.client.request(method, "/is_alive", content=body, headers=headers)
    assert answer.status_code < 500


def test_a_large_body_for_a_small_route_is_refused(page: Page) -> None:
    headers = {"content-type": "application/json"}
    body = b'{"context": {"x": "' + b"a" * 3_000_000 + b'"}}'
    answer = page.app.client.post("/get_model_meta", content=body, headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example", "origin": "http://evil.example"},
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_cannot_call_the_app(page: Page, headers: dict[str, str]) -> None:
    """A page that a visitor opens elsewhere must not stop the model on the visitor's machine."""
    assert page.app.client.post("/stop_model", json={}, headers=headers).status_code == 403


@pytest.mark.parametrize("body", [{"context": None, "state": None}, {"context": None}, {}])
def test_null_context_and_state(page: Page, body: dict[str, Any]) -> None:
    """Contract 2.1: with a page, the SDK answers 500 to null."""
    assert page.app.post("get_model_meta", body).status_code == 200
    assert page.app.post("is_online", body).status_code == 200
    assert page.app.post("is_deployed", body).status_code == 200
    assert page.app.post("get_session_info", body).status_code == 503


def test_page_does_not_give_the_token_away(page: Page, platform: Platform) -> None:
    """Contract 7.2 S11."""
    token = page.app.environment["API_TOKEN"]
    for path in ("/sly/session-info", "/sly/session-info/", "//sly//session-info"):
        answer = page.app.client.post(path)
        assert token not in answer.text
    assert page.app.client.post("/sly/session-info").json()["API_TOKEN"] is None
    for path in ("/", "/sly/state", "/sly/data"):
        assert token not in page.app.client.request("GET" if path == "/" else "POST", path).text


def test_failed_serve_says_why_and_leaves_a_clear_state(page: Page) -> None:
    page.choose("SAM 2.1")
    refused = page.press("SERVE")
    assert refused.status_code == 422
    assert "sam2.1_hiera_tiny.pt" in refused.json()["message"]
    options = page.app.post("get_serve_options").json()
    assert (options["state"], options["deployed"], options["progress"]) == ("failed", None, None)
    assert "sam2.1_hiera_tiny.pt" in options["error"]
    page.choose("Nano")
    assert page.press("SERVE").status_code == 200
    assert page.app.post("get_serve_options").json()["error"] is None


def test_every_widget_route_is_known(page: Page) -> None:
    """The guard tells clients' routes from the page's by the number of path segments."""
    routes = set(re.findall(r"""['"](/[A-Za-z0-9_]+AutoId[A-Za-z0-9]+/[a-z_]+)['"]""", page.html))
    assert routes
    assert all(route.count("/") == 2 for route in routes)


@pytest.mark.long  # waits
def test_buttons_wait_for_a_deploy_of_somebody_else(page: Page) -> None:
    """The sentence of `/deploy_from_api`; a stop in the middle would leave half a model served."""
    nano = {"model_name": "nano", "deploy_params": {"model_source": "Pretrained models"}}
    assert page.app.post("deploy_from_api", {"state": nano}).status_code == 200
    page.choose("Nano")
    serve = page.button("SERVE")
    with ThreadPoolExecutor(1) as pool:
        # Its download fails, but only after some tries.
        other = {"state": {**nano, "model_name": "SAM 2.1 Hiera large"}}
        loading = pool.submit(page.app.post, "deploy_from_api", other)
        page.app.wait(lambda: page.app.post("get_serve_options").json()["state"] == "loading")
        refused = [page.press("SERVE"), page.press("STOP AND CHOOSE ANOTHER MODEL")]
        assert not loading.done()
        assert loading.result().status_code == 422
    for answer in refused:
        assert answer.status_code == 409
        assert "being loaded already" in answer.json()["message"]
    assert page.app.post("is_online").json() == {"is_online": True}
    assert not page.shows(serve)
