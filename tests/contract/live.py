"""The parts of the contract tests: a running app and a running workspace."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import supervisely as sly

from sam2_serving.masks import encode_bitmap
from sam2_serving.workspace.context import Workspace
from sam2_serving.workspace.settings import TASK_ID
from sam2_serving.workspace.tracks import Message

REPOSITORY = Path(__file__).resolve().parents[2]
OWNER_TOKEN = "owner-token-0123456789abcdef"
STARTUP_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def entrypoint(port: int) -> list[str]:
    """Return the command of config.json, on another port and on this machine only."""
    command = shlex.split(json.loads((REPOSITORY / "config.json").read_text())["entrypoint"])
    command[0] = sys.executable
    command[command.index("--host") + 1] = "127.0.0.1"
    command[command.index("--port") + 1] = str(port)
    return command


@dataclass
class RunningApp:
    """An app process: call it as a client does, stop it, start it again on the same port."""

    port: int
    environment: dict[str, str]
    log_file: Path
    command: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def start(self, *, ready: bool = True) -> RunningApp:
        command = self.command or entrypoint(self.port)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, env=self.environment, stdout=log, stderr=log
            )
        self.wait(lambda: not ready or self.is_online())
        return self

    def wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + STARTUP_S
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, f"the app ended:\n{self.log()[-3000:]}"
            try:
                if self.client.get("/is_alive").status_code == 200 and done():
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"the app did not get ready:\n{self.log()[-3000:]}")

    def until(self, done: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait until `done` gives something; returns it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            result = done()
            if result:
                return result
            time.sleep(0.05)
        raise AssertionError(f"it did not happen:\n{self.log()[-3000:]}")

    def is_online(self) -> bool:
        return bool(self.post("is_online").json()["is_online"])

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def post(self, route: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.client.post(f"/{route}", json={} if body is None else body, **options)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def threads(self) -> int:
        """Threads of the process."""
        assert self.process is not None
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def memory(self) -> int:
        """Resident bytes of the process."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


Corners = list[dict[str, int]]


@dataclass(frozen=True)
class DrawnObject:
    """An object of a scene, as a person would mark it."""

    crop: Corners
    click: dict[str, int]
    click_beside: dict[str, int]
    """Inside the crop, not on the object."""
    click_outside: dict[str, int]
    mask: np.ndarray

    @classmethod
    def largest(cls, masks: np.ndarray) -> DrawnObject:
        mask = masks[masks.sum((1, 2)).argmax()]
        rows, columns = np.nonzero(mask)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max(), rows.max()
        beside = np.zeros_like(mask)
        beside[y0 : y1 + 1, x0 : x1 + 1] = ~mask[y0 : y1 + 1, x0 : x1 + 1]
        outside = np.ones_like(mask)
        outside[y0 : y1 + 1, x0 : x1 + 1] = False
        return cls(
            [{"x": int(x0), "y": int(y0)}, {"x": int(x1), "y": int(y1)}],
            deepest(mask),
            deepest(beside),
            deepest(outside),
            mask,
        )

    @property
    def bitmap(self) -> str:
        """The mask as the platform sends it; its origin is the crop's first corner."""
        encoded = encode_bitmap(self.mask)
        assert encoded is not None
        return encoded[1]


def deepest(mask: np.ndarray) -> dict[str, int]:
    """Return the pixel of a mask that is farthest from its edge."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return {"x": int(x), "y": int(y)}


@dataclass
class Platform:
    """The workspace, running, with what it shows."""

    address: str
    workspace: Workspace
    images: dict[str, int]
    datasets: dict[str, int]
    objects: dict[str, DrawnObject]
    others: dict[str, int]
    """Ids of the video, the volume, the point cloud and its photo."""
    figures: dict[str, int]
    """Ids of figures of scene0, by shape."""

    def envelope(self, context: dict[str, Any], state: Any = None, **extra: Any) -> dict[str, Any]:
        """Wrap a context as the platform's proxy does."""
        body = {"context": context, "state": {} if state is None else state}
        return {**body, "api_token": OWNER_TOKEN, "server_address": self.address, **extra}

    def api(self, token: str = OWNER_TOKEN) -> sly.Api:
        return sly.Api(self.address, token)

    def send(
        self, route: str, context: dict[str, Any], state: Any = None, token: str = OWNER_TOKEN
    ) -> Any:
        """Send a request through the workspace's proxy with the unmodified SDK client."""
        return self.api(token).task.send_request(
            TASK_ID, route, data=state or {}, context=dict(context), retries=1
        )

    def told(self, track_id: str, channel: str = "notify") -> list[Message]:
        """What the app told the labeling tool about a track, the oldest first."""
        messages = self.workspace.tracks.messages(track_id)
        return [one for one in messages if one.channel == channel]

    def count(self, route: str) -> int:
        return self.workspace.counts.read().get(route, 0)
