"""A request is answered with the rights of its own token, never with somebody else's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from live import OWNER_TOKEN, Platform, RunningApp

MEMBER = "member-token-0123456789"
STRANGER = "stranger-token-0123456789"


def click(image_id: int, x: int = 160) -> dict[str, Any]:
    return {"positive": [{"x": x, "y": 120}], "negative": [], "image_id": image_id}


@pytest.fixture(autouse=True)
def members(platform: Platform) -> None:
    store = platform.workspace.store
    store.put_member("member", MEMBER, [platform.datasets["open"]])
    platform.workspace.counts.reset()


def test_token_without_right_gets_nothing_from_the_store(
    app: RunningApp, platform: Platform
) -> None:
    body = platform.envelope(click(platform.images["scene3"]))
    assert app.post("smart_segmentation", body).status_code == 200
    refused = app.post("smart_segmentation", {**body, "api_token": MEMBER})
    assert refused.status_code == 403
    assert "no right" in refused.json()["error"]
    assert platform.count("images.download") <= 1


def test_unknown_and_missing_tokens(app: RunningApp, platform: Platform) -> None:
    body = platform.envelope(click(platform.images["scene0"]))
    assert app.post("smart_segmentation", body).status_code == 200
    unknown = app.post("smart_segmentation", {**body, "api_token": STRANGER})
    assert unknown.status_code == 401
    for missing in (None, ""):
        answer = app.post("smart_segmentation", {**body, "api_token": missing})
        assert answer.status_code in (400, 401)
    without = {key: value for key, value in body.items() if key != "api_token"}
    answer = app.post("smart_segmentation", without)
    assert answer.status_code == 401
    assert "api_token" in answer.json()["error"]


def test_one_info_call_then_none_for_a_minute(app: RunningApp, platform: Platform) -> None:
    body = platform.envelope(click(platform.images["scene1"]), api_token=MEMBER)
    for x in (100, 120, 140, 160):
        body["context"]["positive"][0]["x"] = x
        assert app.post("smart_segmentation", body).status_code == 200
    assert platform.count("images.info") <= 1
    assert platform.count("images.download") <= 1


def test_stored_embedding_spares_the_download_not_the_permission(
    app: RunningApp, platform: Platform
) -> None:
    body = platform.envelope(click(platform.images["scene2"]))
    assert app.post("smart_segmentation", body).status_code == 200
    platform.workspace.counts.reset()
    platform.workspace.store.put_member("other", "other-token-987654321", None)
    other = app.post("smart_segmentation", {**body, "api_token": "other-token-987654321"})
    assert other.status_code == 200
    assert platform.count("images.info") == 1
    assert platform.count("images.download") == 0


def test_nobody_joins_a_load_without_the_right(app: RunningApp, platform: Platform) -> None:
    """Requests that come while the image is being fetched are told apart as well."""
    redeploy(app)  # forgets all embeddings
    body = platform.envelope(click(platform.images["scene3"]))

    def ask(token: str) -> int:
        return app.post("smart_segmentation", {**body, "api_token": token}).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(ask, [OWNER_TOKEN, MEMBER] * 8))
    assert codes == [200, 403] * 8
    assert platform.count("images.download") == 1


def test_other_servers_are_refused(app: RunningApp, platform: Platform) -> None:
    """Contract 7.2 S11: a body must not make the app call any host with the caller's token."""
    body = platform.envelope(click(platform.images["scene0"]))
    elsewhere = "http://127.0.0.1:9"
    for changed in (
        {**body, "server_address": elsewhere},
        {**body, "state": {"server_address": elsewhere, "api_token": OWNER_TOKEN}},
        {**body, "context": {**body["context"], "server_address": elsewhere}},
    ):
        answer = app.post("smart_segmentation", changed)
        assert answer.status_code == 400
        assert "SAM2_SERVING_ALLOWED_SERVERS" in answer.json()["error"]
    for route in ("get_session_info", "is_online", "deploy_from_api"):
        assert app.post(route, {"server_address": elsewhere}).status_code == 400


@pytest.mark.parametrize("form", ["{}/", "{}", "  {} "])
def test_the_configured_server_in_any_spelling(
    app: RunningApp, platform: Platform, form: str
) -> None:
    address = form.format(platform.address.replace("http", "HTTP"))
    body = platform.envelope(click(platform.images["scene0"]))
    assert app.post("smart_segmentation", {**body, "server_address": address}).status_code == 200
    without = {key: value for key, value in body.items() if key != "server_address"}
    assert app.post("smart_segmentation", without).status_code == 200


def test_no_token_in_the_log(app: RunningApp, platform: Platform) -> None:
    """Contract 7.1-33 and 4.3: contexts with tokens are logged by the reference and the SDK."""
    secret = "s3cret-t0ken-that-nobody-may-read"
    body = platform.envelope(click(platform.images["scene0"]), api_token=secret)
    body["context"]["apiToken"] = secret
    body["state"] = {"api_token": secret, "settings": {}}
    for route in (
        "smart_segmentation",
        "get_session_info",
        "deploy_from_api",
        "smart_cache",
        "get_inference_progress",
        "inference_image_id",
        "is_deployed",
        "clear_inference_request",
    ):
        app.post(route, body)
        app.client.post(
            f"/{route}?api_token={secret}", content=b'{"api_token": "%b"' % secret.encode()
        )
    log = app.log()
    assert "/smart_segmentation" in log
    assert secret not in log
    assert OWNER_TOKEN not in log


def redeploy(app: RunningApp) -> None:
    state = {
        "model_name": "nano",
        "deploy_params": {"model_source": "Pretrained models", "device": "cpu"},
    }
    answer = app.post("deploy_from_api", {"state": state})
    assert answer.status_code == 200, answer.text
