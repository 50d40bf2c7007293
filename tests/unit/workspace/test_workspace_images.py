from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests
import supervisely as sly
from PIL import Image, ImageOps
from workspace_http import Running, write_picture


def _hash(file: Path) -> str:
    return base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()


def test_projects_and_datasets(api: sly.Api, folder: Path) -> None:
    projects = api.project.get_list(workspace_id=1)
    assert [project.name for project in projects] == [folder.name]
    assert api.project.get_list(workspace_id=2) == []
    info = api.project.get_info_by_id(projects[0].id)
    assert (info.type, info.items_count, info.datasets_count) == ("images", 4, 3)
    datasets = api.dataset.get_list(info.id)
    assert {one.name: one.items_count for one in datasets} == {
        folder.name: 1,
        "cats": 2,
        "dogs/small": 1,
    }
    assert api.dataset.get_info_by_id(datasets[0].id) == datasets[0]
    assert api.dataset.get_info_by_name(info.id, "cats").name == "cats"
    assert api.dataset.get_info_by_id(999) is None
    assert api.project.get_info_by_id(999) is None


def test_image_info(api: sly.Api, folder: Path, image_ids: dict[str, int]) -> None:
    info = api.image.get_info_by_id(image_ids["b.bmp"])
    assert (info.name, info.width, info.height, info.mime) == ("b.bmp", 33, 21, "image/bmp")
    assert info.hash == _hash(folder / "cats" / "b.bmp")
    assert info.size == (folder / "cats" / "b.bmp").stat().st_size
    assert info.labels_count == 0
    assert api.image.get_info_by_id(999) is None
    batch = api.image.get_info_by_id_batch(list(image_ids.values()))
    assert [one.id for one in batch] == list(image_ids.values())


def test_image_bytes(api: sly.Api, folder: Path, image_ids: dict[str, int]) -> None:
    expected = np.asarray(Image.open(folder / "cats" / "a.png"))
    np.testing.assert_array_equal(api.image.download_np(image_ids["a.png"]), expected)
    dataset_id = api.image.get_info_by_id(image_ids["a.png"]).dataset_id
    ids = [image_ids["b.bmp"], image_ids["a.png"]]
    arrays = api.image.download_nps(dataset_id, ids)
    np.testing.assert_array_equal(arrays[1], expected)
    assert arrays[0].shape == (21, 33, 3)


def test_image_by_hash(
    api: sly.Api, folder: Path, image_ids: dict[str, int], tmp_path: Path
) -> None:
    hashes = [_hash(folder / "top.png"), _hash(folder / "cats" / "b.bmp")]
    got = [array for _, array in api.image.download_nps_by_hashes_generator(hashes)]
    assert [array.shape for array in got] == [(40, 60, 3), (21, 33, 3)]
    paths = [str(tmp_path / "one"), str(tmp_path / "two")]
    api.image.download_paths_by_hashes(hashes, paths)
    assert _hash(Path(paths[1])) == hashes[1]


def test_unknown_hash_is_404(workspace: Running) -> None:
    answer = workspace.post("images.bulk.download-by-hash", {"hashes": ["AAAA"]})
    assert answer.status_code == 404
    assert "AAAA" in answer.json()["error"]


def test_list_filters_and_pages(workspace: Running, api: sly.Api) -> None:
    dataset = api.dataset.get_info_by_name(1, "cats")
    found = api.image.get_list(
        dataset.id, filters=[{"field": "name", "operator": "=", "value": "a.png"}]
    )
    assert [one.name for one in found] == ["a.png"]
    newest_first = api.image.get_list(dataset.id, sort_order="desc")
    assert [one.name for one in newest_first] == ["b.bmp", "a.png"]
    everything = api.image.get_list(project_id=1)
    assert len(everything) == 4
    body = {"datasetId": dataset.id, "forceMetadataForLinks": False, "per_page": 1, "page": 2}
    page = workspace.post("images.list", body).json()
    assert (page["total"], page["pagesCount"]) == (2, 2)
    assert [one["name"] for one in page["entities"]] == ["b.bmp"]


