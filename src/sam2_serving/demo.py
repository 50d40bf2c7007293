"""Start workspace and app together, as `make demo` does."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from sam2_serving.pretrained import REPOSITORY
from sam2_serving.settings import KEEP_ALIVE_S, ServerSettings

if TYPE_CHECKING:
    import httpx

_START_LIMIT_S = 120.0
_STOP_LIMIT_S = 20.0


class DemoError(Exception):
    """The demo cannot run; the text says why and what to do."""


@dataclass(frozen=True)
class Demo:
    """What to start.

    Attributes:
        folder: images to label, or None for the sample folder.
        port: of the workspace and its page.
        app_port: of the app.
        model: name or alias of a pretrained model.
        device: auto, cpu, cuda or cuda:N.
        data_dir: where figures, samples and downloads are kept.
    """

    folder: Path | None
    port: int
    app_port: int
    model: str
    device: str
    data_dir: Path

    @property
    def page_url(self) -> str:
        """Address of the workspace."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def app_url(self) -> str:
        """Address of the app."""
        return f"http://127.0.0.1:{self.app_port}"


def demo_from(settings: ServerSettings, folder: Path | None, port: int) -> Demo:
    """Describe a demo by the server's settings."""
    data_dir = settings.data_dir.resolve()  # the servers run in the repository's folder
    return Demo(folder, port, settings.port, settings.model, settings.device, data_dir)


def run_demo(demo: Demo) -> int:
    """Run both servers until interrupted; returns the exit code.

    Raises:
        DemoError: a port is taken, a server did not start, or the model could not be served.
    """
    for port, option in ((demo.port, "--port"), (demo.app_port, "--app-port")):
        _need_free(port, option)
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal must not leave servers
        signal.signal(number, _interrupt)
    token, session_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    page_environment = _workspace_environment(demo, token, session_token)
    app_environment = _app_environment(demo, token)
    logs, command = demo.data_dir / "logs", app_command("127.0.0.1", demo.app_port)
    with (
        _server("workspace", _workspace_command(demo), page_environment, logs) as page,
        _server("app", command, app_environment, logs) as app,
    ):
        try:
            print("Starting workspace and app ...", flush=True)
            _wait_until_up(page, f"{demo.page_url}/")
            _wait_until_up(app, f"{demo.app_url}/is_alive")
            _serve_model(demo, session_token)
            print(
                f"\nReady. Label here:  {demo.page_url}\n"
                f"The app itself:     {demo.app_url}\n"
                f"Logs are in {logs}. Ctrl-C stops both.",
                flush=True,
            )
            while True:
                page.check()
                app.check()
                time.sleep(0.3)
        except KeyboardInterrupt:
            print("\nStopping.", flush=True)
            return 0


def _need_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(f"Port {port} is taken: choose another with {option}.") from error


def _workspace_command(demo: Demo) -> list[str]:
    folder = [] if demo.folder is None else [str(demo.folder)]
    return [sys.executable, "-m", "sam2_serving.workspace", *folder]


def _workspace_environment(demo: Demo, token: str, session_token: str) -> dict[str, str]:
    # by environment, because a command line can be read by every user of the machine
    key = os.environ.get("SAM2_SERVING_ACCESS_KEY")
    return {
        **({"SAM2_SERVING_WORKSPACE_APP_KEY": key} if key else {}),
        "SAM2_SERVING_WORKSPACE_PORT": str(demo.port),
        "SAM2_SERVING_WORKSPACE_DATA_DIR": str(demo.data_dir),
        "SAM2_SERVING_WORKSPACE_APP_URL": demo.app_url,
        "SAM2_SERVING_WORKSPACE_TOKEN": token,
        "SAM2_SERVING_WORKSPACE_SESSION_TOKEN": session_token,
    }


def app_command(host: str, port: int) -> list[str]:
    """Return how the app is started, to be run in the repository's folder: as the platform does."""
    return [
        *(sys.executable, "-m", "uvicorn", "serve.main:m.app", "--ws", "websockets"),
        *("--host", host, "--port", str(port), "--timeout-keep-alive", str(KEEP_ALIVE_S)),
    ]


def _app_environment(demo: Demo, token: str) -> dict[str, str]:
    return {
        "SERVER_ADDRESS": demo.page_url,
        "API_TOKEN": token,
        "TEAM_ID": "1",
        "WORKSPACE_ID": "1",
        "SUPERVISELY_SKIP_HTTPS_USER_HELPER_CHECK": "1",
        "SAM2_SERVING_PORT": str(demo.app_port),
        "SAM2_SERVING_DATA_DIR": str(demo.data_dir),
    }


@dataclass(frozen=True)
class _Server:
    """A running server and the file it logs to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise `DemoError` with the last lines of the log if the server has ended."""
        if self.process.poll() is not None:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise DemoError(f"The {self.name} ended unexpectedly. {self.log} ends with:\n{last}")


@contextmanager
def _server(
    name: str, command: list[str], environment: dict[str, str], folder: Path
) -> Iterator[_Server]:
    """Run a server in a process group of its own, so that Ctrl-C reaches only this process."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=REPOSITORY,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _Server(name, process, log)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # impatience must not leave servers either
        process.terminate()
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_up(server: _Server, url: str) -> None:
    import httpx  # takes a third of a second, for which `serve` would wait, too

    end = time.monotonic() + _START_LIMIT_S
    with httpx.Client(timeout=2.0) as client:  # each new one reads all certificates
        while time.monotonic() < end:
            server.check()
            with suppress(httpx.TransportError):
                if client.get(url).is_success:
                    return
            time.sleep(0.1)
    raise DemoError(f"The {server.name} did not answer within {_START_LIMIT_S:.0f} seconds.")


def _serve_model(demo: Demo, session_token: str) -> None:
    """Press Serve as a client of the platform does: through its proxy."""
    print(f"Serving {demo.model} on {demo.device} ...", flush=True)
    answer = _post(
        f"{demo.page_url}/net/{session_token}/deploy_from_api",
        {
            "state": {
                "model_name": demo.model,
                "deploy_params": {
                    "model_source": "Pretrained models",
                    "device": demo.device,
                    "runtime": "PyTorch",
                },
            }
        },
    )
    if not answer.is_success:
        raise DemoError(f"{demo.model!r} could not be served: {_reason(answer)}")


def _post(url: str, body: dict[str, object]) -> httpx.Response:
    import httpx

    try:
        return httpx.post(url, json=body, timeout=None)
    except httpx.TransportError as error:
        raise DemoError(f"The workspace stopped answering: {error}.") from error


def _reason(answer: httpx.Response) -> str:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if isinstance(content, dict):
        return str(content.get("message") or content.get("error") or content)
    return f"the app answered with status {answer.status_code}."


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
