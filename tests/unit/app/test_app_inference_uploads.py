"""Predictions reach a platform that fails once each, or the failure is told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import uvicorn

from sam2_serving.app import patience as patience_module
from sam2_serving.app.inference import uploads as inference_uploads
from sam2_serving.app.inference.predictions import Look, Piece, annotation, labels_of
from sam2_serving.app.inference.uploads import UploadRules, Uploads
from sam2_serving.app.patience import Patience
from sam2_serving.app.platform import api as platform_api
from sam2_serving.app.platform import projects as platform_projects
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.platform.projects import Projects
from sam2_serving.app.reporting import AppError
from sam2_serving.engine import CancelToken
from sam2_serving.workspace.server import create_workspace
from sam2_serving.workspace.settings import WorkspaceSettings

TOKEN = "owner-token-0123456789abcdef"
IMAGES, OBJECTS = 8, 3
WAYS = ["error", "reset", "broken", "stored_then_broken"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("images")
    for number in range(IMAGES):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((60, 80, 3), number, np.uint8))
    listener = socket.create_server(("127.0.0.1", 0))
    settings = WorkspaceSettings(
        folder=folder,
        data_dir=tmp_path_factory.mktemp("workspace"),
        port=listener.getsockname()[1],
        app_url="http://127.0.0.1:1",
        token=TOKEN,
        faults=True,
    )
    server = uvicorn.Server(uvicorn.Config(create_workspace(settings), log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield settings.public_address
    server.should_exit = True
    thread.join(10)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (inference_uploads, "_PAUSE_S"),
        (platform_api, "PAUSE_S"),
        (patience_module, "_FIRST_PAUSE_S"),
    ):
        monkeypatch.setattr(module, name, 0.02)


@pytest.fixture
def projects(address: str) -> Iterator[Projects]:
    client = PlatformClient(timeout_s=2.0)
    yield Projects(client, Caller(address, TOKEN))
    httpx.delete(f"{address}/workspace/faults")
    client.close()


def prediction(image_id: int, dataset_id: int) -> dict[str, Any]:
    pieces = [Piece(np.ones((8, 9), bool), 10 * number, 20) for number in range(OBJECTS)]
    labels, _ = labels_of(pieces, Look("found_mask", "bitmap", 0))
    about = {"image_id": image_id, "dataset_id": dataset_id, "project_id": None}
    return {**about, "annotation": annotation((80, 60), labels), "data": {}, "found": []}


def patience() -> Patience:
    return Patience(20.0, CancelToken())


@pytest.mark.parametrize("mode", ["append", "replace", "iou_merge"])
def test_each_object_is_stored_once_though_half_of_the_calls_fail(
    projects: Projects, address: str, mode: Any
) -> None:
    (dataset,) = projects.datasets(1)
    images = projects.images(dataset)
    for image_id in images:
        empty = annotation((80, 60), [])
        projects.replace_objects(dataset, image_id, empty)
    uploads = Uploads(projects, UploadRules(mode), 10_000)
    plan = {"share": 0.5, "ways": WAYS, "seed": 5, "routes": None}
    httpx.put(f"{address}/workspace/faults", json=plan).raise_for_status()
    told: dict[int, bool] = {}
    for image_id in images:
        try:
            uploads.store(prediction(image_id, dataset), patience())
            told[image_id] = True
        except AppError:
            told[image_id] = False
    failed = httpx.delete(f"{address}/workspace/faults").json()["counts"]
    assert sum(failed.values()) > IMAGES, failed
    counts = {image_id: len(projects.objects(image_id)) for image_id in images}
    for image_id, well in told.items():
        assert counts[image_id] in ((OBJECTS,) if well else (0, OBJECTS)), (told, counts)
    assert sum(told.values()) >= IMAGES - 2


@pytest.mark.parametrize("seed", range(20))
def test_overlap_is_that_of_the_whole_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(2):
        mask = np.zeros((30, 40), bool)
        (x, y), (width, height) = rng.integers(0, 20, 2), rng.integers(1, 12, 2)
        mask[y : y + height, x : x + width] = rng.random((height, width)) < 0.8
        masks.append(mask)
    a, b = (inference_uploads._Area.of(mask) for mask in masks)
    if a is not None and b is not None:
        both, either = (np.count_nonzero(op(*masks)) for op in (np.logical_and, np.logical_or))
        assert a.iou(b) == both / either == b.iou(a)


def test_lists_longer_than_a_page(projects: Projects, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = projects.images(projects.datasets(1)[0])
    assert len(whole) == IMAGES
    for size in (1, 5, IMAGES):
        monkeypatch.setattr(platform_projects, "_PAGE", size)
        assert projects.images(projects.datasets(1)[0]) == whole