def test_exif_orientation_is_applied_to_the_size(folder: Path, workspace: Running) -> None:
    from sam2_serving.workspace.media import FileStamp, MediaFolder

    picture = Image.fromarray(np.zeros((10, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=exif)
    # The SDK's reader turns it as well, so clicks and masks mean the same pixels.
    read = cv2.imread(str(folder / "turned.jpg"))
    assert read.shape == (30, 10, 3)
    media = MediaFolder(folder, folder / ".cache")
    file = media.describe("turned.jpg", FileStamp(1, 1))
    assert file is not None
    assert (file.width, file.height) == (10, 30)
    small = Image.open(media.thumbnail("turned.jpg", file.hash))
    assert small.size == (10, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_size_and_view_are_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    from sam2_serving.workspace.media import FileStamp, MediaFolder

    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:15, :25] = (255, 0, 0)
    pixels[30:, :10] = (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(pixels).save(tmp_path / f"turned.{suffix}", exif=exif, **more)
    with Image.open(tmp_path / f"turned.{suffix}") as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    media = MediaFolder(tmp_path, tmp_path / ".cache")
    file = media.describe(f"turned.{suffix}", FileStamp(1, 1))
    assert file is not None
    assert (file.height, file.width) == upright.shape[:2]
    view, mime = media.browser_view(file.path, file.mime, file.hash)
    if mime == "image/jpeg":
        return  # every browser turns it
    with Image.open(view) as shown:
        # Nothing is left for the browser to turn.
        assert shown.getexif().get(0x0112, 1) == 1
        assert np.array_equal(np.asarray(shown.convert("RGB")), upright)


@pytest.mark.parametrize("name", ["deep.tif", "gray16.tif"])
def test_tiff_is_shown_as_png(folder: Path, name: str) -> None:
    from sam2_serving.workspace.media import FileStamp, MediaFolder

    pixels = np.arange(40 * 30, dtype=np.uint16).reshape(30, 40) * 50
    if name == "deep.tif":
        pixels = np.dstack([pixels.astype(np.uint8)] * 3)
    Image.fromarray(pixels).save(folder / name)
    media = MediaFolder(folder, folder / ".cache")
    file = media.describe(name, FileStamp(1, 1))
    assert file is not None
    view, mime = media.browser_view(name, file.mime, file.hash)
    assert mime == "image/png"
    with Image.open(view) as shown:
        assert (shown.size, shown.mode) == ((40, 30), "RGB")
        # Spread, not cut off: all gray levels are there.
        assert len(np.unique(np.asarray(shown))) > 100


def test_broken_images_are_left_out(folder: Path, settings) -> None:
    from sam2_serving.workspace import create_workspace

    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (folder / "notes.txt").write_text("no image")
    app = create_workspace(settings())
    names = [entity.name for entity in app.state.workspace.store.entities()]
    assert sorted(names) == ["a.png", "b.bmp", "c.webp", "top.png"]


def test_requests_are_counted(workspace: Running, api: sly.Api, image_ids: dict[str, int]) -> None:
    workspace.page("DELETE", "/workspace/requests")
    for _ in range(3):
        api.image.download_np(image_ids["a.png"])
    api.image.get_info_by_id(image_ids["a.png"])
    workspace.post("no.such.route", {})
    counts = workspace.page("GET", "/workspace/requests").json()
    assert counts == {"images.download": 3, "images.info": 1, "unknown": 1}


def test_downloads_tell_their_length(workspace: Running, image_ids: dict[str, int]) -> None:
    answer = workspace.post("images.download", {"id": image_ids["a.png"]})
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["content-type"] == "image/png"


def test_a_vanished_file_is_404(
    workspace: Running, folder: Path, image_ids: dict[str, int]
) -> None:
    (folder / "cats" / "a.png").unlink()
    answer = workspace.post("images.download", {"id": image_ids["a.png"]})
    assert answer.status_code == 404
    assert "gone" in answer.json()["error"]


def _replace(file: Path, width: int) -> str:
    """Give a file another content; return its hash."""
    write_picture(file, width, 50, seed=77)
    return _hash(file)


def test_a_replaced_file_is_described_anew(
    workspace: Running, api: sly.Api, folder: Path, image_ids: dict[str, int]
) -> None:
    before = api.image.get_info_by_id(image_ids["a.png"])
    new_hash = _replace(folder / "cats" / "a.png", 70)
    info = api.image.get_info_by_id(before.id)
    assert (info.hash, info.width, info.height) == (new_hash, 70, 50)
    route = "images.bulk.download-by-hash"
    assert workspace.post(route, {"hashes": [before.hash]}).status_code == 404


def test_lists_describe_replaced_files_anew(
    workspace: Running, api: sly.Api, folder: Path, image_ids: dict[str, int]
) -> None:
    dataset_id = api.image.get_info_by_id(image_ids["a.png"]).dataset_id
    new_hash = _replace(folder / "cats" / "a.png", 70)
    assert api.image.get_list(dataset_id)[0].hash == new_hash
    newer_hash = _replace(folder / "cats" / "a.png", 80)
    images = _listed(workspace)
    assert images["a.png"]["width"] == 80
    assert newer_hash != new_hash


def test_an_old_hash_finds_no_new_content(
    workspace: Running, api: sly.Api, folder: Path, image_ids: dict[str, int]
) -> None:
    old_hash = api.image.get_info_by_id(image_ids["a.png"]).hash
    _replace(folder / "cats" / "a.png", 70)
    answer = workspace.post("images.bulk.download-by-hash", {"hashes": [old_hash]})
    assert answer.status_code == 404


def test_new_and_gone_files_are_seen_when_the_page_loads(
    workspace: Running, api: sly.Api, folder: Path, image_ids: dict[str, int]
) -> None:
    write_picture(folder / "birds" / "new.png", seed=8)
    (folder / "cats" / "a.png").unlink()
    (folder / "top.png").write_bytes(b"no picture any more")
    images = _listed(workspace)
    assert sorted(images) == ["b.bmp", "c.webp", "new.png"]
    assert images["b.bmp"]["id"] == image_ids["b.bmp"]
    assert api.image.get_info_by_id(images["new.png"]["id"]).name == "new.png"
    write_picture(folder / "top.png", seed=9)
    assert _listed(workspace)["top.png"]["id"] == image_ids["top.png"]


def _listed(workspace: Running) -> dict[str, Any]:
    """What the page lists, by name."""
    datasets = workspace.page("GET", "/workspace/api/media").json()["datasets"]
    return {image["name"]: image for dataset in datasets for image in dataset["images"]}


def test_a_link_out_of_the_folder_is_not_followed(
    folder: Path, tmp_path: Path, settings, workspace: Running
) -> None:
    from sam2_serving.workspace import create_workspace

    outside = tmp_path / "outside" / "secret.png"
    write_picture(outside)
    (folder / "link.png").symlink_to(outside)
    app = create_workspace(settings(data_dir=tmp_path / "other"))
    assert "link.png" not in [entity.name for entity in app.state.workspace.store.entities()]
    for path in ("../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "../server.py"):
        answer = requests.get(f"{workspace.url}/static/{path}", timeout=5)
        assert answer.status_code == 404
