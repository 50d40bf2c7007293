from __future__ import annotations

import base64
import io
import zlib

import numpy as np
import pytest
import requests
import supervisely as sly
from PIL import Image
from workspace_http import Running, Settings, serving

from sam2_serving.masks.bitmap import decode_bitmap, encode_bitmap
from sam2_serving.workspace import create_workspace


def _mask(width: int = 60, height: int = 40) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[5:20, 10:30] = True
    mask[8:12, 14:18] = False
    return mask


@pytest.fixture
def meta(api: sly.Api) -> sly.ProjectMeta:
    """The project's meta with a mask class and a polygon class, as the server keeps it."""
    wanted = sly.ProjectMeta.from_json(api.project.get_meta(1)).add_obj_classes(
        [sly.ObjClass("cat", sly.Bitmap, [1, 2, 3]), sly.ObjClass("roof", sly.Polygon)]
    )
    return api.project.update_meta(1, wanted)


def test_meta_round_trip(api: sly.Api, meta: sly.ProjectMeta) -> None:
    again = sly.ProjectMeta.from_json(api.project.get_meta(1))
    assert [one.name for one in again.obj_classes] == ["object", "cat", "roof"]
    assert again.get_obj_class("cat").color == [1, 2, 3]
    assert again.get_obj_class("cat").sly_id == meta.get_obj_class("cat").sly_id


def test_append_labels_and_download(
    api: sly.Api, meta: sly.ProjectMeta, image_ids: dict[str, int]
) -> None:
    image_id = image_ids["a.png"]
    label = sly.Label(sly.Bitmap(_mask()), meta.get_obj_class("cat"), description="a cat")
    outline = [sly.PointLocation(*point) for point in ((2, 2), (2, 30), (20, 30))]
    roof = sly.Label(sly.Polygon(outline), meta.get_obj_class("roof"))
    api.annotation.append_labels(image_id, [label])
    api.annotation.append_labels(image_id, [roof])

    annotation = sly.Annotation.from_json(api.annotation.download(image_id).annotation, meta)
    assert annotation.img_size == (40, 60)
    first, second = annotation.labels
    assert (first.obj_class.name, first.description) == ("cat", "a cat")
    np.testing.assert_array_equal(first.geometry.get_mask((40, 60)), _mask())
    assert second.geometry.area == pytest.approx(roof.geometry.area)
    assert api.image.get_info_by_id(image_id).labels_count == 2


def test_upload_replaces(api: sly.Api, meta: sly.ProjectMeta, image_ids: dict[str, int]) -> None:
    image_id = image_ids["a.png"]
    label = sly.Label(sly.Bitmap(_mask()), meta.get_obj_class("cat"))
    for count in (3, 1):
        api.annotation.upload_ann(image_id, sly.Annotation((40, 60), [label] * count))
        assert len(api.annotation.download_json(image_id)["objects"]) == count
    dataset_id = api.image.get_info_by_id(image_id).dataset_id
    batch = api.annotation.download_batch(dataset_id, [image_id, image_ids["b.bmp"]])
    assert [len(one.annotation["objects"]) for one in batch] == [1, 0]


def test_figures_by_id(api: sly.Api, meta: sly.ProjectMeta, image_ids: dict[str, int]) -> None:
    image_id = image_ids["a.png"]
    label = sly.Label(sly.Bitmap(_mask()), meta.get_obj_class("cat"))
    api.annotation.append_labels(image_id, [label, label])
    dataset_id = api.image.get_info_by_id(image_id).dataset_id
    figures = api.image.figure.download(dataset_id, [image_id])[image_id]
    assert [figure.class_id for figure in figures] == [meta.get_obj_class("cat").sly_id] * 2
    info = api.image.figure.get_info_by_id(figures[0].id)
    assert (info.geometry_type, info.entity_id) == ("bitmap", image_id)
    assert info.bbox.to_json()["points"] == label.geometry.to_bbox().to_json()["points"]
    geometry = sly.Bitmap.from_json(info.geometry)
    np.testing.assert_array_equal(geometry.get_mask((40, 60)), _mask())
    assert int(info.area) == _mask().sum()
    api.image.figure.remove_batch([figures[0].id])
    left = api.image.figure.download(dataset_id, [image_id])[image_id]
    assert [figure.id for figure in left] == [figures[1].id]
    assert api.image.figure.get_info_by_id(figures[0].id) is None


def test_a_used_class_cannot_go(
    api: sly.Api, meta: sly.ProjectMeta, image_ids: dict[str, int]
) -> None:
    label = sly.Label(sly.Bitmap(_mask()), meta.get_obj_class("cat"))
    api.annotation.append_labels(image_ids["a.png"], [label])
    with pytest.raises(requests.HTTPError) as refused:
        api.project.update_meta(1, meta.delete_obj_class("cat"))
    assert refused.value.response.status_code == 400
    assert "'cat' is used" in refused.value.response.json()["error"]


def test_one_wrong_label_saves_none(
    api: sly.Api, meta: sly.ProjectMeta, image_ids: dict[str, int]
) -> None:
    wide = np.zeros((40, 61), bool)
    wide[:, 55:] = True
    good = sly.Label(sly.Bitmap(_mask()), meta.get_obj_class("cat"))
    outside = sly.Label(sly.Bitmap(wide), meta.get_obj_class("cat"))
    with pytest.raises(requests.HTTPError) as refused:
        api.annotation.append_labels(image_ids["a.png"], [good, outside])
    assert "figures.1: The bitmap reaches outside" in refused.value.response.json()["error"]
    assert api.annotation.download_json(image_ids["a.png"])["objects"] == []


