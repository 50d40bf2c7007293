"""Any request to any route of the app is answered: never with a 500, and the process lives on.

What a request may get is what it asked for, a 4xx, a 501 of a route that is not served, or a 503
with `Retry-After` when too much is asked for.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from live import OWNER_TOKEN, Platform, RunningApp, free_port
from pydantic import BaseModel, TypeAdapter
from route_table import Route, routes

from fuzzing import Drawer, open_files, raw, resident_bytes
from sam2_serving.app.inference.requests import BoxesState, FramesState, InferenceState
from sam2_serving.app.tracking.requests import TrackFilesSettings
from strange_pictures import GOOD, HUGE, LYING, damaged

JSON = {"content-type": "application/json"}
STOPS = {"/stop_model", "/freeze_model"}
"""Any body does what the route says."""
FORMS: dict[str, tuple[str, type[BaseModel]]] = {
    "/inference_image": ("state", InferenceState),
    "/inference_batch": ("state", InferenceState),
    "/inference_batch_async": ("settings", InferenceState),
    "/inference_video_async": ("state", FramesState),
    "/inference_boxes_file": ("state", BoxesState),
    "/track-api-files": ("settings", TrackFilesSettings),
}
"""Routes that take files: the name of the field beside them, and what it holds."""
QUICK = {"points_per_side": 1, "crop_n_layers": 0, "inference_mode": "full_image"}
"""Settings that make work of milliseconds, not of minutes; whoever sends nothing gets others."""


def quick(state: Any) -> Any:
    """Add to a state what keeps it from asking for minutes of work."""
    if not isinstance(state, dict):
        return state
    own = state.get("settings") or {}
    if isinstance(own, dict):
        own = {**QUICK, **own}
        if own["inference_mode"] == "sliding_window":
            own["sliding_window_params"] = {"windowHeight": 200, "windowWidth": 200}
        return {**state, "settings": own}
    return state


def quick_body(body: Any) -> Any:
    """Do the same in a body."""
    return {**body, "state": quick(body.get("state") or {})} if isinstance(body, dict) else body


def known_values(app: RunningApp, platform: Platform) -> dict[str, list[Any]]:
    """What is there: of each name that a body may have, values that lead further in."""
    images, drawn = platform.images, platform.objects["scene0"]
    mask = {"data": drawn.bitmap, "origin": drawn.crop[0]}
    video = [platform.others["clip"], platform.others["video"]]
    some = [images[name] for name in ("scene0", "scene1", "scene3")]
    bitmap = {"type": "bitmap", "data": {"bitmap": mask}}
    started = app.post("inference_image_id_async", platform.envelope({}, {"image_id": some[0]}))
    return {
        "api_token": [OWNER_TOKEN],
        "server_address": [platform.address],
        "image_id": some,
        "image_ids": [some],
        "batch_ids": [some],
        "crop": [drawn.crop, None],
        "positive": [[drawn.click], []],
        "negative": [[], [drawn.click_beside]],
        "mask": [mask, None],
        "figure_id": [platform.figures["mask"], None],
        "figureIds": [list(platform.figures.values())[:1]],
        "local_figure_id": ["a", "b", None],
        "volume_id": [platform.others["volume"]],
        "video_id": video,
        "videoId": video,
        "pcd_related_image_id": [platform.others["photo"], None],
        "frameIndex": [0, 1, 5],
        "frame_index": [0, 1, 5],
        "frames": [1, 3],
        "framesCount": [1, 3],
        "bbox_coordinates": [[10, 10, 80, 90], None],
        "point_coordinates": [[[drawn.click["x"], drawn.click["y"]]]],
        "boxes": [[[10, 10, 80, 90]], []],
        "init_mask": [mask, None],
        "input_geometries": [[bitmap]],
        "figures": [
            [{"id": 1, "objectId": 1, "geometryType": "bitmap", "geometry": {"bitmap": mask},
              "meta": {"frame": 0}}]
        ],
        "projectId": [1],
        "inference_request_uuid": [started.json().get("inference_request_uuid")],
        "model_name": ["no such model"],
        "image_url": [f"{platform.address}/", "http://127.0.0.1:9/x.png"],
    }  # fmt: skip


class Fuzzer:
    """Sends what is drawn, and judges the answers."""

    def __init__(self, app: RunningApp, platform: Platform) -> None:
        self.app = app
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{app.port}", timeout=120)
        self.codes: Counter[int] = Counter()
        self.seconds: Counter[str] = Counter()
        known = known_values(app, platform)
        self._bodies = {
            one.path: _drawn(one.body, known) for one in routes() if one.body is not None
        }
        self._states = {path: _drawn(model, known) for path, (_, model) in FORMS.items()}
        envelope = {"api_token": OWNER_TOKEN, "server_address": platform.address}
        self._other = st.dictionaries(
            st.sampled_from(["state", "context", "api_token", "server_address", "x"]),
            st.dictionaries(st.sampled_from(sorted(known)), st.integers() | st.none(), max_size=4),
            max_size=4,
        ).map(lambda body: {**envelope, **body})

    def requests(self) -> st.SearchStrategy[Any]:
        """Requests to all routes; not to those that stop the model."""
        asked = [one for one in routes() if one.path not in STOPS]
        return st.sampled_from(asked).flatmap(self._request)

    def _request(self, route: Route) -> st.SearchStrategy[Any]:
        if route.path in FORMS:
            return st.tuples(st.just(route), self._form(route.path)) | self._json(route)
        return self._json(route)

    def _json(self, route: Route) -> st.SearchStrategy[Any]:
        body = self._bodies.get(route.path, self._other)
        if route.path.startswith("/inference_"):
            body = body.map(quick_body)
        return st.tuples(st.just(route), raw(body).map(lambda content: {"content": content}))

    def _form(self, path: str) -> st.SearchStrategy[Any]:
        field = FORMS[path][0]
        names = st.sampled_from(["a.png", "../../../etc/cron.d/x", "\0", "a" * 300, "é.jpg", ""])
        file = st.sampled_from(sorted(GOOD)).map(GOOD.__getitem__) | damaged()
        files = st.lists(st.tuples(names, file), max_size=3)
        return st.tuples(self._states[path], files).map(lambda two: _form_of(field, *two))

    def send(self, request: Any) -> None:
        route, how = request
        path, method = route.path, route.method
        headers = JSON if "content" in how else {}
        began = time.monotonic()
        answer = self.client.request(method, path, headers=headers, **how)
        self.seconds[path] += time.monotonic() - began
        self.codes[answer.status_code] += 1
        busy = answer.status_code == 503 and (
            "retry-after" in answer.headers or path in ("/health", "/readyz", "/is_ready")
        )
        fine = answer.status_code < 500 or answer.status_code in (501, 502, 504) or busy
        assert fine, (answer.status_code, method, path, how, answer.text[:300])


def _drawn(model: type[BaseModel], known: dict[str, list[Any]]) -> st.SearchStrategy[Any]:
    schema = TypeAdapter(model).json_schema()
    return Drawer(schema.get("$defs", {}), known).body(schema)


def _form_of(field: str, state: Any, files: list[tuple[str, bytes]]) -> dict[str, Any]:
    return {
        "data": {field: json.dumps(quick(state))},
        "files": [("files", (name, content)) for name, content in files],
    }


@pytest.fixture(scope="module")
def fuzzer(app: RunningApp, platform: Platform) -> Fuzzer:
    return Fuzzer(app, platform)


def test_every_route_that_reads_a_body_is_drawn_from_its_model() -> None:
    """A new route is in the table by itself; what a form holds is named here."""
    tables = {one.path for one in routes() if one.method == "POST" and one.body is None}
    of_the_sdk = {"/debug", "/freeze_model", "/get_deploy_settings", "/get_status", "/is_deployed"}
    of_the_sdk |= {"/is_ready", "/is_running", "/list_pretrained_models"}
    of_the_sdk |= {"/list_pretrained_model_infos", "/run_speedtest", "/tracking_by_detection"}
    assert tables - of_the_sdk == FORMS.keys()


def ask(fuzzer: Fuzzer, count: int, derandomize: bool = False) -> None:
    """Send drawn requests; each route is asked alike, whatever the examples are drawn from."""

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=derandomize,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(fuzzer.requests())
    def send(request: Any) -> None:
        fuzzer.send(request)

    send()


def test_some_hundred_requests(fuzzer: Fuzzer) -> None:
    ask(fuzzer, 200, derandomize=True)
    assert fuzzer.app.is_online()
    assert fuzzer.codes[200] > 20
    assert fuzzer.codes[400] > 30


@pytest.mark.parametrize("name", [*GOOD, *HUGE, *LYING])
def test_strange_pictures_give_a_mask_or_a_4xx(
    name: str, app: RunningApp, platform: Platform
) -> None:
    file = {**GOOD, **HUGE, **LYING}[name]
    state = json.dumps({"settings": {"mode": "bbox", "bbox_coordinates": [0, 0, 40, 40]}})
    answer = app.client.post(
        "/inference_image", data={"state": state}, files={"files": ("x.png", file)}
    )
    if name in GOOD:
        assert answer.status_code == 200, answer.text
        size = answer.json()["annotation"]["size"]
        assert size["height"] * size["width"] in (1, 48 * 64)
    elif name in HUGE:
        assert answer.status_code == 413
        assert "SAM2_SERVING_MAX_IMAGE_PIXELS" in answer.json()["message"]
    elif answer.status_code == 200:
        assert answer.json()["annotation"]["size"] == {"height": 8, "width": 8}
    else:
        assert answer.status_code in (413, 422), answer.text


@pytest.fixture(scope="module")
def own_app(
    app_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    folder = tmp_path_factory.mktemp("fuzzed")
    environment = app_environment | {
        "SAM2_SERVING_DATA_DIR": str(folder / "data"),
        "SAM2_SERVING_STORE_MB": "32",
        "SAM2_SERVING_DISK_STORE_MB": "32",
        "LOG_LEVEL": "INFO",
    }
    running = RunningApp(free_port(), environment, folder / "app.log").start()
    yield running
    running.stop()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_20000_requests(own_app: RunningApp, platform: Platform, tmp_path: Path) -> None:
    fuzzer = Fuzzer(own_app, platform)
    process = own_app.process
    assert process is not None
    figures: list[tuple[int, int, int]] = []
    began = time.monotonic()

    def ask_many(count: int) -> None:
        ask(fuzzer, count)
        assert process.poll() is None
        assert own_app.is_online()
        sent = sum(fuzzer.codes.values())
        figures.append((sent, resident_bytes(process.pid) >> 20, open_files(process.pid)))
        print(f"{sent} requests, {figures[-1][1]} MiB, {figures[-1][2]} handles", flush=True)

    while sum(fuzzer.codes.values()) < 20_000:
        ask_many(2_000)
    print(f"{time.monotonic() - began:.0f} s, {dict(fuzzer.codes)}")
    early, late = figures[2], figures[-1]
    assert late[1] < early[1] + 64, figures
    assert late[2] < early[2] + 20, figures
