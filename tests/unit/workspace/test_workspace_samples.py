from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests
from workspace_http import Running, Settings, serving

from sam2_serving.masks.bitmap import encode_bitmap
from sam2_serving.workspace import create_workspace


def _figure() -> dict[str, object]:
    (x, y), data = encode_bitmap(np.ones((5, 5), bool))  # type: ignore[misc]
    return {"class_id": 1, "origin": {"x": x, "y": y}, "bitmap": data}


def test_samples_without_a_folder(settings: Settings, tmp_path: Path) -> None:
    with serving(create_workspace(settings(folder=None))) as url:
        datasets = requests.get(f"{url}/workspace/api/media", timeout=10).json()["datasets"]
        by_name = {one["name"]: one for one in datasets}
        assert set(by_name) == {*("drawn scenes", "photographs", "film", "volume", "point cloud")}
        assert len(by_name["drawn scenes"]["images"]) == 6
        assert len(by_name["photographs"]["images"]) == 4
        assert "choose tiny" in by_name["photographs"]["description"]
        unfit = {name: one["not_for"] for name, one in by_name.items() if one["not_for"]}
        assert unfit == {"photographs": ["nano"]}
        for image in by_name["photographs"]["images"]:
            thumbnail = requests.get(url + image["thumbnail"], timeout=10)
            assert thumbnail.headers["content-type"] == "image/jpeg"
            assert len(thumbnail.content) > 1000
    # A second start finds the same files under the same ids.
    before = {one["id"] for dataset in datasets for one in dataset["images"]}
    store = create_workspace(settings(folder=None)).state.workspace.store
    assert {entity.id for entity in store.entities()} == before
    assert sorted(one.name for one in store.entities(kind=None) if one.kind != "image") == [
        *("blobs.nrrd", "clip.avi", "street.pcd")
    ]


def test_many_save_at_once(workspace: Running) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: workspace.page(
                    "POST", f"/workspace/api/images/{number % 4 + 1}/figures", json=_figure()
                ),
                range(64),
            )
        )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 64
    counts = [
        len(workspace.page("GET", f"/workspace/api/images/{n}/figures").json()) for n in (1, 2)
    ]
    assert counts == [16, 16]


def test_kill_and_start_again(folder: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "sam2_serving.workspace", str(folder)]
    command += ["--port", str(port), "--data-dir", str(tmp_path / "data")]
    kept = []
    for _ in range(2):
        server = subprocess.Popen(command)
        try:
            url = f"http://127.0.0.1:{port}/workspace/api/images/1/figures"
            _wait(url)
            assert [one["id"] for one in requests.get(url, timeout=10).json()] == kept
            kept.append(requests.post(url, json=_figure(), timeout=10).json()["id"])
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()
    assert len(kept) == 2


def _wait(url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("the workspace did not start")


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sam2_serving.workspace", str(tmp_path / "nowhere")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "There is no folder" in ended.stderr
    assert "Traceback" not in ended.stderr