def _png(pixels: np.ndarray) -> str:
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, format="PNG")
    return base64.b64encode(zlib.compress(png.getvalue())).decode()


NOISE = np.random.default_rng(0).integers(0, 2, (30, 30), dtype=np.uint8)
BROKEN_BITMAPS = {
    "no base64": "not base64!",
    "no zlib": "AAAA",
    "cut off": base64.b64encode(zlib.compress(base64.b64decode(_png(NOISE))[:50])).decode(),
    "all false": _png(np.zeros((5, 5), np.uint8)),
}


@pytest.mark.parametrize("data", BROKEN_BITMAPS.values(), ids=BROKEN_BITMAPS)
def test_broken_bitmaps_are_refused(
    workspace: Running, image_ids: dict[str, int], data: str
) -> None:
    body = {"class_id": 1, "origin": {"x": 0, "y": 0}, "bitmap": data}
    path = f"/workspace/api/images/{image_ids['a.png']}/figures"
    answer = workspace.page("POST", path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("bitmap: ")


def test_page_saves_lists_deletes(workspace: Running, image_ids: dict[str, int]) -> None:
    path = f"/workspace/api/images/{image_ids['a.png']}/figures"
    (x, y), data = encode_bitmap(_mask())  # type: ignore[misc]
    prompt = {"crop": [[9, 4], [31, 21]], "positive": [[20, 15]], "negative": []}
    body = {"class_id": 1, "origin": {"x": x, "y": y}, "bitmap": data, "prompt": prompt}
    saved = workspace.page("POST", path, json=body)
    assert saved.status_code == 201
    listed = workspace.page("GET", path).json()
    assert [one["id"] for one in listed] == [saved.json()["id"]]
    assert listed[0]["meta"]["smartToolInput"] == prompt
    assert (listed[0]["nnCreated"], listed[0]["nnUpdated"]) == (True, False)
    bitmap = listed[0]["geometry"]["bitmap"]
    np.testing.assert_array_equal(decode_bitmap(bitmap["data"]), _mask()[5:20, 10:30])
    assert workspace.page("DELETE", f"/workspace/api/figures/{listed[0]['id']}").ok
    assert workspace.page("GET", path).json() == []
    gone = workspace.page("DELETE", f"/workspace/api/figures/{listed[0]['id']}")
    assert gone.status_code == 404
    # A number is never used twice: a client may still hold it.
    assert workspace.page("POST", path, json=body).json()["id"] > listed[0]["id"]


def test_classes_of_the_page(workspace: Running) -> None:
    assert [one["title"] for one in workspace.page("GET", "/workspace/api/classes").json()] == [
        "object"
    ]
    body = {"title": " dog ", "color": "#00ff00"}
    assert workspace.page("POST", "/workspace/api/classes", json=body).json()["title"] == "dog"
    twice = workspace.page("POST", "/workspace/api/classes", json=body)
    assert twice.status_code == 400
    blank = workspace.page("POST", "/workspace/api/classes", json={**body, "title": "  "})
    assert blank.status_code == 400


def test_a_restart_keeps_ids_and_figures(settings: Settings, folder) -> None:
    from workspace_http import write_picture

    (x, y), data = encode_bitmap(_mask())  # type: ignore[misc]
    body = {"class_id": 1, "origin": {"x": x, "y": y}, "bitmap": data}
    with serving(create_workspace(settings())) as url:
        first = Running(url, None)  # type: ignore[arg-type]
        before = first.page("GET", "/workspace/api/media").json()
        image = before["datasets"][0]["images"][0]
        path = f"/workspace/api/images/{image['id']}/figures"
        saved = first.page("POST", path, json=body).json()

    write_picture(folder / "aaa-new.png", seed=9)
    (folder / "cats" / "a.png").unlink()
    with serving(create_workspace(settings())) as url:
        second = Running(url, None)  # type: ignore[arg-type]
        after = second.page("GET", "/workspace/api/media").json()
        assert [one["id"] for one in second.page("GET", path).json()] == [saved["id"]]

    def ids(media: dict) -> dict[tuple[str, str], int]:
        return {
            (dataset["name"], image["name"]): image["id"]
            for dataset in media["datasets"]
            for image in dataset["images"]
        }

    old, new = ids(before), ids(after)
    assert new.pop((folder.name, "aaa-new.png")) > max(old.values())
    del old["cats", "a.png"]
    assert new == old


def test_a_saved_figure_survives_a_kill(settings: Settings, tmp_path, folder) -> None:
    """What was answered is on the disk: a second reader sees it while the first still runs."""
    (x, y), data = encode_bitmap(_mask())  # type: ignore[misc]
    body = {"class_id": 1, "origin": {"x": x, "y": y}, "bitmap": data}
    with serving(create_workspace(settings())) as url:
        running = Running(url, None)  # type: ignore[arg-type]
        saved = running.page("POST", "/workspace/api/images/1/figures", json=body).json()
        other = create_workspace(settings()).state.workspace
        assert [figure.id for figure in other.store.figures([1])] == [saved["id"]]
