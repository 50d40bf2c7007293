"""A volume on the page: three planes that are linked, windows, figures in each plane."""

from __future__ import annotations

import re
from typing import Any

import pytest
from labeler import Labeler, sent
from playwright.sync_api import Locator, Page, expect
from servers import SCREENSHOTS, Demo

PLANES = ("axial", "coronal", "sagittal")
NORMALS = {
    "axial": {"x": 0, "y": 0, "z": 1},
    "coronal": {"x": 0, "y": 1, "z": 0},
    "sagittal": {"x": 1, "y": 0, "z": 0},
}
SIZE = {"sagittal": 128, "coronal": 112, "axial": 64}
"""Slices of the volume's planes."""


@pytest.fixture
def volume(served: Demo, labeler: Labeler) -> dict[str, Any]:
    """The volume, open on its middle axial slice."""
    labeler.open(served.url)
    labeler.choose("blobs.nrrd")
    return served.media("volumes")


def _pane(page: Page, plane: str) -> Locator:
    return page.locator(f".plane[data-plane={plane}]")


def _press(page: Page, plane: str, x: float, y: float, columns: int, rows: int) -> None:
    """Press on a pixel of a small plane."""
    box = _pane(page, plane).locator("canvas").bounding_box()
    assert box is not None
    scale = min(box["width"] / columns, box["height"] / rows)
    left = box["x"] + (box["width"] - columns * scale) / 2
    top = box["y"] + (box["height"] - rows * scale) / 2
    page.mouse.click(left + (x + 0.5) * scale, top + (y + 0.5) * scale)


def _work_on(labeler: Labeler, plane: str) -> None:
    page = labeler.page
    if not page.get_by_role("radio", name=plane.title()).is_checked():
        page.get_by_role("button", name=f"Work on the {plane} plane").click()
    expect(page.locator("#where")).to_contain_text(f"{plane} slice")
    labeler.expect_picture()


def test_a_slice_is_labelled_in_each_plane(
    served: Demo, page: Page, labeler: Labeler, volume: dict[str, Any]
) -> None:
    """The voxel that the cross-hair is at is clicked in all three; a reload finds it all again."""
    page.mouse.move(*labeler.spot(80, 58))
    labeler.press("x")
    at = {"sagittal": SIZE["sagittal"] - 1 - 80, "coronal": SIZE["coronal"] - 1 - 58, "axial": 32}
    pixels = {
        "axial": (80, 58),
        "coronal": (80, SIZE["axial"] - 1 - 32),
        "sagittal": (58, SIZE["axial"] - 1 - 32),
    }
    for plane in PLANES:
        _work_on(labeler, plane)
        expect(page.locator("#where")).to_contain_text(f"{plane} slice {at[plane]} ")
        with page.expect_request("**/smart_segmentation") as asked:
            labeler.click(*pixels[plane])
        shown = sent(asked.value)["context"]["volume"]
        assert (shown["normal"], shown["slice_index"]) == (NORMALS[plane], at[plane])
        labeler.expect_state("mask")
        labeler.press("Space")
        labeler.expect_figures(1)
    for plane in ("axial", "coronal"):
        expect(_pane(page, plane)).to_have_attribute("data-slice", str(at[plane]))
        expect(_pane(page, plane)).to_have_attribute("data-figures", "1")

    page.keyboard.down("w")
    labeler.drag((60, 30), (70, 30))
    page.keyboard.up("w")
    width = page.get_by_label("Window width, number")
    expect(width).not_to_have_value(f"{volume['window']['width']:g}")
    chosen = width.input_value()
    labeler.expect_state("idle")
    page.screenshot(path=SCREENSHOTS / "planes.png")
    expect(page).to_have_url(re.compile(r"sagittal=47"))
    page.reload()
    expect(width).to_have_value(chosen)
    labeler.expect_figures(1)
    expect(_pane(page, "axial")).to_have_attribute("data-slice", "32")
    expect(_pane(page, "axial")).to_have_attribute("data-figures", "1")
    places = served.get(f"volumes/{volume['id']}/places")
    assert places == {f"{plane}:{at[plane]}": 1 for plane in PLANES}


def test_the_planes_are_linked(page: Page, labeler: Labeler, volume: dict[str, Any]) -> None:
    _press(page, "coronal", 20, 10, SIZE["sagittal"], SIZE["axial"])
    expect(page.locator("#where")).to_contain_text("axial slice 53 ")
    expect(_pane(page, "sagittal")).to_have_attribute("data-slice", "107")
    expect(_pane(page, "coronal")).to_have_attribute("data-slice", "56")
    _pane(page, "sagittal").get_by_role("slider").fill("30")
    expect(_pane(page, "sagittal")).to_have_attribute("data-slice", "30")
    expect(page.locator("#where")).to_contain_text("axial slice 53 ")
    labeler.expect_picture()
    page.mouse.move(*labeler.spot(80, 58))
    page.keyboard.down("Shift")
    page.mouse.wheel(0, 100)
    page.keyboard.up("Shift")
    expect(page.locator("#where")).to_contain_text("axial slice 54 ")


@pytest.mark.long
def test_an_object_goes_on_over_slices_and_planes(
    served: Demo, page: Page, labeler: Labeler, volume: dict[str, Any]
) -> None:
    def save(number: int, x: int, y: int) -> None:
        labeler.click(x, y)
        labeler.expect_state("mask")
        labeler.press("Space")
        labeler.expect_figures(number)

    owner = page.get_by_label("Object of the next figure")
    save(1, 80, 58)
    (figure,) = served.get(f"volumes/{volume['id']}/slices/axial/32/figures")
    first = figure["objectId"]
    expect(owner.locator("option")).to_have_count(2)
    owner.select_option(str(first))
    page.locator("#canvas").focus()
    save(2, 60, 35)  # this slice has one of it already: a new object
    labeler.press("ArrowRight")
    expect(page.locator("#where")).to_contain_text("axial slice 33 ")
    expect(page.locator("#toolbar")).to_contain_text(f"For object {first}")
    labeler.expect_picture()
    save(1, 80, 58)
    page.mouse.move(*labeler.spot(80, 58))
    labeler.press("x")
    _work_on(labeler, "coronal")
    save(1, 80, SIZE["axial"] - 1 - 33)
    objects = served.get(f"volumes/{volume['id']}/objects")
    slices = [one["slices"] for one in objects if one["slices"]]  # others were emptied by tests
    assert slices == [{"axial": [32, 33], "coronal": [53]}, {"axial": [32]}]


@pytest.mark.long
def test_a_window_fits_the_slice(page: Page, labeler: Labeler, volume: dict[str, Any]) -> None:
    page.get_by_role("button", name="Fit to slice").click()
    width = page.get_by_label("Window width, number")
    expect(width).not_to_have_value(f"{volume['window']['width']:g}")
    low = float(page.get_by_label("Window center, number").input_value())
    reach = float(width.input_value()) / 2
    assert -100 < low - reach < 50, "the background is black"
    assert 500 < low + reach <= volume["window"]["max"], "the brightest blob is white"
    expect(page.get_by_label("Window for tomography")).to_be_hidden()
    page.get_by_role("button", name="Show the other two planes").click()
    expect(page.locator("#planes")).to_be_hidden()
    labeler.expect_picture()
    page.reload()
    expect(page.get_by_label("Window width, number")).to_be_visible()
    expect(page.locator("#planes")).to_be_hidden()
