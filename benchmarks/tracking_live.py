"""The workspace and the app's process, with a clip: for benches of whole jobs over HTTP."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import supervisely as sly
import uvicorn
from tracking_material import Mask

from sam2_serving.demo import app_command
from sam2_serving.masks import encode_bitmap
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.workspace.context import Workspace
from sam2_serving.workspace.server import create_workspace
from sam2_serving.workspace.settings import WorkspaceSettings

_STARTUP_S = 180.0


@dataclass
class Live:
    """Both sides of the wire.

    Attributes:
        pid: of the app.
        app: a client of the app.
        address: of the workspace.
        video: id of the clip.
        frames: of the clip.
        objects: ids of objects without figures.
    """

    pid: int
    app: httpx.Client
    address: str
    token: str
    workspace: Workspace
    video: int
    frames: int
    objects: list[int]

    def post(self, route: str, context: dict[str, Any]) -> Any:
        """Send a request to the app as the platform's proxy does."""
        answer = self.app.post(f"/{route}", json=self.envelope(context))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def envelope(self, context: dict[str, Any]) -> dict[str, Any]:
        """Wrap a context."""
        who = {"api_token": self.token, "server_address": self.address}
        return {"context": context, "state": {}, **who}

    def draw(self, masks: Sequence[Mask]) -> list[int]:
        """Store a figure for each object on the first frame; returns their ids."""
        figures = [
            {"geometryType": "bitmap", "meta": {"frame": 0}, **one} for one in self._drawn(masks)
        ]
        body = {"entityId": self.video, "figures": figures}
        added = sly.Api(self.address, self.token).post("figures.bulk.add", body).json()
        return [one["id"] for one in added]

    def inline(self, masks: Sequence[Mask], frames: int) -> dict[str, Any]:
        """Return the context of a job whose figures come with it."""
        figures = [
            {"id": place, "geometryType": "bitmap", "meta": {"frame": 0}, **one}
            for place, one in enumerate(self._drawn(masks))
        ]
        return {**self.context(frames), "figures": figures, "sessionId": "bench"}

    def context(self, frames: int) -> dict[str, Any]:
        """Return the context of a job, without figures."""
        return {
            "videoId": self.video,
            "trackId": uuid.uuid4().hex,
            "frameIndex": 0,
            "frames": frames,
            "direction": "forward",
        }

    def start_track(self, ids: Sequence[int], frames: int) -> str:
        """Start `/track` for figures that `draw` stored; returns its track id."""
        context = {
            **self.context(frames),
            "figureIds": list(ids),
            "objectIds": self.objects[: len(ids)],
        }
        self.post("track", context)
        return str(context["trackId"])

    def done(self, track_id: str) -> int:
        """Tell how many frames a track says to have stored; raises if it failed."""
        told = self.workspace.tracks.messages(track_id)
        errors = [one.data for one in told if one.kind == "error"]
        assert not errors, errors
        counts = [one.data["progress"]["current"] for one in told if one.kind == "progress"]
        return max(counts, default=0)

    def wait(self, happened: Callable[[], bool], pause_s: float = 0.02) -> None:
        """Wait until something has happened."""
        while not happened():
            time.sleep(pause_s)

    def _drawn(self, masks: Sequence[Mask]) -> Iterator[dict[str, Any]]:
        for object_id, mask in zip(self.objects, masks, strict=False):
            bitmap = encode_bitmap(mask)
            assert bitmap is not None
            (x, y), data = bitmap
            yield {"objectId": object_id, "geometry": {"bitmap": {"origin": [x, y], "data": data}}}


@contextmanager
def live(folder: Path, video: Path, frames: int, objects: int, device: str) -> Iterator[Live]:
    """Start both with the folder's media; both end with the block.

    Args:
        folder: everything that they keep goes here, beside `video`'s folder.
        video: a clip in a folder of its own.
        frames: of the clip.
        objects: so many are made.
        device: of the app.
    """
    token, page_port, app_port = secrets.token_hex(16), _free_port(), _free_port()
    settings = WorkspaceSettings(
        folder=video.parent, data_dir=folder / "workspace", port=page_port,
        app_url=f"http://127.0.0.1:{app_port}", token=token,
    )  # fmt: skip
    application = create_workspace(settings)
    server = uvicorn.Server(uvicorn.Config(application, port=page_port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    environment = os.environ | {
        "SERVER_ADDRESS": settings.public_address,
        "SAM2_SERVING_DATA_DIR": str(folder / "app"),
        "SAM2_SERVING_MODEL": "nano",
        "SAM2_SERVING_DEVICE": device,
    }
    with (folder / "app.log").open("wb") as log:
        app = subprocess.Popen(
            app_command("127.0.0.1", app_port),
            cwd=REPOSITORY, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        client = httpx.Client(base_url=settings.app_url, timeout=60)
        _until_ready(client, app)
        address = settings.public_address
        workspace: Workspace = application.state.workspace
        [entity] = workspace.store.entities([one.id for one in workspace.store.datasets()], "video")
        ids = _objects(sly.Api(address, token), entity.id, objects)
        yield Live(app.pid, client, address, token, workspace, entity.id, frames, ids)
    finally:
        app.send_signal(signal.SIGINT)
        try:
            app.wait(30)
        except subprocess.TimeoutExpired:
            app.kill()
            app.wait()
        server.should_exit = True
        thread.join(10)


def _objects(api: sly.Api, video: int, count: int) -> list[int]:
    """Make objects of a class of their own."""
    project = api.video.get_info_by_id(video).project_id
    meta = sly.ProjectMeta.from_json(api.project.get_meta(project))
    meta = meta.add_obj_class(sly.ObjClass("followed", sly.AnyGeometry))
    api.project.update_meta(project, meta.to_json())
    objects = [sly.VideoObject(meta.get_obj_class("followed")) for _ in range(count)]
    ids = sly.KeyIdMap()
    api.video.object.append_bulk(video, sly.VideoObjectCollection(objects), ids)
    return [ids.get_object_id(one.key()) for one in objects]


def _until_ready(client: httpx.Client, app: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTUP_S
    while time.monotonic() < deadline:
        assert app.poll() is None, "the app ended: see its log"
        with suppress(httpx.TransportError):
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError("the app did not get ready")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
