"""The real app and a workspace that fails on purpose, with a drawn clip of 101 frames."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

from hard_day import MOST_JOBS, PATIENCE_S, TIMEOUT_S, Day, draw_long_clip
from live import OWNER_TOKEN, RunningApp, free_port
from pictures import write_film

from sam2_serving.workspace.context import Workspace
from sam2_serving.workspace.server import create_workspace
from sam2_serving.workspace.settings import WorkspaceSettings


@pytest.fixture(scope="session")
def workspace_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def app_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def failing_workspace(
    workspace_port: int, app_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("hard-day")
    write_film(folder / "long.avi", list(draw_long_clip().frames))
    settings = WorkspaceSettings(
        folder=folder,
        data_dir=tmp_path_factory.mktemp("hard-day-workspace"),
        port=workspace_port,
        app_url=f"http://127.0.0.1:{app_port}",
        token=OWNER_TOKEN,
        faults=True,
    )
    application = create_workspace(settings)
    server = uvicorn.Server(uvicorn.Config(application, port=workspace_port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield application.state.workspace
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def make_app(
    failing_workspace: Workspace, app_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RunningApp]]:
    """Start apps with a folder of their own; all are stopped in the end."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    started = []

    def make(port: int = 0, **settings: object) -> RunningApp:
        own = {
            "PLATFORM_TIMEOUT_S": TIMEOUT_S,
            "TRACKING_PATIENCE_S": PATIENCE_S,
            "MAX_TRACKING_JOBS": MOST_JOBS,
            "MODEL": "nano",
            "DEVICE": "cpu",
            "MAX_VIDEO_MB": 0,  # every frame is fetched alone
            "CHECKPOINTS_DIR": tmp_path_factory.mktemp("checkpoints"),
            "DATA_DIR": tmp_path_factory.mktemp("app-data"),
            **settings,
        }
        environment = kept | {
            "OMP_NUM_THREADS": "1",
            "SERVER_ADDRESS": failing_workspace.settings.public_address,
            "HTTPS_PROXY": "http://127.0.0.1:9",
            **{f"SAM2_SERVING_{name}": str(value) for name, value in own.items()},
        }
        log = tmp_path_factory.mktemp("log") / "app.log"
        running = RunningApp(port or free_port(), environment, log)
        started.append(running)
        return running.start()

    yield make
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def app(make_app: Callable[..., RunningApp], app_port: int) -> RunningApp:
    return make_app(app_port)


@pytest.fixture
def make_day(failing_workspace: Workspace) -> Iterator[Callable[[RunningApp], Day]]:
    days = []

    def make(app: RunningApp) -> Day:
        days.append(Day(failing_workspace.settings.public_address, failing_workspace, app))
        return days[-1]

    yield make
    for day in days:
        day.fine()


@pytest.fixture
def day(make_day: Callable[[RunningApp], Day], app: RunningApp) -> Day:
    return make_day(app)
