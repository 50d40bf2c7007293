"""The task routes and the way to the app; an echo stands where the app would be."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator

import pytest
import requests
import supervisely as sly
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from workspace_http import OWNER_TOKEN, SESSION_TOKEN, Running, Settings, serving

from sam2_serving.workspace import create_workspace


def _echo_app() -> FastAPI:
    app = FastAPI()

    @app.post("/slow")
    async def slow() -> dict[str, str]:
        await asyncio.sleep(2)
        return {}

    @app.post("/busy")
    def busy() -> JSONResponse:
        return JSONResponse({"message": "busy"}, 503, {"Retry-After": "2"})

    @app.post("/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(
            iter([b"data: 1\n\n", b"data: 2\n\n"]), media_type="text/event-stream"
        )

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def echo(path: str, request: Request) -> JSONResponse:
        body = (await request.body()).decode()
        answer = {"path": path, "query": request.url.query, "body": body}
        answer["names"] = sorted(request.headers)
        sent = request.headers.get("x-request-id", "")
        return JSONResponse(answer, headers={"X-Request-Id": sent})

    return app


@pytest.fixture
def proxied(settings: Settings) -> Iterator[Running]:
    with serving(_echo_app()) as app_url:
        app = create_workspace(
            settings(app_url=app_url, proxy_timeout_s=1, server_address="http://w")
        )
        with serving(app) as url:
            yield Running(url, app)


def _net(running: Running, endpoint: str, **more: object) -> requests.Response:
    return running.page("POST", f"/net/{SESSION_TOKEN}/{endpoint}", **more)


def test_send_request_adds_who_asks(proxied: Running) -> None:
    got = proxied.api().task.send_request(
        1, "smart_segmentation", {"settings": {}}, {"image_id": 7}
    )
    assert got["path"] == "smart_segmentation"
    assert json.loads(got["body"]) == {
        "context": {"image_id": 7, "outside_request": True},
        "state": {"settings": {}},
        "api_token": OWNER_TOKEN,
        "server_address": "http://w",
    }


def test_send_request_in_the_callers_name(proxied: Running) -> None:
    token = proxied.member("guest", [1])
    got = proxied.api(token).task.send_request(1, "x", {}, {})
    assert json.loads(got["body"])["api_token"] == token


def test_net_adds_who_asks_and_keeps_the_rest(proxied: Running) -> None:
    body = {"context": {"image_id": 7, "request_uid": "u"}, "state": {"settings": {}}, "more": None}
    answer = _net(proxied, "a/b?c=d", json=body, headers={"X-Request-Id": "me", "Cookie": "c=1"})
    assert answer.headers["x-request-id"] == "me"
    got = answer.json()
    assert (got["path"], got["query"]) == ("a/b", "c=d")
    assert json.loads(got["body"]) == {
        **body,
        "api_token": OWNER_TOKEN,
        "server_address": "http://w",
    }
    assert "x-api-key" not in got["names"]
    assert "cookie" not in got["names"]


def test_net_keeps_a_clients_own_token(proxied: Running) -> None:
    body = {"api_token": "theirs", "server_address": "http://other"}
    got = json.loads(_net(proxied, "x", json=body).json()["body"])
    assert got == body


def test_net_leaves_other_bodies_alone(proxied: Running) -> None:
    for content in (b"{broken", b"[1, 2]"):
        headers = {"content-type": "application/json"}
        assert _net(proxied, "x", data=content, headers=headers).json()["body"] == content.decode()
    multipart = _net(proxied, "x", files={"files": ("a", b"content")}).json()["body"]
    assert "content" in multipart
    assert "api_token" not in multipart


def test_net_does_not_make_bodies_grow(proxied: Running) -> None:
    body = '{"context":{"text":"\u00e4\u00f6\u00fc","points":[1,2,3]},"state":{}}'
    headers = {"content-type": "application/json"}
    got = _net(proxied, "x", data=body.encode(), headers=headers).json()["body"]
    assert got.startswith(body[:-1] + ",")


def test_net_leaves_odd_values_to_the_app(proxied: Running) -> None:
    headers = {"content-type": "application/json"}
    for odd in ("NaN", '"\\ud800"', "9" * 5000):
        answer = _net(proxied, "x", data=f'{{"state":{{"x":{odd}}}}}', headers=headers)
        assert odd in answer.json()["body"]


@pytest.mark.parametrize("depth", [900, 990, 1000, 5000, 300_000])
def test_deep_bodies_are_no_server_error(proxied: Running, depth: int) -> None:
    """The longest is parsed in a thread of its own."""
    state = '{"state":{"x":' + "[" * depth + "]" * depth + "}}"
    headers = {"content-type": "application/json", "x-api-key": OWNER_TOKEN}
    answer = _net(proxied, "x", data=state.encode(), headers=headers)
    assert answer.status_code == 400 or (depth < 1000 and answer.ok)
    rest = '{"taskId":1,"command":"x","skipResponse":false,"timeout":9,"context":{},'
    path = "/public/api/v3/tasks.request.direct"
    answer = proxied.page("POST", path, data=rest + state[1:], headers=headers)
    assert answer.status_code == 400 or (depth < 1000 and answer.ok)


def test_long_bodies_are_parsed_too(proxied: Running) -> None:
    got = _net(proxied, "x", json={"state": {"x": "a" * 300_000}}).json()["body"]
    assert json.loads(got)["api_token"] == OWNER_TOKEN


@pytest.mark.parametrize("timeout", [0, -1, 1e300])
def test_odd_timeouts_are_400(proxied: Running, timeout: float) -> None:
    body = {"taskId": 1, "command": "x", "context": {}, "state": {}, "skipResponse": False}
    answer = proxied.post("tasks.request.direct", {**body, "timeout": timeout})
    assert answer.status_code == 400
    assert "timeout" in answer.json()["error"]


def test_net_gives_answers_through(proxied: Running) -> None:
    busy = _net(proxied, "busy", json={})
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
    stream = _net(proxied, "stream", json={})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.content == b"data: 1\n\ndata: 2\n\n"


def test_a_silent_app_is_504(proxied: Running) -> None:
    answer = _net(proxied, "slow", json={})
    assert answer.status_code == 504
    assert "within 1 s" in answer.json()["message"]


def test_an_absent_app_is_503(workspace: Running) -> None:
    answer = _net(workspace, "smart_segmentation", json={})
    assert answer.status_code == 503
    assert "Is it started?" in answer.json()["message"]
    body = {"taskId": 1, "command": "x", "context": {}, "state": {}, "skipResponse": False}
    direct = workspace.post("tasks.request.direct", {**body, "timeout": 60})
    assert direct.status_code == 503


def test_a_wrong_session_is_404(proxied: Running) -> None:
    assert proxied.page("POST", "/net/wrong/is_online", json={}).status_code == 404


@pytest.mark.parametrize("endpoint", ["a//b", "..%2f..%2fx", "http:%2f%2felsewhere", "a%00b"])
def test_odd_endpoints_are_400(proxied: Running, endpoint: str) -> None:
    assert _net(proxied, endpoint, json={}).status_code == 400


def test_task_info_names_the_session(api: sly.Api) -> None:
    assert api.task.get_info_by_id(1)["meta"]["sessionToken"] == SESSION_TOKEN


def test_task_fields(api: sly.Api) -> None:
    assert api.task.get_fields(1, ["autoRestartInfo"]) == {}
    api.task.set_field(1, "autoRestartInfo", {"deployParams": {"device": "cpu"}})
    api.task.set_field(1, "autoRestartInfo", {"more": 1}, append=True)
    assert api.task.get_field(1, "autoRestartInfo") == {
        "deployParams": {"device": "cpu"},
        "more": 1,
    }


def test_what_a_page_of_the_app_sends(api: sly.Api) -> None:
    patch = [{"op": "add", "path": "/x", "value": 1}]
    assert api.task._update_app_content(1, patch, {"y": 2}) == {}
    api.task.update_meta(1, {"templateRootDirectory": "/offline"})


def test_is_running_asks_the_app(proxied: Running, workspace: Running) -> None:
    assert proxied.api().task.is_running(1)
    assert not workspace.api().task.is_running(1)


def test_model_api_finds_the_session(proxied: Running) -> None:
    """The SDK's own client of a served model goes through /net/<token>/."""
    session = sly.nn.inference.Session(
        proxied.api(), session_url=f"{proxied.url}/net/{SESSION_TOKEN}"
    )
    got = session._get_from_endpoint("get_model_meta")
    assert got["path"] == "get_model_meta"
    assert json.loads(got["body"])["api_token"] == OWNER_TOKEN


DIRECT = {"taskId": 1, "command": "wait", "context": {}, "state": {}, "skipResponse": False}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/net/{SESSION_TOKEN}/wait", {}),
        ("/public/api/v3/tasks.request.direct", {**DIRECT, "timeout": 60}),
    ],
    ids=["net", "direct"],
)
def test_a_client_that_goes_is_given_up(settings: Settings, path: str, body: object) -> None:
    """The app sees the connection close, so it can drop the work."""
    began, ended = threading.Event(), threading.Event()
    app = FastAPI()

    @app.post("/wait")
    async def wait(request: Request) -> dict[str, str]:
        await request.body()
        began.set()
        while not await request.is_disconnected():
            await asyncio.sleep(0.02)
        ended.set()
        return {}

    content = json.dumps(body)
    with serving(app) as app_url, serving(create_workspace(settings(app_url=app_url))) as url:
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":")[-1]))) as client:
            client.sendall(
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {OWNER_TOKEN}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
                f"{content}".encode()
            )
            assert began.wait(10)
            assert not ended.is_set()
        assert ended.wait(10)
