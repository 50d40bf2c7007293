"""The real workspace and the real app, as processes on free ports."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from sam2_serving.demo import app_command

REPOSITORY = Path(__file__).resolve().parents[2]
SCREENSHOTS = REPOSITORY / "build" / "screenshots"
TOKEN = "owner-token-of-the-browser-tests"
SESSION = "session-token-of-the-browser-tests"
START_LIMIT_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(command: list[str], environment: dict[str, str], log: Path, url: str) -> Iterator[None]:
    """Run a server; wait until it answers at `url`."""
    everything = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=everything, cwd=REPOSITORY, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        _wait(server, url, log)
        yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=2.0).is_success:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not come up:\n{log.read_text()[-3000:]}")


@contextlib.contextmanager
def workspace_process(
    data: Path, media: Path, app_url: str, port: int, session: str = SESSION
) -> Iterator[str]:
    """Run a workspace; give its address."""
    url = f"http://127.0.0.1:{port}"
    environment = {
        "SAM2_SERVING_WORKSPACE_PORT": str(port),
        "SAM2_SERVING_WORKSPACE_DATA_DIR": str(data),
        "SAM2_SERVING_WORKSPACE_APP_URL": app_url,
        "SAM2_SERVING_WORKSPACE_TOKEN": TOKEN,
        "SAM2_SERVING_WORKSPACE_SESSION_TOKEN": session,
        "SAM2_SERVING_WORKSPACE_FAULTS": "1",
    }
    command = [sys.executable, "-m", "sam2_serving.workspace", str(media)]
    data.mkdir(parents=True, exist_ok=True)
    with process(command, environment, data / "workspace.log", f"{url}/workspace/api/session"):
        yield url


@contextlib.contextmanager
def app_process(data: Path, workspace_url: str, port: int) -> Iterator[str]:
    """Run the app as the platform starts it, with its Serve page; give its address."""
    url = f"http://127.0.0.1:{port}"
    environment = {
        "SERVER_ADDRESS": workspace_url,
        "API_TOKEN": TOKEN,
        "TEAM_ID": "1",
        "WORKSPACE_ID": "1",
        "SUPERVISELY_SKIP_HTTPS_USER_HELPER_CHECK": "1",
        "SAM2_SERVING_PORT": str(port),
        "SAM2_SERVING_DATA_DIR": str(data),
    }
    with process(app_command("127.0.0.1", port), environment, data / "app.log", f"{url}/is_alive"):
        yield url


@dataclass(frozen=True)
class Demo:
    """A workspace and the app behind it."""

    url: str
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=120))

    def app(self, endpoint: str, **envelope: Any) -> Any:
        """Call the app as the page does."""
        body = {"context": {}, "state": {}, **envelope}
        answer = self.client.post(f"{self.url}/net/{SESSION}/{endpoint}", json=body)
        answer.raise_for_status()
        return answer.json()

    def get(self, path: str) -> Any:
        """Ask the workspace as the page does."""
        answer = self.client.get(f"{self.url}/workspace/api/{path}")
        answer.raise_for_status()
        return answer.json()

    @contextlib.contextmanager
    def slow_reports(self, seconds: float) -> Iterator[None]:
        """Let the platform take its time with each report of a tracking job: it stays slow."""
        plan = {"routes": ["videos.notify-annotation-tool"], "share": 1.0, "ways": ["slow"]}
        url = f"{self.url}/workspace/faults"
        self.client.put(url, json=plan | {"slow_s": seconds, "seed": 1}).raise_for_status()
        try:
            yield
        finally:
            self.client.delete(url).raise_for_status()

    def figure(self, video_id: int, frame: int) -> dict[str, Any]:
        """The only figure of a frame."""
        (figure,) = self.get(f"videos/{video_id}/frames/{frame}/figures")
        return dict(figure)

    def serve_nano(self) -> None:
        """Serve nano on the CPU, if it is not served yet."""
        if self.app("get_serve_options")["state"] != "ready":
            params = {"model_source": "Pretrained models", "device": "cpu", "runtime": "PyTorch"}
            self.app("deploy_from_api", state={"model_name": "nano", "deploy_params": params})

    def media(self, kind: str) -> dict[str, Any]:
        """The first medium of a kind: images, videos, volumes, photos."""
        datasets = self.get("media")["datasets"]
        return dict(next(one for dataset in datasets for one in dataset[kind]))

    def clear_figures(self) -> None:
        """Delete every figure."""
        for dataset in self.get("media")["datasets"]:
            for kind in ("images", "photos"):
                for one in dataset[kind]:
                    self._clear(f"{kind}/{one['id']}/figures")
            for one in dataset["videos"]:
                for place in self.get(f"videos/{one['id']}/places"):
                    number = place.partition(":")[2]
                    self._clear(f"videos/{one['id']}/frames/{number}/figures")
            for one in dataset["volumes"]:
                for place in self.get(f"volumes/{one['id']}/places"):
                    plane, _, number = place.partition(":")
                    self._clear(f"volumes/{one['id']}/slices/{plane}/{number}/figures")

    def _clear(self, figures: str) -> None:
        for figure in self.get(figures):
            self.client.delete(f"{self.url}/workspace/api/figures/{figure['id']}")

    def stop_model(self) -> None:
        """Stop serving."""
        self.app("stop_model")
