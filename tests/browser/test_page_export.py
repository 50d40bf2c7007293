"""Export: figures leave the page as a zip that other programs read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import supervisely as sly
from playwright.sync_api import Locator, Page, expect
from pycocotools.coco import COCO
from servers import SCREENSHOTS, Demo, free_port, workspace_process

from sam2_serving.masks import encode_bitmap
from sam2_serving.scenes import Clip, Scene
from sam2_serving.workspace.samples import write_video

FRAMES = (0, 7)


@pytest.fixture(scope="module")
def shelf(
    scenes: list[Scene], clip: Clip, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Demo]:
    """A workspace of its own, with figures and without an app: export needs none."""
    folder = tmp_path_factory.mktemp("shelf")
    bgr = cv2.cvtColor(np.ascontiguousarray(scenes[0].image), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(folder / "scene.png"), bgr)
    (folder / "film").mkdir()
    write_video(folder / "film" / "clip.avi", clip.frames)
    data = tmp_path_factory.mktemp("shelf-data")
    nobody = f"http://127.0.0.1:{free_port()}"
    with workspace_process(data, folder, nobody, free_port()) as url:
        demo = Demo(url)
        label(demo, scenes[0], clip)
        yield demo


def label(demo: Demo, scene: Scene, clip: Clip) -> None:
    image, video = demo.media("images")["id"], demo.media("videos")["id"]
    change(demo, "scene", [figure(demo, f"images/{image}", mask) for mask in scene.masks[:3]])
    objects: list[int | None] = [None, None]
    for frame in FRAMES:
        on = f"videos/{video}/frames/{frame}"
        masks = zip(clip.masks[frame][:2], objects, strict=True)
        change(demo, on, [figure(demo, on, mask, object_id=thing) for mask, thing in masks])
        objects = [one["objectId"] for one in demo.get(f"{on}/figures")]


def figure(demo: Demo, on: str, mask: np.ndarray, **more: Any) -> dict[str, Any]:
    encoded = encode_bitmap(mask)
    assert encoded is not None
    (x, y), data = encoded
    geometry = {"bitmap": {"origin": [x, y], "data": data}}
    class_id = demo.get("classes")[0]["id"]
    return {
        "on": on,
        "class_id": class_id,
        "geometry_type": "bitmap",
        "geometry": geometry,
        **more,
    }


def change(demo: Demo, key: str, add: list[dict[str, Any]]) -> None:
    body = {"key": key, "remove": [], "add": add, "classify": []}
    httpx.post(f"{demo.url}/workspace/api/changes", json=body).raise_for_status()


@pytest.fixture
def panel(shelf: Demo, page: Page) -> Locator:
    page.goto(shelf.url)
    page.get_by_role("button", name="Export").click()
    shown = page.get_by_role("dialog", name="Export figures")
    expect(shown).to_be_visible()
    return shown


def download(page: Page, panel: Locator, form: str, folder: Path) -> None:
    """Export, wait for the zip, unpack it."""
    panel.get_by_role("radio", name=form).check()
    before = panel.get_by_role("link", name="Download").count()
    panel.get_by_role("button", name="Export", exact=True).click()
    links = panel.get_by_role("link", name="Download")
    expect(links).to_have_count(before + 1)
    with page.expect_download() as loading:
        links.first.click()
    with zipfile.ZipFile(loading.value.path()) as archive:
        archive.extractall(folder)


def test_three_objects_and_a_film_come_back_pixel_by_pixel(
    page: Page, panel: Locator, scenes: list[Scene], clip: Clip, tmp_path: Path
) -> None:
    download(page, panel, "COCO", tmp_path / "coco")
    coco = COCO(str(tmp_path / "coco" / "annotations.json"))
    wanted = {"scene.png": scenes[0].masks[:3]}
    wanted |= {f"film/clip.avi/{frame:06d}.png": clip.masks[frame][:2] for frame in FRAMES}
    for image in coco.dataset["images"]:
        masks = [coco.annToMask(one) for one in coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))]
        np.testing.assert_array_equal(masks, wanted.pop(image["file_name"]))
    assert not wanted

    download(page, panel, "Supervisely project", tmp_path / "sly")
    project = sly.Project(str(tmp_path / "sly" / "images"), sly.OpenMode.READ)
    (dataset,) = project.datasets
    labels = dataset.get_ann("scene.png", project.meta).labels
    np.testing.assert_array_equal(
        [drawn(one.geometry, (480, 640)) for one in labels], scenes[0].masks[:3]
    )
    project = sly.VideoProject(str(tmp_path / "sly" / "videos"), sly.OpenMode.READ)
    (dataset,) = project.datasets
    annotation = dataset.get_ann("clip.avi", project.meta)
    assert len(annotation.objects) == 2
    for frame in annotation.frames:
        masks = [drawn(one.geometry, (240, 320)) for one in frame.figures]
        np.testing.assert_array_equal(masks, clip.masks[frame.index][:2])


def drawn(geometry: Any, shape: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    geometry.draw(canvas, 1)
    return canvas.astype(bool)


@pytest.mark.long
def test_one_dataset_with_its_media_and_what_was_left_out(
    page: Page, panel: Locator, shelf: Demo, tmp_path: Path
) -> None:
    media = panel.get_by_role("checkbox", name="with images, videos and volumes")
    panel.get_by_role("radio", name="Supervisely project").check()
    expect(media).to_be_checked()
    panel.get_by_role("radio", name="Mask PNGs").check()
    expect(media).not_to_be_checked()
    panel.get_by_label("Of", exact=True).select_option("film")
    media.check()
    with page.expect_request("**/workspace/api/exports") as begun:
        panel.get_by_role("button", name="Export", exact=True).click()
    (films,) = [one for one in shelf.get("media")["datasets"] if one["name"] == "film"]
    assert begun.value.post_data_json == {"form": "masks", "dataset_id": films["id"], "media": True}
    first = panel.get_by_role("listitem").first
    expect(first.get_by_role("link", name="Download")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "export.png")
    # It is still there after a reload, and can be taken away.
    page.reload()
    page.get_by_role("button", name="Export").click()
    entries = panel.get_by_role("listitem")
    expect(entries.first).to_contain_text("film-masks.zip")
    count = entries.count()
    entries.first.get_by_role("button", name="Take film-masks.zip away").click()
    expect(entries).to_have_count(count - 1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Export")).to_be_focused()
