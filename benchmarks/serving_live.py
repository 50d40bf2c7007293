"""The app and a local workspace with images, in this process: for benches of requests over HTTP."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import uvicorn

from sam2_serving.engine import Engine
from sam2_serving.workspace.context import Workspace
from sam2_serving.workspace.server import create_workspace
from sam2_serving.workspace.settings import WorkspaceSettings

TOKEN = "benchmark-token-0123456789"


@dataclass(frozen=True)
class Serving:
    """Both sides of the wire.

    Attributes:
        address: of the app.
        platform: address of the workspace.
        images: id of each image, by name.
        engine: the app's.
        workspace: the platform's parts.
    """

    address: str
    platform: str
    images: dict[str, int]
    engine: Engine
    workspace: Workspace

    def envelope(self, **fields: Any) -> dict[str, Any]:
        """Return a request's body as the platform's proxy sends it."""
        return {"api_token": TOKEN, "server_address": self.platform, **fields}


def serve(folder: Path, images: dict[str, npt.NDArray[np.uint8]], device: str = "cpu") -> Serving:
    """Start both, on threads that end with the process; returns when nano is served.

    Args:
        folder: everything that they keep goes here.
        images: uint8 HxWx3 RGB, by name.
        device: of the app.
    """
    media = folder / "media" / "scenes"
    media.mkdir(parents=True)
    for name, image in images.items():
        assert cv2.imwrite(str(media / f"{name}.png"), image[..., ::-1])
    workspace = create_workspace(
        WorkspaceSettings(
            folder=media.parent,
            data_dir=folder / "workspace",
            port=1,
            app_url="http://127.0.0.1:1",
            token=TOKEN,
        )
    )
    platform = _listen(workspace)
    store = workspace.state.workspace.store
    entities = store.entities([one.id for one in store.datasets()])
    os.environ |= {
        "SERVER_ADDRESS": platform,
        "LOG_LEVEL": "WARNING",
        "SAM2_SERVING_DATA_DIR": str(folder / "app"),
        "SAM2_SERVING_MODEL": "nano",
        "SAM2_SERVING_DEVICE": device,
    }
    from sam2_serving.app.app import SegmentAnything2  # reads the environment

    served = SegmentAnything2(headless=True)
    served.serve()
    address = _listen(served.app)
    while served.deployment.served is None:
        assert served.deployment.error is None, served.deployment.error
        time.sleep(0.1)
    ids = {Path(one.path).stem: one.id for one in entities}
    return Serving(address, platform, ids, served.ready_engine(), workspace.state.workspace)


def time_decodes(engine: Engine) -> list[float]:
    """Return a list that gets the seconds of each decode."""
    taken: list[float] = []
    decode = engine._decode

    def timed(*arguments: Any) -> Any:
        begun = time.perf_counter()
        answer = decode(*arguments)
        taken.append(time.perf_counter() - begun)
        return answer

    engine._decode = timed  # type: ignore[method-assign]
    return taken


def _listen(app: Any) -> str:
    """Serve an ASGI app on a thread; returns its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    threading.Thread(target=server.run, args=([listener],), daemon=True).start()
    while not server.started:
        time.sleep(0.02)
    return f"http://127.0.0.1:{listener.getsockname()[1]}"
