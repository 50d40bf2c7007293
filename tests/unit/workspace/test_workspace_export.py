from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import supervisely as sly
from PIL import Image
from pycocotools.coco import COCO
from workspace_gallery import FRAMES, Ids, ids_of, make_gallery
from workspace_http import OWNER_TOKEN, Running, serving, write_picture

from sam2_serving.masks import encode_bitmap
from sam2_serving.workspace import WorkspaceSettings, create_workspace
from sam2_serving.workspace.context import OWNER
from sam2_serving.workspace.exporting.archive import Archive
from sam2_serving.workspace.exporting.jobs import Export, ExportWish

EXPORTS = "/workspace/api/exports"
WAIT_S = 60


def blob(height: int, width: int, seed: int) -> np.ndarray:
    """A mask of several ragged parts with holes, some of one pixel."""
    noise = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 1.5) > 0.5


def bitmap(mask: np.ndarray) -> dict[str, Any]:
    encoded = encode_bitmap(mask)
    assert encoded is not None
    (x, y), data = encoded
    return {"bitmap": {"origin": [x, y], "data": data}}


RING = {
    "exterior": [[5, 4], [40, 6], [30, 33]],
    "interior": [[[20, 10], [30, 12], [26, 20]]],
}
BOX = {"exterior": [[50, 30], [59, 39]], "interior": []}
MASK = blob(40, 60, 1)
RING_MASK = np.zeros((40, 60), np.uint8)
cv2.fillPoly(RING_MASK, [np.array(RING["exterior"])], 1)
cv2.fillPoly(RING_MASK, [np.array(RING["interior"][0])], 0)
BOX_MASK = np.zeros((40, 60), bool)
BOX_MASK[30:40, 50:60] = True
IMAGE_MASKS = [MASK, RING_MASK.astype(bool), BOX_MASK]
FRAME_MASKS = {0: [blob(64, 96, 2), blob(64, 96, 3)], 11: [blob(64, 96, 4), blob(64, 96, 5)]}
SLICE_MASK = blob(48, 96, 6)  # coronal: x by z
PHOTO_MASK = blob(40, 60, 7)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A workspace with figures on every kind of medium."""
    root = tmp_path_factory.mktemp("export")
    folder = make_gallery(root / "media")
    write_picture(folder / "albums" / "img" / "three.png", seed=3)
    app = create_workspace(
        WorkspaceSettings(folder=folder, data_dir=root / "data", token=OWNER_TOKEN)
    )
    with serving(app) as url:
        running = Running(url, app)
        label(running, ids_of(running))
        yield running


@pytest.fixture(scope="module")
def found(shop: Running) -> Ids:
    return ids_of(shop)


def image_id(running: Running, name: str) -> int:
    media = running.app.state.workspace.store.entities()
    return next(one.id for one in media if one.name == name)


def label(running: Running, found: Ids) -> None:
    """Save figures as the page does."""
    class_ids = [
        running.page("GET", "/workspace/api/classes").json()[0]["id"],
        running.page(
            "POST", "/workspace/api/classes", json={"title": "cat/ü", "color": "#00FF00"}
        ).json()["id"],
    ]
    one = f"images/{image_id(running, 'one.png')}"

    def figure(on: str, kind: str, geometry: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "on": on,
            "class_id": class_ids[0],
            "geometry_type": kind,
            "geometry": geometry,
            **more,
        }

    add = [
        figure(one, "bitmap", bitmap(MASK)),
        figure(one, "polygon", {"points": RING}, class_id=class_ids[1]),
        figure(one, "rectangle", {"points": BOX}),
        figure(f"volumes/{found.volume}/slices/coronal/7", "bitmap", bitmap(SLICE_MASK)),
        figure(f"photos/{found.photo}", "bitmap", bitmap(PHOTO_MASK)),
    ]
    change(running, "first", add)
    frame = f"videos/{found.clip}/frames"
    pair = [figure(f"{frame}/0", "bitmap", bitmap(mask)) for mask in FRAME_MASKS[0]]
    change(running, "frame 0", pair)
    objects = [
        one["objectId"] for one in running.page("GET", f"/workspace/api/{frame}/0/figures").json()
    ]
    later = [
        figure(f"{frame}/11", "bitmap", bitmap(mask), object_id=thing)
        for mask, thing in zip(FRAME_MASKS[11], objects, strict=True)
    ]
    change(running, "frame 11", later)


def change(running: Running, key: str, add: list[dict[str, Any]]) -> None:
    body = {"key": key, "remove": [], "add": add, "classify": []}
    answer = running.page("POST", "/workspace/api/changes", json=body)
    assert answer.status_code == 201, answer.text


def begin(running: Running, form: str, **more: Any) -> str:
    answer = running.page("POST", EXPORTS, json={"form": form, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["key"])


def wait(running: Running, key: str) -> dict[str, Any]:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        told = running.page("GET", f"{EXPORTS}/{key}").json()
        if told["state"] not in ("waiting", "running"):
            return dict(told)
        time.sleep(0.02)
    raise AssertionError("the export did not end")


def export(running: Running, folder: Path, form: str, **more: Any) -> dict[str, Any]:
    """Export and unpack; return what was told of it."""
    key = begin(running, form, **more)
    told = wait(running, key)
    assert (told["state"], told["done"]) == ("finished", told["total"]), told
    answer = running.page("GET", f"{EXPORTS}/{key}/file")
    assert told["size"] == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return told


def masks_of(coco: COCO, file_name: str) -> list[np.ndarray]:
    (image,) = [one for one in coco.dataset["images"] if one["file_name"] == file_name]
    found = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
    return [coco.annToMask(one).astype(bool) for one in found]


def test_coco_gives_every_pixel_back(shop: Running, tmp_path: Path) -> None:
    told = export(shop, tmp_path, "coco", media=True)
    assert told["warnings"] == []
    coco = COCO(str(tmp_path / "annotations.json"))
    assert sorted(one["name"] for one in coco.cats.values()) == ["cat/ü", "object"]
    np.testing.assert_array_equal(masks_of(coco, "albums/one.png"), IMAGE_MASKS)
    assert masks_of(coco, "albums/two.png") == []
    for frame, masks in FRAME_MASKS.items():
        name = f"films/clip.avi/{frame:06d}.png"
        np.testing.assert_array_equal(masks_of(coco, name), masks)
        shown = np.asarray(Image.open(tmp_path / "images" / name))
        np.testing.assert_array_equal(shown, FRAMES[frame])
    (slice_mask,) = masks_of(coco, "scans/blobs.nrrd/coronal/00007.png")
    np.testing.assert_array_equal(slice_mask, SLICE_MASK)
    (photo_mask,) = masks_of(coco, "street/related_images/a_pcd/front.png")
    np.testing.assert_array_equal(photo_mask, PHOTO_MASK)
    for one in coco.dataset["images"]:
        with Image.open(tmp_path / "images" / one["file_name"]) as picture:
            assert picture.size == (one["width"], one["height"])


def test_coco_numbers_agree_with_the_masks(shop: Running, tmp_path: Path) -> None:
    export(shop, tmp_path, "coco")
    assert not (tmp_path / "images").exists()  # without media, unless they are wanted
    coco = COCO(str(tmp_path / "annotations.json"))
    for one in coco.anns.values():
        rows, columns = np.nonzero(coco.annToMask(one))
        x, y, width, height = one["bbox"]
        assert (x, x + width - 1) == (columns.min(), columns.max())
        assert (y, y + height - 1) == (rows.min(), rows.max())
        assert (one["area"], one["iscrowd"]) == (len(rows), 0)
    objects = [one["object_id"] for one in coco.anns.values() if "object_id" in one]
    assert len(objects) == 5  # two on two frames, one on a slice
    assert len(set(objects)) == 3


def drawn(label: sly.Label, shape: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    label.geometry.draw(canvas, 1)
    return canvas.astype(bool)


def test_images_open_with_the_sdk(shop: Running, tmp_path: Path) -> None:
    told = export(shop, tmp_path, "supervisely")
    assert told["warnings"] == [
        "street/pointcloud/a.pcd: figures on photos of point clouds are not in this format."
    ]
    project = sly.Project(str(tmp_path / "images"), sly.OpenMode.READ)
    items = {
        (dataset.name, name): dataset.get_ann(name, project.meta)
        for dataset in project.datasets
        for name in dataset
    }
    # `img` means something else in a project
    assert sorted(items) == [
        ("albums", "one.png"),
        ("albums", "two.png"),
        ("albums/img_", "three.png"),
    ]
    labels = items["albums", "one.png"].labels
    assert [one.obj_class.name for one in labels] == ["object", "cat/ü", "object"]
    kinds = [type(one.geometry) for one in labels]
    assert kinds == [sly.Bitmap, sly.Polygon, sly.Rectangle]
    np.testing.assert_array_equal([drawn(one, (40, 60)) for one in labels], IMAGE_MASKS)
    copy = tmp_path / "images" / "albums" / "img" / "one.png"
    assert copy.read_bytes() == shop.app.state.workspace.media.locate("albums/one.png").read_bytes()


def test_videos_open_with_the_sdk(shop: Running, found: Ids, tmp_path: Path) -> None:
    tag_the_clip(shop, found)
    export(shop, tmp_path, "supervisely", dataset_id=found.films)
    assert [one.name for one in tmp_path.iterdir()] == ["videos"]
    project = sly.VideoProject(str(tmp_path / "videos"), sly.OpenMode.READ)
    (dataset,) = project.datasets
    assert sorted(dataset) == ["clip.avi", "lossy.mp4"]
    annotation = dataset.get_ann("clip.avi", project.meta)
    assert (annotation.frames_count, annotation.img_size) == (45, (64, 96))
    assert len(annotation.objects) == 2
    assert [frame.index for frame in annotation.frames] == [0, 11]
    keys = []
    for frame in annotation.frames:
        masks = [drawn(one, (64, 96)) for one in frame.figures]
        np.testing.assert_array_equal(masks, FRAME_MASKS[frame.index])
        keys.append([one.parent_object.key() for one in frame.figures])
    assert keys[0] == keys[1]  # the same two objects on both frames
    (tag,) = annotation.tags
    assert (tag.name, tag.value, list(tag.frame_range)) == ("weather", "rain", [2, 5])
    assert len(dataset.get_ann("lossy.mp4", project.meta).figures) == 0


def tag_the_clip(running: Running, found: Ids) -> None:
    api = running.api()
    project_id = api.project.get_list(1)[0].id
    meta = sly.ProjectMeta.from_json(api.project.get_meta(project_id))
    weather = sly.TagMeta("weather", sly.TagValueType.ANY_STRING)
    meta = api.project.update_meta(project_id, meta.add_tag_meta(weather))
    tag_id = meta.get_tag_meta("weather").sly_id
    api.video.tag.add_tag(tag_id, found.clip, "rain", [2, 5])


def test_volumes_open_with_the_sdk(shop: Running, found: Ids, tmp_path: Path) -> None:
    export(shop, tmp_path, "supervisely", dataset_id=found.scans)
    project = sly.VolumeProject(str(tmp_path / "volumes"), sly.OpenMode.READ)
    (dataset,) = project.datasets
    (name,) = dataset
    # `VolumeDataset.get_ann` calls a method that this SDK does not have.
    said = json.loads(Path(dataset.get_ann_path(name)).read_text())
    annotation = sly.VolumeAnnotation.from_json(said, project.meta)
    (one,) = annotation.plane_coronal
    (figure,) = one.figures
    assert one.index == 7
    np.testing.assert_array_equal(drawn(figure, SLICE_MASK.shape), SLICE_MASK)


def test_masks_are_pictures_with_a_table(shop: Running, tmp_path: Path) -> None:
    export(shop, tmp_path, "masks")
    folder = tmp_path / "masks" / "albums" / "one.png"
    rows = [line.split(",") for line in (folder / "metadata.csv").read_text().splitlines()[1:]]
    pictures = [np.asarray(Image.open(folder / row[1])) for row in rows]
    np.testing.assert_array_equal([one > 0 for one in pictures], IMAGE_MASKS)
    assert {int(value) for one in pictures for value in np.unique(one)} == {0, 255}
    assert [row[2] for row in rows] == ["object", "cat/ü", "object"]
    assert [int(row[4]) for row in rows] == [mask.sum() for mask in IMAGE_MASKS]
    assert not (tmp_path / "masks" / "albums" / "two.png").exists()


def test_the_same_figures_make_the_same_bytes(shop: Running, tmp_path: Path) -> None:
    files = []
    for _ in range(2):
        key = begin(shop, "supervisely", dataset_id=ids_of(shop).scans)
        wait(shop, key)
        files.append(shop.page("GET", f"{EXPORTS}/{key}/file").content)
    assert files[0] == files[1]


def test_a_cancelled_export_leaves_nothing(shop: Running) -> None:
    exports = shop.app.state.workspace.exports
    begun, go_on = threading.Event(), threading.Event()

    def write(export: Export, archive: Archive) -> None:
        archive.add_bytes("half", b"written")
        begun.set()
        assert go_on.wait(WAIT_S)
        archive.add_bytes("more", b"of it")

    wish = ExportWish("coco", [], False)
    running = exports.start(OWNER, wish, "running.zip", write)
    assert begun.wait(WAIT_S)
    waiting = begin(shop, "coco")
    for key in (running.key, waiting):
        assert shop.page("GET", f"{EXPORTS}/{key}/file").status_code == 404  # not finished
        assert shop.page("DELETE", f"{EXPORTS}/{key}").status_code == 200
    go_on.set()
    for key in (running.key, waiting):
        assert wait(shop, key)["state"] == "cancelled"
        assert shop.page("GET", f"{EXPORTS}/{key}/file").status_code == 404
    assert not [one for one in running.folder.iterdir() if one.stem in (running.key, waiting)]


def test_a_medium_that_is_gone_is_named(tmp_path: Path) -> None:
    write_picture(tmp_path / "media" / "a.png", seed=1)
    write_picture(tmp_path / "media" / "b.png", seed=2)
    app = create_workspace(
        WorkspaceSettings(folder=tmp_path / "media", data_dir=tmp_path / "data", token=OWNER_TOKEN)
    )
    with serving(app) as url:
        running = Running(url, app)
        (tmp_path / "media" / "a.png").unlink()
        told = export(running, tmp_path / "out", "supervisely")
    assert told["warnings"] == ["a.png is left out: The file a.png is gone."]
    project = sly.Project(str(tmp_path / "out" / "images"), sly.OpenMode.READ)
    assert [name for dataset in project.datasets for name in dataset] == ["b.png"]


def test_who_may_export_what(shop: Running, found: Ids, tmp_path: Path) -> None:
    headers = {"x-api-key": shop.member("ann", [found.films])}
    refused = shop.page(
        "POST", EXPORTS, json={"form": "coco", "dataset_id": found.scans}, headers=headers
    )
    assert refused.status_code == 403
    begun = shop.page("POST", EXPORTS, json={"form": "coco"}, headers=headers).json()
    wait_for = f"{EXPORTS}/{begun['key']}"
    # Somebody else's export cannot be seen, fetched or cancelled.
    for method, path in (("GET", ""), ("GET", "/file"), ("DELETE", "")):
        assert shop.page(method, wait_for + path).status_code == 404
    end = time.monotonic() + WAIT_S
    while shop.page("GET", wait_for, headers=headers).json()["state"] != "finished":
        assert time.monotonic() < end
    content = shop.page("GET", f"{wait_for}/file", headers=headers).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        told = json.loads(archive.read("annotations.json"))
    assert {one["file_name"].split("/")[0] for one in told["images"]} == {"films"}


@pytest.mark.parametrize(
    "body", [{}, {"form": "yolo"}, {"form": "coco", "more": 1}, {"form": "coco", "media": "yes"}]
)
def test_a_wrong_wish_is_refused_in_words(shop: Running, body: dict[str, Any]) -> None:
    answer = shop.page("POST", EXPORTS, json=body)
    assert answer.status_code == 400
    assert "exports:" in answer.json()["message"]


def test_what_an_earlier_process_left_is_not_offered(tmp_path: Path) -> None:
    write_picture(tmp_path / "media" / "a.png", seed=1)
    settings = WorkspaceSettings(
        folder=tmp_path / "media", data_dir=tmp_path / "data", token=OWNER_TOKEN
    )
    old = tmp_path / "data" / "exports" / settings.database_path.stem / "old.part"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"half")
    app = create_workspace(settings)
    assert not old.exists()
    app.state.workspace.exports.close()
    app.state.workspace.store.close()
