from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import supervisely as sly
from PIL import Image
from workspace_gallery import Ids
from workspace_http import Running, Settings, write_picture

from sam2_serving.workspace import create_workspace
from sam2_serving.workspace.clouds import photo_folders
from sam2_serving.workspace.samples import write_cloud


def test_clouds(gallery: Running, gallery_api: sly.Api, ids: Ids, tmp_path: Path) -> None:
    info = gallery_api.pointcloud.get_info_by_id(ids.cloud)
    assert (info.name, info.cloud_mime, info.dataset_id) == ("a.pcd", "image/pcd", ids.street)
    assert gallery_api.pointcloud.get_list(ids.street) == [info]
    assert gallery_api.pointcloud.get_list(ids.films) == []
    assert gallery_api.pointcloud.get_info_by_id(999) is None
    gallery_api.pointcloud.download_path(ids.cloud, str(tmp_path / "a.pcd"))
    lines = (tmp_path / "a.pcd").read_text().splitlines()
    assert "POINTS 400" in lines
    assert len(lines[lines.index("DATA ascii") + 1 :]) == 400


def test_photos(gallery: Running, gallery_api: sly.Api, ids: Ids, tmp_path: Path) -> None:
    (photo,) = gallery_api.pointcloud.get_list_related_images(ids.cloud)
    assert (photo["id"], photo["name"], photo["entityId"]) == (ids.photo, "front.png", ids.cloud)
    assert photo["fileMeta"]["width"] == 60
    assert gallery_api.pointcloud.get_list_related_images_batch(ids.street, [ids.cloud]) == [photo]
    source = gallery.app.state.workspace.media.root / "street/related_images/a_pcd/front.png"
    gallery_api.pointcloud.download_related_image(ids.photo, str(tmp_path / "front.png"))
    assert (tmp_path / "front.png").read_bytes() == source.read_bytes()
    got = gallery_api.pointcloud.download_related_image(ids.photo)
    np.testing.assert_array_equal(got, np.asarray(Image.open(source)))
    answer = gallery.post("point-clouds.images.download", {"id": 999})
    assert (answer.status_code, answer.json()["error"]) == (404, "There is no photo 999.")


def test_photos_are_numbered_apart_and_are_no_images(
    gallery: Running, gallery_api: sly.Api, ids: Ids
) -> None:
    """As on the platform: the photo 1 and the image 1 are two pictures."""
    image = gallery_api.image.get_info_by_id(ids.photo)
    assert image is not None
    one = gallery.post("images.download", {"id": ids.photo}).content
    other = gallery.post("point-clouds.images.download", {"id": ids.photo}).content
    assert one != other
    names = [image.name for image in gallery_api.image.get_list(project_id=1)]
    assert names == ["one.png", "two.png"]


def test_where_photos_lie() -> None:
    assert photo_folders("a.b.pcd") == ["related_images/a_b_pcd"]
    assert photo_folders("x/pointcloud/a.pcd") == [
        "x/pointcloud/related_images/a_pcd",
        "x/related_images/a_pcd",
    ]


def test_a_photo_keeps_its_id_and_needs_its_cloud(
    settings: Settings, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_cloud(folder / "c.pcd")
    write_picture(folder / "related_images" / "c_pcd" / "p.png", seed=5)
    write_picture(folder / "related_images" / "lonely_pcd" / "q.png", seed=6)
    with caplog.at_level(logging.WARNING):
        store = create_workspace(settings()).state.workspace.store
    assert "q.png left out: there is no point cloud" in caplog.text
    (cloud,) = store.entities(kind="cloud")
    (before,) = store.photos([cloud.id])
    write_picture(folder / "related_images" / "c_pcd" / "a-new.png", seed=5)
    write_picture(folder / "related_images" / "c_pcd" / "p.png", 30, 20, seed=8)
    store = create_workspace(settings()).state.workspace.store
    after = store.photo(before.id)
    assert (after.name, after.width, len(store.photos([cloud.id]))) == ("p.png", 30, 2)
    assert after.hash != before.hash
    (folder / "related_images" / "c_pcd" / "p.png").unlink()
    store = create_workspace(settings()).state.workspace.store
    assert store.photo(before.id) is None
