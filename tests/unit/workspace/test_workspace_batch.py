from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import requests
import supervisely as sly
from PIL import Image
from workspace_http import Running

from sam2_serving.workspace.crops import DecodedImages, Window, cut

Ids = dict[str, int]


@pytest.fixture
def classes(api: sly.Api) -> dict[str, int]:
    """Ids of classes by title: masks (`object`), boxes (`crate`), points (`tip`)."""
    meta = sly.ProjectMeta.from_json(api.project.get_meta(1)).add_obj_classes(
        [sly.ObjClass("crate", sly.Rectangle), sly.ObjClass("tip", sly.Point)]
    )
    return {one.name: one.sly_id for one in api.project.update_meta(1, meta).obj_classes}


def _add(api: sly.Api, image_id: int, title: str, *geometries: Any) -> None:
    meta = sly.ProjectMeta.from_json(api.project.get_meta(1))
    labels = [sly.Label(one, meta.get_obj_class(title)) for one in geometries]
    api.annotation.append_labels(image_id, labels)


def _listed(workspace: Running, dataset_id: int, class_id: int) -> list[dict[str, Any]]:
    path = f"/workspace/api/datasets/{dataset_id}/figures?class_id={class_id}"
    answer = workspace.page("GET", path)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def _dataset(api: sly.Api, image_id: int) -> int:
    return int(api.image.get_info_by_id(image_id).dataset_id)


@pytest.fixture
def crates(workspace: Running, api: sly.Api, image_ids: Ids, classes: Ids) -> list[dict[str, Any]]:
    """Three boxes on two images of one dataset, in the order of their images."""
    _add(api, image_ids["b.bmp"], "crate", sly.Rectangle(2, 3, 12, 14))
    _add(api, image_ids["a.png"], "crate", sly.Rectangle(4, 5, 20, 30), sly.Rectangle(0, 0, 9, 9))
    return _listed(workspace, _dataset(api, image_ids["a.png"]), classes["crate"])


def test_figures_of_a_class_are_listed_image_by_image(
    workspace: Running, api: sly.Api, image_ids: Ids, classes: Ids, crates: list[dict[str, Any]]
) -> None:
    _add(api, image_ids["a.png"], "tip", sly.Point(3, 3))
    _add(api, image_ids["a.png"], "object", sly.Bitmap(np.ones((4, 4), bool)))
    _add(api, image_ids["top.png"], "crate", sly.Rectangle(0, 0, 5, 5))
    a, b = image_ids["a.png"], image_ids["b.bmp"]
    assert [one["imageId"] for one in crates] == sorted([a, a, b])
    assert {one["geometryType"] for one in crates} == {"rectangle"}
    dataset_id = _dataset(api, a)
    counts = workspace.page("GET", f"/workspace/api/datasets/{dataset_id}/classes").json()
    assert counts == {str(classes["crate"]): 3, str(classes["object"]): 1}
    assert _listed(workspace, dataset_id, classes["tip"]) == []


def test_a_member_sees_only_their_datasets(
    workspace: Running, api: sly.Api, image_ids: Ids, classes: Ids, crates: list[dict[str, Any]]
) -> None:
    token = workspace.member("ann", [_dataset(api, image_ids["top.png"])])
    headers = {"x-api-key": token}
    dataset_id = crates[0]["datasetId"]
    for path in (
        f"datasets/{dataset_id}/figures?class_id={classes['crate']}",
        f"datasets/{dataset_id}/classes",
        f"images/{image_ids['a.png']}/crop?left=0&top=0&right=9&bottom=9&side=64",
    ):
        answer = workspace.page("GET", f"/workspace/api/{path}", headers=headers)
        assert answer.status_code == 403, path


def _crop(workspace: Running, image_id: int, side: int, *window: int) -> requests.Response:
    names = ("left", "top", "right", "bottom")
    query = "&".join(f"{name}={value}" for name, value in zip(names, window, strict=True))
    path = f"/workspace/api/images/{image_id}/crop?{query}&side={side}"
    return workspace.page("GET", path)


def test_a_crop_is_the_images_own_pixels(workspace: Running, image_ids: Ids) -> None:
    file = workspace.app.state.workspace.media.root / "cats" / "a.png"
    whole = np.asarray(Image.open(file).convert("RGB"))
    answer = _crop(workspace, image_ids["a.png"], 64, 7, 5, 31, 40)
    crop = np.asarray(Image.open(io.BytesIO(answer.content)))
    np.testing.assert_array_equal(crop, whole[5:40, 7:31])
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("window", [(0, 0, 61, 40), (-1, 0, 5, 5), (5, 5, 5, 9), (9, 0, 5, 9)])
def test_a_crop_outside_the_image_is_refused(
    workspace: Running, image_ids: Ids, window: tuple[int, int, int, int]
) -> None:
    answer = _crop(workspace, image_ids["a.png"], 64, *window)
    assert (answer.status_code, "60 x 40" in answer.text) == (400, True)


def test_a_shrunk_crop_shows_its_whole_window() -> None:
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[100:300, 100:200] = 255  # the left half of the window
    small = cut(pixels, Window(100, 100, 300, 300), 50)
    assert small.shape == (50, 50, 3)
    assert (small[:, :25] == 255).all()
    assert (small[:, 25:] == 0).all()


def test_an_image_is_decoded_once_for_many_at_once() -> None:
    decoded, reads, begin = DecodedImages(), [], threading.Barrier(8)

    def read() -> np.ndarray:
        reads.append(1)
        return np.zeros((2, 2, 3), np.uint8)

    def ask(_: int) -> np.ndarray:
        begin.wait()
        return decoded.get("one", read)

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(ask, range(8)))) == 8
    assert len(reads) == 1


def test_decoded_images_keep_to_their_budget_and_forget_failures() -> None:
    decoded, reads = DecodedImages(budget_bytes=2 * 300), []

    def read(name: str) -> np.ndarray:
        reads.append(name)
        return np.zeros((10, 10, 3), np.uint8)

    for name in "abacab":  # c pushes b out, which was used longest ago
        decoded.get(name, partial(read, name))
    assert reads == ["a", "b", "c", "b"]

    def fail() -> np.ndarray:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        decoded.get("d", fail)
    decoded.get("d", lambda: read("d"))
    assert reads[-1] == "d"
