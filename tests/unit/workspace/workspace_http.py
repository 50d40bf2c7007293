"""A workspace over real HTTP, and the platform's unmodified SDK client."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
import uvicorn
from fastapi import FastAPI
from PIL import Image
from starlette.types import ASGIApp

from sam2_serving.workspace import WorkspaceSettings

# The SDK would otherwise ask once whether the http address also speaks https.
os.environ.setdefault("SUPERVISELY_SKIP_HTTPS_USER_HELPER_CHECK", "1")

import supervisely as sly

OWNER_TOKEN = "owner-token-of-the-tests"
SESSION_TOKEN = "session-token-of-the-tests"


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port; give its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@dataclass(frozen=True)
class Running:
    """A workspace that listens."""

    url: str
    app: FastAPI

    def api(self, token: str = OWNER_TOKEN) -> sly.Api:
        return sly.Api(self.url, token, retry_count=1)

    def post(self, route: str, body: object, token: str | None = OWNER_TOKEN) -> requests.Response:
        headers = {} if token is None else {"x-api-key": token}
        url = f"{self.url}/public/api/v3/{route}"
        return requests.post(url, json=body, headers=headers, timeout=20)

    def page(self, method: str, path: str, **more: object) -> requests.Response:
        return requests.request(method, self.url + path, timeout=20, **more)

    def member(self, login: str, dataset_ids: list[int] | None) -> str:
        body = {"login": login, "dataset_ids": dataset_ids}
        answer = self.page("PUT", "/workspace/api/members", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])


def write_picture(file: Path, width: int = 60, height: int = 40, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


Settings = Callable[..., WorkspaceSettings]
"""Makes settings over the test's folder, with changes."""
