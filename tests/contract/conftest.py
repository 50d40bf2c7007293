"""The real app (a process of its own), the real workspace, and real HTTP between them."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import uvicorn
from failing import FailingPlatform
from live import OWNER_TOKEN, DrawnObject, Platform, RunningApp, free_port
from pictures import (
    CLIP,
    KINDS,
    draw_figures,
    scan_slice,
    write_cloud,
    write_film,
    write_kinds,
    write_scan,
)
from timeline import Timeline

from sam2_serving.scenes import draw_scene
from sam2_serving.workspace.server import create_workspace
from sam2_serving.workspace.settings import TEAM_ID, WorkspaceSettings

SCENES = [draw_scene(seed, size=(320, 240)) for seed in range(4)]


@pytest.fixture(scope="session")
def media_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for seed in range(len(SCENES)):
        dataset = folder / ("open" if seed < 3 else "closed")
        dataset.mkdir(exist_ok=True)
        file = dataset / f"scene{seed}.png"
        assert cv2.imwrite(str(file), SCENES[seed].image[..., ::-1]), f"{file} was not written"
    write_kinds(folder / "kinds", SCENES[0].image)
    write_film(folder / "open" / "film.avi", [scene.image for scene in SCENES[:3]])
    write_film(folder / "open" / "walk.avi", list(np.asarray(CLIP.frames)))
    write_scan(folder / "open" / "scan.nrrd", [scan_slice(scene.image) for scene in SCENES[:3]])
    write_cloud(folder / "open" / "cloud.pcd", folder / "open" / "scene1.png")
    return folder


@pytest.fixture(scope="session")
def app_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def platform(
    media_folder: Path, app_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    # Bound from now on: a port that is only chosen may be taken by the time it is used.
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings = WorkspaceSettings(
        folder=media_folder,
        data_dir=tmp_path_factory.mktemp("workspace"),
        port=port,
        app_url=f"http://127.0.0.1:{app_port}",
        token=OWNER_TOKEN,
    )
    application = create_workspace(settings)
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the workspace did not start"
        time.sleep(0.05)
    workspace = application.state.workspace
    datasets = {one.name: one.id for one in workspace.store.datasets()}
    entities = workspace.store.entities(list(datasets.values()))
    images = {Path(one.path).stem: one.id for one in entities}
    missing = {*KINDS, *(f"scene{seed}" for seed in range(len(SCENES)))} - images.keys()
    assert not missing, (missing, list(media_folder.rglob("*")))
    others = {
        kind: workspace.store.entities(list(datasets.values()), kind)[0].id
        for kind in ("video", "volume", "cloud")
    }
    objects = {f"scene{seed}": DrawnObject.largest(one.masks) for seed, one in enumerate(SCENES)}
    others["clip"] = next(
        one.id
        for one in workspace.store.entities(list(datasets.values()), "video")
        if one.name == "walk.avi"
    )
    others["photo"] = workspace.store.photos([others["cloud"]])[0].id
    yield Platform(
        settings.public_address,
        workspace,
        images,
        datasets,
        objects,
        others,
        draw_figures(settings.public_address, images["scene0"], objects["scene0"].mask),
    )
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def failing_platform() -> Iterator[FailingPlatform]:
    with FailingPlatform() as failing:
        yield failing


@pytest.fixture(scope="session")
def app_environment(
    platform: Platform,
    failing_platform: FailingPlatform,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Headless: the platform's address is known, no token and no team are."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "SERVER_ADDRESS": platform.address,
        "LOG_LEVEL": "DEBUG",
        # Downloads fail at once, whether this machine has a network or not.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "SAM2_SERVING_CHECKPOINTS_DIR": str(tmp_path_factory.mktemp("checkpoints")),
        "SAM2_SERVING_DATA_DIR": str(tmp_path_factory.mktemp("app-data")),
        "SAM2_SERVING_LOG_FORMAT": "json",
        "SAM2_SERVING_MODEL": "nano",
        "SAM2_SERVING_DEVICE": "cpu",
        "SAM2_SERVING_ALLOWED_SERVERS": json.dumps([failing_platform.address]),
        "SAM2_SERVING_PLATFORM_TIMEOUT_S": "3",
        "SAM2_SERVING_MAX_IMAGE_MB": "2",
        "SAM2_SERVING_MAX_IMAGE_PIXELS": "1000000",
        "SAM2_SERVING_MAX_REQUEST_MB": "2",
        # Tests count what the app asks of the platform; what is ahead has tests of its own.
        "SAM2_SERVING_PREFETCH_NEXT": "0",
    }


@pytest.fixture(scope="session")
def app(
    app_environment: dict[str, str], app_port: int, tmp_path_factory: Any
) -> Iterator[RunningApp]:
    log_file = tmp_path_factory.mktemp("log") / "app.log"
    running = RunningApp(app_port, app_environment, log_file).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def page_app(
    platform: Platform, app_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    """With the SDK's Serve page, as the platform starts it; no model is served yet."""
    environment = app_environment | {"API_TOKEN": OWNER_TOKEN, "TEAM_ID": str(TEAM_ID)}
    log_file = tmp_path_factory.mktemp("log") / "page-app.log"
    running = RunningApp(free_port(), environment, log_file).start(ready=False)
    yield running
    running.stop()


@pytest.fixture
def timeline(platform: Platform, app: RunningApp) -> Timeline:
    return Timeline.with_objects(platform, app)
