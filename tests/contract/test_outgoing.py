"""The app calls the platform it was configured with, and nobody else: a trap listens beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from live import OWNER_TOKEN, Platform, RunningApp
from route_table import routes

from sam2_serving.app.inference.pictures import WebPictures
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.reporting import AppError, PermissionDenied
from sam2_serving.app.team_files import TeamFiles


class Trap:
    """A server that counts its callers, and under `/public/` sends them to another address."""

    def __init__(self, sends_to: str = "", status: int = 302) -> None:
        self.calls: list[str] = []
        trap = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                trap.calls.append(self.path)
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(status if sends_to else 200)
                self.send_header("Location", sends_to)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


def test_no_route_calls_the_server_that_a_body_names(
    app: RunningApp, platform: Platform, trap: Trap
) -> None:
    """Contract 7.2 S11. Every route of the table, and every place that the SDK looks at."""
    context = {"image_id": 1, "positive": [], "negative": [], "videoId": 1, "frameIndex": 0}
    state = {"image_id": 1, "image_ids": [1], "image_url": f"{trap.address}/x.png", "projectId": 1}
    body = {"context": context, "state": state, "api_token": OWNER_TOKEN}
    named = {"server_address": trap.address}
    answers = {}
    for route in routes():
        if route.path in ("/stop_model", "/freeze_model"):
            continue
        for place, sent in {
            "envelope": {**body, **named},
            "context": {**body, "context": {**context, **named}},
            "state": {**body, "state": {**state, **named}},
        }.items():
            answer = app.client.request(route.method, route.path, json=sent)
            answers[route.path, place] = answer.status_code
            if route.method == "POST":
                assert answer.status_code in (400, 404, 413, 501), (route, place, answer.text)
    assert len(answers) > 150
    without = {"api_token": OWNER_TOKEN, "server_address": platform.address, "state": state}
    assert app.post("inference_image_url", without).status_code == 403
    assert trap.calls == []


CALLER_TOKEN = "token-of-a-caller"
CALLS: dict[str, Callable[[Caller, Path], object]] = {
    "info": lambda caller, _: PlatformClient(5).image_info(caller, 1),
    "file": lambda caller, _: PlatformClient(5).image_bytes(caller, 1, 1000),
    "video": lambda caller, _: list(
        PlatformClient(5).stream(caller, "videos.download", {"id": 1}, "video 1")
    ),
    "team file": lambda caller, folder: TeamFiles(caller, 1, folder).fetch(
        "/a.pt", lambda *_: None
    ),
    "picture": lambda caller, _: WebPictures(
        [caller.server], [], timeout_s=5, max_bytes=1000
    ).fetch(f"{caller.server}/public/x.png"),
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", CALLS)
def test_no_redirect_is_followed(name: str, status: int, trap: Trap, tmp_path: Path) -> None:
    """The token would travel along."""
    platform = Trap(f"{trap.address}/elsewhere", status)
    try:
        with pytest.raises(AppError):
            CALLS[name](Caller(platform.address, CALLER_TOKEN), tmp_path)
        assert platform.calls
        assert trap.calls == []
    finally:
        platform.close()


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/x.png",
        "http://localhost:{port}/x.png",
        "http://[::ffff:127.0.0.1]:{port}/x.png",
        "http://platform.example@127.0.0.1:{port}/x.png",
        "http://platform.example:80#@127.0.0.1:{port}/",
        "http://2130706433:{port}/x.png",
        "http://127.1:{port}/x.png",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "http://platform.example.:{port}/x.png",
    ],
)
def test_a_picture_is_fetched_from_no_other_host(address: str, trap: Trap) -> None:
    pictures = WebPictures(
        ["http://platform.example"], ["images.example"], timeout_s=5, max_bytes=1000
    )
    with pytest.raises((AppError, PermissionDenied)):
        pictures.fetch(address.format(port=trap.address.rpartition(":")[2]))
    assert trap.calls == []
