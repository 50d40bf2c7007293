"""Import: files and folders that are chosen, or dropped on the page."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect
from servers import SCREENSHOTS, Demo, free_port, workspace_process

from sam2_serving.masks import decode_bitmap, encode_rle
from sam2_serving.scenes import Scene

IMPORTS = "**/workspace/api/imports*"
DROP = """([files]) => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  for (const type of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.querySelector("#canvas").dispatchEvent(event);
    if (!event.defaultPrevented && type !== "dragenter") throw new Error("the browser opens it");
  }
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inbox")


@pytest.fixture(scope="module")
def shelf(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A workspace over an empty folder, without an app."""
    nobody = f"http://127.0.0.1:{free_port()}"
    data = tmp_path_factory.mktemp("inbox-data")
    with workspace_process(data, folder, nobody, free_port()) as url:
        yield Demo(url)


@pytest.fixture(scope="module")
def picture(scenes: list[Scene]) -> bytes:
    ok, content = cv2.imencode(".png", np.ascontiguousarray(scenes[0].image[..., ::-1]))
    assert ok
    return content.tobytes()


def panel_of(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Import media")


def drop(page: Page, *files: tuple[str, bytes]) -> None:
    """Drop files on the picture."""
    sent = [[name, base64.b64encode(content).decode()] for name, content in files]
    page.evaluate(DROP, [sent])


def test_dropped_files_are_listed_and_a_bad_one_is_named(
    page: Page, shelf: Demo, folder: Path, picture: bytes
) -> None:
    page.goto(shelf.url)
    expect(page.get_by_text("This folder holds nothing to label")).to_be_visible()
    drop(page, ("a.png", picture), ("cut.png", picture[:-99]), ("b.png", picture), ("x.txt", b"x"))
    panel = panel_of(page)
    words = "2 files imported · 1 not taken · 1 other file left out"
    expect(panel.get_by_text(words)).to_be_visible()
    expect(panel.get_by_role("alert").get_by_role("listitem")).to_contain_text("cut.png: damaged")
    page.screenshot(path=SCREENSHOTS / "import.png")
    page.keyboard.press("Escape")
    thumbs = page.get_by_role("navigation", name="Media").get_by_role("button")
    expect(thumbs).to_have_count(2)
    expect(thumbs.first).to_have_attribute("aria-current", "true")  # there was nothing to look at
    assert sorted(one.name for one in folder.iterdir()) == ["a.png", "b.png"]
    # The same again: nothing is doubled or overwritten.
    drop(page, ("a.png", picture))
    expect(panel.get_by_text("0 files imported · 1 there already")).to_be_visible()
    assert sorted(one.name for one in folder.iterdir()) == ["a.png", "b.png"]


@pytest.mark.long
def test_a_folder_becomes_datasets_within_a_new_one(
    page: Page, shelf: Demo, folder: Path, picture: bytes, tmp_path: Path
) -> None:
    trip = tmp_path / "trip"
    for name in ("one.png", "inner/two.png", "inner/notes.txt"):
        (trip / name).parent.mkdir(parents=True, exist_ok=True)
        (trip / name).write_bytes(picture)
    page.goto(shelf.url)
    page.get_by_role("button", name="Import").click()
    panel = panel_of(page)
    panel.get_by_label("Into").select_option("A new dataset…")
    panel.get_by_label("Name").fill("may/../2026")
    with page.expect_file_chooser() as choosing:
        panel.get_by_role("button", name="Choose a folder").click()
    choosing.value.set_files(trip)
    expect(panel.get_by_text("2 files imported · 1 other file left out")).to_be_visible()
    found = {str(one.relative_to(folder)) for one in folder.rglob("*.png")}
    assert {"may/_/2026/trip/one.png", "may/_/2026/trip/inner/two.png"} <= found
    expect(page.get_by_role("region", name="may/_/2026/trip/inner")).to_be_attached()


@pytest.mark.long
def test_an_import_can_be_stopped(page: Page, shelf: Demo, folder: Path, picture: bytes) -> None:
    held: list[Route] = []
    page.goto(shelf.url)
    expect(page.get_by_role("button", name="a.png")).to_be_visible()  # the page has begun
    page.route(IMPORTS, lambda route: held.append(route))
    drop(page, *((f"stop-{number}.png", picture) for number in range(3)))
    panel = panel_of(page)
    expect(panel.get_by_text("0 of 3 files")).to_be_visible()
    panel.get_by_role("button", name="Stop").click()
    expect(panel.get_by_text("0 files imported · stopped")).to_be_visible()
    assert len(held) == 1
    assert not list(folder.rglob("*stop-*"))
    page.unroute(IMPORTS)
    drop(page, ("go-on.png", picture))
    expect(panel.get_by_text("1 file imported")).to_be_visible()


def _exported(shelf: Demo, form: str) -> bytes:
    exports = f"{shelf.url}/workspace/api/exports"
    key = shelf.client.post(exports, json={"form": form}).json()["key"]
    while (state := shelf.get(f"exports/{key}")["state"]) in ("waiting", "running"):
        time.sleep(0.05)
    assert state == "finished"
    return shelf.client.get(f"{exports}/{key}/file").content


def _masks(shelf: Demo, name: str) -> list[np.ndarray]:
    image = next(
        one for dataset in shelf.get("media")["datasets"] for one in dataset["images"]
        if one["name"] == name
    )  # fmt: skip
    found = []
    for figure in shelf.get(f"images/{image['id']}/figures"):
        bitmap = figure["geometry"]["bitmap"]
        mask = np.zeros((image["height"], image["width"]), bool)
        part = decode_bitmap(bitmap["data"])
        x, y = bitmap["origin"]
        mask[y : y + part.shape[0], x : x + part.shape[1]] = part
        found.append(mask)
    return found


def test_figures_come_with_a_folder_and_with_a_zip(
    page: Page, shelf: Demo, picture: bytes, scenes: list[Scene], tmp_path: Path
) -> None:
    """A folder with a COCO file; what is exported of it then; both are undone as one step."""
    masks = scenes[0].masks[:3]
    folder = tmp_path / "labelled"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "labelled.png").write_bytes(picture + b"another file")
    height, width = masks[0].shape
    image = {"id": 7, "file_name": "labelled.png", "width": width, "height": height}
    annotations = [
        {"id": at, "image_id": 7, "category_id": 3, "segmentation": encode_rle(mask)}
        for at, mask in enumerate(masks)
    ]
    content = {"images": [image], "categories": [{"id": 3, "name": "toy"}]}
    (folder / "set.json").write_text(json.dumps({**content, "annotations": annotations}))

    page.goto(shelf.url)
    expect(page.get_by_role("radio", name="object")).to_be_attached()  # the page has begun
    page.get_by_role("button", name="Import", exact=True).click()
    panel = panel_of(page)
    panel.get_by_label("Folder").set_input_files(folder)
    expect(panel).to_contain_text("1 file imported · 3 figures")
    np.testing.assert_array_equal(_masks(shelf, "labelled.png"), masks)
    zipped = _exported(shelf, "supervisely")
    page.screenshot(path=SCREENSHOTS / "import-figures.png")
    panel.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="labelled.png").click()
    expect(page.locator("li.figure")).to_have_count(3)
    expect(page.get_by_role("radio", name="toy")).to_be_attached()
    page.locator("#canvas").focus()
    page.keyboard.press("Control+z")
    expect(page.locator("li.figure")).to_have_count(0)

    page.get_by_role("button", name="Import", exact=True).click()
    file = {"name": "back.zip", "mimeType": "application/zip", "buffer": zipped}
    panel.get_by_label("Files").set_input_files(files=[file])  # type: ignore[list-item]
    expect(panel).to_contain_text("3 figures")
    np.testing.assert_array_equal(_masks(shelf, "labelled.png"), masks)
