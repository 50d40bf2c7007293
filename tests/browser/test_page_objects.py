"""Classes and figures: named, coloured, ordered, hidden, locked, given other shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from labeler import Labeler
from playwright.sync_api import Locator, Page, expect
from servers import SCREENSHOTS, Demo

from sam2_serving.masks.bitmap import encode_bitmap
from sam2_serving.workspace.conversions import pixels_of

Json = dict[str, Any]
WIDTH, HEIGHT = 640, 480


@pytest.fixture
def mine(demo: Demo) -> Iterator[Demo]:
    """A workspace without figures; the classes that a test adds go again."""
    demo.clear_figures()
    before = {one["id"] for one in demo.get("classes")}
    yield demo
    demo.clear_figures()
    for one in demo.get("classes"):
        if one["id"] not in before:
            url = f"{demo.url}/workspace/api/classes/{one['id']}"
            demo.client.delete(url, params={"key": f"away {url}"}).raise_for_status()


def _save(demo: Demo, on: str, mask: npt.NDArray[np.bool_]) -> Json:
    (x, y), data = encode_bitmap(mask)  # type: ignore[misc]
    body = {"class_id": demo.get("classes")[0]["id"], "origin": {"x": x, "y": y}, "bitmap": data}
    answer = demo.client.post(f"{demo.url}/workspace/api/{on}", json=body)
    answer.raise_for_status()
    return dict(answer.json())


def _ring(size: tuple[int, int] = (WIDTH, HEIGHT), left: int = 60) -> npt.NDArray[np.bool_]:
    mask = np.zeros(size[::-1], bool)
    mask[60:140, left : left + 80] = True
    mask[80:110, left + 20 : left + 60] = False
    return mask


def _on(demo: Demo) -> str:
    return f"images/{demo.media('images')['id']}/figures"


def _titles(demo: Demo) -> list[str]:
    return [one["title"] for one in demo.get("classes")]


def _row(page: Page, figure: Json) -> Locator:
    return page.locator(f"li.figure[data-figure='{figure['id']}']")


def _choose(page: Page, figure: Json, entry: str) -> None:
    _row(page, figure).get_by_role("button", name=re.compile("^More for")).click()
    page.get_by_role("menuitem", name=entry, exact=True).click()


def _add(page: Page, title: str) -> None:
    page.get_by_label("Name of the new class").fill(title)
    page.get_by_role("button", name="Add the class").click()
    expect(page.get_by_role("radio", name=title)).to_be_checked()


def test_a_mask_becomes_a_polygon_a_box_and_a_mask_again(
    mine: Demo, page: Page, labeler: Labeler
) -> None:
    mask = _save(mine, _on(mine), _ring())
    page.goto(mine.url)
    labeler.expect_figures(1)
    shapes: list[Json] = [mask]
    for entry, kind, shown in (
        ("To polygon", "polygon", "polygon · "),
        ("To mask", "bitmap", "px"),
        ("To box", "rectangle", "box · "),
        ("Fill the box: mask", "bitmap", "px"),
    ):
        _choose(page, mask, entry)
        labeler.wait_until(lambda kind=kind: mine.get(_on(mine))[0]["geometryType"] == kind)
        expect(_row(page, mask)).to_contain_text(shown)
        (figure,) = mine.get(_on(mine))
        assert figure["id"] == mask["id"]
        shapes.append(figure)
    covered = [pixels_of(s["geometryType"], s["geometry"], (WIDTH, HEIGHT)) for s in shapes]
    for one in covered[1:3]:
        np.testing.assert_array_equal(one, _ring())
    assert [int(one.sum()) for one in covered[3:]] == [6400, 6400]
    for shape in reversed(shapes[:-1]):
        labeler.press("Control+z")
        wanted = shape["geometry"]
        labeler.wait_until(lambda wanted=wanted: mine.get(_on(mine))[0]["geometry"] == wanted)
    for _ in shapes[1:]:
        labeler.press("Control+y")
    last = shapes[-1]["geometry"]
    labeler.wait_until(lambda: mine.get(_on(mine))[0]["geometry"] == last)


def test_a_figure_is_hidden_and_locked_also_after_a_reload(
    mine: Demo, page: Page, labeler: Labeler
) -> None:
    one, other = (_save(mine, _on(mine), _ring(left=left)) for left in (60, 300))
    page.goto(mine.url)
    labeler.expect_figures(2)
    _row(page, one).get_by_role("button", name=re.compile("^Hide")).click()
    _row(page, other).get_by_role("button", name=re.compile("^Lock")).click()
    canvas = page.locator("#canvas")
    expect(canvas).to_have_attribute("data-figures", "1")
    page.reload()
    labeler.expect_picture()
    expect(canvas).to_have_attribute("data-figures", "1")
    expect(page.locator("li.figure")).to_have_count(2)
    locked = _row(page, other)
    for name in ("Delete", "Edit"):
        expect(locked.get_by_role("button", name=re.compile(f"^{name}"))).to_be_disabled()
    page.screenshot(path=SCREENSHOTS / "objects-marks.png")
    # Neither is chosen on the picture: the menu is that of the next figure's class.
    for x in (65, 305):
        page.mouse.click(*labeler.spot(x, 65), button="right")
        expect(page.get_by_role("menu", name="Class of the next figure")).to_be_visible()
        labeler.press("Escape")
    locked.get_by_role("button", name=re.compile("^More for")).click()
    expect(page.get_by_role("menuitem", name="Delete", exact=True)).to_have_count(0)
    page.get_by_role("menuitem", name="Unlock").click()
    _row(page, one).get_by_role("button", name=re.compile("^Show")).click()
    expect(canvas).to_have_attribute("data-figures", "2")
    page.mouse.click(*labeler.spot(305, 65), button="right")
    expect(page.get_by_role("menuitem", name="Delete", exact=True)).to_be_visible()


@pytest.mark.long
def test_figures_are_named_and_put_in_order_by_keys(
    mine: Demo, page: Page, labeler: Labeler
) -> None:
    one, other = (_save(mine, _on(mine), _ring(left=left)) for left in (60, 100))
    page.goto(mine.url)
    labeler.expect_figures(2)
    what = _row(page, one).locator("button.what")
    what.focus()
    canvas = page.locator("#canvas")
    before = float(canvas.get_attribute("data-scale") or "nan")
    labeler.press("Enter")
    labeler.wait_until(lambda: float(canvas.get_attribute("data-scale") or "nan") > before)
    frame = canvas.bounding_box()
    assert frame is not None
    middle = (frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
    np.testing.assert_allclose(labeler.spot(99.5, 99.5), middle, atol=1)
    labeler.press("F2")
    page.get_by_label("Name of the figure").fill("left wheel")
    labeler.press("Enter")
    expect(_row(page, one)).to_contain_text(f"left wheel #{one['id']}")
    what.focus()
    labeler.press("Alt+ArrowDown")
    expect(page.locator("li.figure").last).to_have_attribute("data-figure", str(one["id"]))
    expect(what).to_be_focused()
    assert [figure["id"] for figure in mine.get(_on(mine))] == [other["id"], one["id"]]
    _choose(page, one, "Send to back")
    expect(page.locator("li.figure").first).to_have_attribute("data-figure", str(one["id"]))
    for _ in range(3):
        labeler.press("Control+z")
    expect(_row(page, one)).to_contain_text(f"object #{one['id']}")


def test_classes_are_renamed_coloured_ordered_and_deleted_with_their_figures(
    mine: Demo, page: Page, labeler: Labeler
) -> None:
    page.goto(mine.url)
    labeler.expect_picture()
    first = _titles(mine)
    _add(page, "cat")
    _add(page, "dog")
    rename = page.get_by_role("button", name="Rename cat")
    rename.focus()
    rename.press("Enter")
    page.get_by_label("New name of cat").fill("tiger")
    labeler.press("Enter")
    expect(page.get_by_role("radio", name="tiger")).to_be_visible()
    page.get_by_label("Colour of tiger").fill("#123456")
    labeler.wait_until(lambda: mine.get("classes")[-2]["color"] == "#123456")

    page.get_by_role("radio", name="dog").press("Alt+ArrowUp")
    labeler.wait_until(lambda: _titles(mine) == [*first, "dog", "tiger"])
    expect(page.get_by_role("radio", name="dog")).to_be_focused()
    tiger = page.locator(".class", has_text="tiger")
    tiger.drag_to(page.locator(".class").first)
    labeler.wait_until(lambda: _titles(mine) == ["tiger", *first, "dog"])
    page.locator("#canvas").focus()
    labeler.press("1")
    expect(page.get_by_role("radio", name="tiger")).to_be_checked()

    labeler.press("b")
    labeler.box(50, 50, 90, 90)
    labeler.expect_figures(1)
    (figure,) = mine.get(_on(mine))
    tiger.hover()
    page.screenshot(path=SCREENSHOTS / "objects-classes.png")
    trash = page.get_by_role("button", name="Remove the class tiger")
    trash.click()
    dialog = page.get_by_role("dialog", name="Delete the class")
    expect(dialog).to_contain_text("1 figure on 1 medium goes with it")
    page.screenshot(path=SCREENSHOTS / "objects-delete.png")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_have_count(0)
    labeler.expect_figures(1)
    trash.click()
    dialog.get_by_role("button", name="Delete all").click()
    labeler.expect_figures(0)
    assert _titles(mine) == [*first, "dog"]
    page.locator("#canvas").focus()
    labeler.press("Control+z")
    labeler.expect_figures(1)
    assert mine.get(_on(mine)) == [figure]
    # And on: the box, both orders, the colour, the name, both classes.
    for _ in range(7):
        labeler.press("Control+z")
    labeler.wait_until(lambda: _titles(mine) == first)


@pytest.mark.long
def test_on_frames_and_slices_an_object_is_hidden_and_converted(
    mine: Demo, page: Page, labeler: Labeler
) -> None:
    video, volume = mine.media("videos"), mine.media("volumes")
    size = volume["planes"]["axial"]
    for on, address, (width, height) in (
        (f"videos/{video['id']}/frames/4/figures", f"#video={video['id']}&frame=4", (320, 240)),
        (
            f"volumes/{volume['id']}/slices/axial/20/figures",
            f"#volume={volume['id']}&plane=axial&slice=20",
            (size["width"], size["height"]),
        ),
    ):
        mask = np.zeros((height, width), bool)
        mask[20:60, 20:60] = mask[70:74, 70:74] = True
        figure = _save(mine, on, mask)
        page.goto(f"{mine.url}/{address}")
        page.reload()
        labeler.expect_figures(1)
        _choose(page, figure, "To polygon")
        expect(_row(page, figure)).to_contain_text("polygon")
        expect(page.locator("#notice")).to_contain_text("a smaller part of the mask went")
        (polygon,) = mine.get(on)
        mask[70:74, 70:74] = False
        covered = pixels_of("polygon", polygon["geometry"], (width, height))
        np.testing.assert_array_equal(covered, mask)
        assert polygon["objectId"] == figure["objectId"]
        _choose(page, figure, "Hide")
        expect(page.locator("#canvas")).to_have_attribute("data-figures", "0")
        page.locator("#canvas").focus()
        labeler.press("Control+z")
        expect(_row(page, figure)).not_to_contain_text("polygon")
