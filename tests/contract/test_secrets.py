"""What came as a secret is written nowhere: no log, answer, metric or file of app or workspace.

Every route of the app's own table gets a secret in every place where clients put one, and in some
where they should not; with requests that succeed, that make no sense, and that fail on the way.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from failing import FailingPlatform
from live import Platform, RunningApp
from route_table import Route, routes

MARK = "s3cret"
"""In every secret, and nowhere else."""
MEMBER = f"{MARK}-member-of-the-platform-0123456789"
STOPS = ("/stop_model", "/freeze_model")
"""They would leave the app without a model."""


def secret(place: str) -> str:
    return f"{MARK}-{place}-0123456789abcdef"


HEADERS = {
    "x-api-key": secret("header"),
    "authorization": f"Bearer {secret('bearer')}",
    "x-access-key": secret("access"),
    "cookie": f"token={secret('cookie')}; sam2={secret('cookie2')}",
}
QUERY = {"api_token": secret("query"), "token": secret("query2"), "x-api-key": secret("query3")}


def bodies(platform: Platform, failing: FailingPlatform) -> Iterator[dict[str, Any]]:
    """Bodies with secrets: valid ones that succeed or fail on the way, and such as are refused."""
    drawn, images = platform.objects["scene0"], platform.images
    click = {
        "image_id": images["scene0"],
        "crop": drawn.crop,
        "positive": [drawn.click],
        "negative": [],
        "videoId": platform.others["clip"],
        "frameIndex": 0,
        "frames": 1,
        "trackId": "leak",
        "figureIds": [1],
    }
    state = {"image_id": images["scene0"], "image_ids": [images["scene0"]], "projectId": 999}
    state |= {"settings": {"mode": "bbox", "bbox_coordinates": [10, 10, 90, 90]}}
    state |= {"videoId": platform.others["clip"], "startFrameIndex": 0, "framesCount": 1}
    good = {"context": click, "state": state, "api_token": MEMBER}
    yield {**good, "server_address": platform.address}
    yield {**good, "api_token": secret("stranger"), "server_address": platform.address}
    yield {**good, "server_address": f"http://{secret('host')}.invalid/?api_token={secret('url')}"}
    for way in ("info garbage", "info reset", "info 400", "download half"):
        lost = {**click, "image_id": failing.image(way)}
        yield {
            **good,
            "context": lost,
            "state": {**state, **lost},
            "server_address": failing.address,
        }
    yield {
        "context": {**click, "apiToken": secret("context"), "api_token": secret("context2")},
        "state": {**state, "api_token": secret("state"), "x-api-key": secret("state2")},
        "api_token": secret("envelope"),
    }
    yield {"context": {"apiToken": [secret("list")]}, "api_token": {"a": secret("object")}}
    yield {"api_token": f"{secret('spaces')} and {secret('more')}", "context": click}
    yield {"context": None, "state": secret("text"), "api_token": secret("odd")}
    yield {
        "state": {"image_url": f"{platform.address}/x?token={secret('image')}"},
        "api_token": MEMBER,
    }


def ask(app: RunningApp, route: Route, body: dict[str, Any]) -> Iterator[httpx.Response]:
    """Send a body in every form."""
    content = json.dumps(body).encode()
    where = {"method": route.method, "url": route.path, "headers": HEADERS, "params": QUERY}
    kind = {"content-type": "application/json"}
    for sent, more in ((content, kind), (content, {}), (content[:-3], kind)):
        yield app.client.request(
            **{**where, "headers": {**HEADERS, **more}}, content=sent, timeout=60
        )
    fields = {"state": content.decode(), "settings": content.decode(), "api_token": secret("form")}
    files = {"files": (f"{secret('name')}.png", content)}
    yield app.client.request(**where, data=fields, files=files, timeout=60)


def ask_all(
    app: RunningApp, platform: Platform, failing: FailingPlatform, thorough: bool
) -> list[tuple[str, str]]:
    """Ask every route; return what was answered, with where it came from."""
    platform.workspace.store.put_member("leaky", MEMBER, None)
    found = []
    for number, body in enumerate(bodies(platform, failing)):
        for route in routes():
            # the first body would be right, for whoever deploys
            if route.path in STOPS or (route.path == "/deploy_from_api" and number == 0):
                continue
            for form, answer in enumerate(ask(app, route, body)):
                head = "\n".join(f"{key}: {value}" for key, value in answer.headers.items())
                found.append((f"{route.path} {answer.status_code}", f"{head}\n{answer.text}"))
                if not thorough and (form > 0 or number > 0):
                    break
        if not thorough and number == 4:
            break
    return found


def check(answers: list[tuple[str, str]], app: RunningApp, platform: Platform) -> None:
    """Look for the mark in everything that is there to be read."""
    seen = {where.split()[1] for where, _ in answers}
    assert seen >= {"200", "400", "401", "404", "415", "502"}
    assert [(where, text) for where, text in answers if MARK in text][:3] == []
    log = app.log()
    assert "Platform call failed" in log
    assert [line[:400] for line in log.splitlines() if MARK in line][:3] == []
    metrics = app.client.get("/metrics").text
    assert "sam2_serving_requests_total" in metrics
    assert MARK not in metrics
    folders = [Path(app.environment["SAM2_SERVING_DATA_DIR"]), platform.workspace.settings.data_dir]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert files
    assert [file for file in files if MARK in str(file) or MARK.encode() in file.read_bytes()] == []


def test_no_secret_is_written(
    app: RunningApp, platform: Platform, failing_platform: FailingPlatform
) -> None:
    answers = ask_all(app, platform, failing_platform, thorough=False)
    assert len({where.split()[0] for where, _ in answers}) > 50
    check(answers, app, platform)


@pytest.mark.long
def test_no_secret_is_written_whatever_is_asked(
    app: RunningApp, platform: Platform, failing_platform: FailingPlatform
) -> None:
    answers = ask_all(app, platform, failing_platform, thorough=True)
    assert len(answers) > 2000
    check(answers, app, platform)


def test_the_workspace_logs_no_secret(
    platform: Platform, app: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session = platform.workspace.settings.session_token.get_secret_value()
    for path in ("/public/api/v3/images.info", f"/net/{session}/is_online", "/workspace/api/x"):
        for body in (b"{", b'{"id": "x"}', json.dumps({"api_token": secret("body")}).encode()):
            answer = httpx.post(
                f"{platform.address}{path}", content=body, headers=HEADERS, params=QUERY, timeout=30
            )
            assert MARK not in answer.text
    assert MARK not in caplog.text
