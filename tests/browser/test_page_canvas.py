"""The canvas and the Smart Tool's own habits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from labeler import Labeler, pairs, sent
from playwright.sync_api import Page, Request, Response, Route, expect
from servers import SCREENSHOTS, Demo
from targets import Target

from sam2_serving.masks.bitmap import decode_bitmap

Json = dict[str, Any]


def _habits(page: Page, **chosen: bool) -> None:
    """What the page finds remembered when it is opened."""
    kept = json.dumps(json.dumps(chosen))
    page.add_init_script(f"localStorage.setItem('sam2-serving.habits', {kept});")


def _figures(demo: Demo) -> list[Json]:
    figures: list[Json] = demo.get(f"images/{demo.media('images')['id']}/figures")
    return figures


def _middle(target: Target) -> tuple[int, int]:
    x0, y0, x1, y1 = target.box
    return (x0 + x1) // 2, (y0 + y1) // 2


def _context(request: Request) -> Json:
    context: Json = sent(request)["context"]
    return context


def test_a_new_box_gets_a_point_in_its_middle(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """By default; it follows the box, is one step with it, and the choice is remembered."""
    page.add_init_script(
        "if (!sessionStorage.begun) localStorage.clear(); sessionStorage.begun = 'yes';"
    )
    labeler.open(served.url)
    x0, y0, x1, y1 = target.box
    with page.expect_request("**/smart_segmentation") as drawn:
        labeler.box(*target.box)
    labeler.expect_state("mask")
    assert _context(drawn.value)["crop"] == pairs((x0, y0), (x1, y1))
    assert _context(drawn.value)["positive"] == pairs(_middle(target))
    page.screenshot(path=SCREENSHOTS / "auto-point.png")

    # By the grip of its upper side; the point goes with the box.
    middle = (x0 + x1 + 1) // 2
    with page.expect_request("**/smart_segmentation") as resized:
        labeler.drag((middle, y0), (middle, y0 + 8))
    labeler.expect_state("mask")
    assert _context(resized.value)["crop"] == pairs((x0, y0 + 8), (x1, y1))
    assert _context(resized.value)["positive"] == pairs(((x0 + x1) // 2, (y0 + 8 + y1) // 2))

    # By its edge: it moves.
    with page.expect_request("**/smart_segmentation") as moved:
        labeler.drag((x0 + 12, y0 + 8), (x0 + 9, y0 + 4))
    labeler.expect_state("mask")
    assert _context(moved.value)["crop"] == pairs((x0 - 3, y0 + 4), (x1 - 3, y1 - 4))

    # A click that is dragged is the person's own, and stays.
    at = _context(moved.value)["positive"][0]
    with page.expect_request("**/smart_segmentation") as dragged:
        labeler.drag((at["x"], at["y"]), (at["x"] + 6, at["y"] + 5))
    labeler.expect_state("mask")
    assert _context(dragged.value)["positive"] == pairs((at["x"] + 6, at["y"] + 5))
    for _ in range(4):
        labeler.press("Control+z")
    labeler.expect_state("idle")

    labeler.press("m")
    page.reload()
    labeler.expect_picture()
    page.get_by_role("button", name="Habits and opacity").click()
    expect(page.get_by_label("Point in the middle of a new box")).not_to_be_checked()
    page.screenshot(path=SCREENSHOTS / "habits.png")
    labeler.press("Escape")
    with page.expect_request("**/smart_segmentation") as alone:
        labeler.box(*target.box)
    assert _context(alone.value)["positive"] == []


@pytest.mark.long
def test_simple_clicks_take_away_inside_and_add_outside(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    _habits(page, simpleClicks=True, autoPoint=False)
    labeler.open(served.url)
    with page.expect_response("**/smart_segmentation") as drawn:
        labeler.box(*target.box)
    labeler.expect_state("mask")
    inside, outside = _inside_and_outside(drawn.value, target)
    with page.expect_response("**/smart_segmentation") as taken:
        labeler.click(*inside)
    assert _context(taken.value.request)["negative"] == pairs(inside)
    labeler.press("Control+z")
    labeler.expect_state("mask")
    with page.expect_response("**/smart_segmentation") as added:
        labeler.click(*outside)
    assert _context(added.value.request)["positive"] == pairs(outside)


def _inside_and_outside(answer: Response, target: Target) -> list[tuple[int, int]]:
    """A pixel of the box in the mask that was answered, and one out of it, far from the edges."""
    body = answer.json()
    x0, y0, x1, y1 = target.box
    mask = np.zeros_like(target.mask)
    part = decode_bitmap(body["bitmap"])
    left, top = body["origin"]["x"], body["origin"]["y"]
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    within = mask[y0 + 10 : y1 - 9, x0 + 10 : x1 - 9]
    spots = []
    for wanted in (within, ~within):
        rows, columns = np.nonzero(wanted)
        spots.append((int(columns[0]) + x0 + 10, int(rows[0]) + y0 + 10))
    return spots


def test_the_mask_under_the_pointer_is_shown_before_a_click(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """It is drawn, never saved; a click takes over."""
    labeler.open(served.url)
    canvas = page.locator("#canvas")
    asked: list[Request] = []
    page.on("request", lambda one: asked.append(one) if "smart_segm" in one.url else None)
    page.mouse.move(*labeler.spot(*target.inside))
    labeler.press("p")
    with page.expect_response("**/smart_segmentation") as shown:
        page.mouse.move(*labeler.spot(target.inside[0] + 1, target.inside[1]))
    expect(canvas).to_have_attribute("data-preview", "yes")
    page.screenshot(path=SCREENSHOTS / "preview.png")
    assert len(asked) == 1
    assert len(_context(shown.value.request)["positive"]) == 1
    labeler.expect_state("idle")
    expect(page.get_by_role("button", name="Undo", exact=True).first).to_be_disabled()
    labeler.press("Space")
    labeler.expect_figures(0)

    # The next one is held back: the click does not wait for it.
    held_back: list[Route] = []

    def hold_first(route: Route) -> None:
        if held_back:
            route.continue_()
        else:
            held_back.append(route)

    page.route("**/smart_segmentation", hold_first)
    with page.expect_request("**/smart_segmentation") as held:
        page.mouse.move(*labeler.spot(*target.outside))
    with page.expect_event("requestfailed", lambda one: one == held.value):
        labeler.click(*target.inside)
    labeler.expect_state("mask")
    expect(canvas).to_have_attribute("data-preview", "no")


def test_a_right_click_opens_the_classes_and_a_right_drag_pans(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    page.get_by_label("Name of the new class").fill("other")
    page.get_by_role("button", name="Add the class").click()
    expect(page.get_by_role("radio", name="other")).to_be_checked()
    first = page.locator(".classes .name").first.inner_text()
    menu = page.get_by_role("menu", name="Class of the next figure")
    page.mouse.click(*labeler.spot(*target.inside), button="right")
    expect(menu.get_by_role("menuitemradio", name="other")).to_have_attribute(
        "aria-checked", "true"
    )
    page.screenshot(path=SCREENSHOTS / "class-menu.png")
    menu.get_by_role("menuitemradio", name=first).click()
    expect(menu).to_be_hidden()
    expect(page.get_by_role("radio", name=first)).to_be_checked()
    before = labeler.spot(0, 0)
    labeler.drag(target.inside, (target.inside[0] - 20, target.inside[1]), button="right")
    labeler.wait_until(lambda: labeler.spot(0, 0)[0] < before[0] - 10)
    expect(menu).to_be_hidden()


@pytest.mark.long
def test_a_saved_box_is_moved_and_resized(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """Each drag is saved at once and is one step of undo."""
    x0, y0, x1, y1 = target.box
    labeler.open(served.url)
    labeler.press("b")
    labeler.box(*target.box)
    labeler.expect_figures(1)
    page.get_by_role("button", name="Edit").click()
    page.screenshot(path=SCREENSHOTS / "reshape.png")

    def saved() -> list[list[int]]:
        (figure,) = _figures(served)
        return [list(corner) for corner in figure["geometry"]["points"]["exterior"]]

    labeler.drag((x1, y1), (x1 - 10, y1 - 12))
    labeler.wait_until(lambda: saved() == [[x0, y0], [x1 - 10, y1 - 12]])
    expect(page.locator("#canvas")).to_have_attribute("data-figures", "1")
    labeler.wait_until(lambda: page.evaluate(_SHOWN) == [x0, y0, x1 - 10, y1 - 12])
    labeler.drag((x0 + 12, y0), (x0 + 16, y0 + 5))
    labeler.wait_until(lambda: saved() == [[x0 + 4, y0 + 5], [x1 - 6, y1 - 7]])
    labeler.press("Control+z")
    labeler.wait_until(lambda: saved() == [[x0, y0], [x1 - 10, y1 - 12]])
    labeler.press("Control+z")
    labeler.wait_until(lambda: saved() == [[x0, y0], [x1, y1]])
    labeler.press("Escape")
    expect(page.get_by_role("button", name="Smart Tool", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )


_SHOWN = """async () => {
  const { store } = await import("/static/store.js");
  const points = store.get("figures")[0]?.geometry.points?.exterior ?? [];
  return points.flat();
}"""


@pytest.mark.long
def test_masks_are_crisp_and_can_be_hidden(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    _save_one(labeler, served, target)
    (figure,) = _figures(served)
    left, top = figure["geometry"]["bitmap"]["origin"]
    mask = decode_bitmap(figure["geometry"]["bitmap"]["data"])
    row = int(np.argmax(mask.sum(axis=1)))
    edge = int(np.argmax(mask[row])) + left  # the first pixel of the row that is inside
    page.mouse.move(*labeler.spot(edge, top + row))
    for _ in range(12):
        page.mouse.wheel(0, -300)
    labeler.wait_until(lambda: float(_scale(page)) == 40)
    page.screenshot(path=SCREENSHOTS / "crisp.png")
    # Along the row: one colour up to the outline, another after it, nothing between.
    colors = page.evaluate(_ROW, [edge, top + row])
    assert len({tuple(color) for color in colors["outside"]}) == 1
    assert len({tuple(color) for color in colors["inside"]}) == 1
    assert colors["outside"][0] != colors["inside"][0]

    labeler.press("Control+h")
    labeler.wait_until(lambda: page.evaluate(_ROW, [edge, top + row]) != colors)
    expect(page.get_by_role("button", name="Hide the figures")).to_have_attribute(
        "aria-pressed", "true"
    )
    labeler.press("Control+h")
    labeler.wait_until(lambda: page.evaluate(_ROW, [edge, top + row]) == colors)


def _scale(page: Page) -> str:
    return page.locator("#canvas").get_attribute("data-scale") or "nan"


# The colours of a pixel of the image and of the one before it, away from their borders.
_ROW = """([x, y]) => {
  const canvas = document.querySelector("#canvas");
  const { scale, x: left, y: top } = canvas.dataset;
  const [side, ratio] = [Number(scale), devicePixelRatio];
  const context = canvas.getContext("2d");
  const at = (column, part) => [...context.getImageData(
    Math.round((Number(left) + (column + part) * side) * ratio),
    Math.round((Number(top) + (y + 0.5) * side) * ratio), 1, 1).data];
  const parts = [0.2, 0.35, 0.5, 0.65, 0.8];
  const colors = (column) => parts.map((part) => at(column, part));
  return { outside: colors(x - 1), inside: colors(x) };
}"""


def test_what_is_panned_is_what_would_be_drawn(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """While it is dragged, only what comes into sight is drawn; the rest is shifted."""
    labeler.open(served.url)
    labeler.press("b")
    labeler.box(*target.box)
    labeler.expect_figures(1)
    x, y = labeler.spot(*target.inside)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    labeler.wait_until(lambda: float(_scale(page)) > 2)
    before = labeler.spot(0, 0)
    page.mouse.down(button="right")
    for dx, dy in ((-60, -45), (80, 40), (35, -90)):
        page.mouse.move(x + dx, y + dy, steps=4)
        page.evaluate(_FRAMES)
    labeler.wait_until(
        lambda: labeler.spot(0, 0) == pytest.approx((before[0] + 35, before[1] - 90))
    )
    page.evaluate(_KEEP)
    page.mouse.up(button="right")
    page.evaluate(_FRAMES)
    assert page.evaluate(_OTHER) < 0.001, "but for the last bits of what lies between two pixels"


_KEEP = """() => {
  const canvas = document.querySelector("#canvas");
  const { width, height } = canvas;
  window.kept = canvas.getContext("2d").getImageData(0, 0, width, height).data;
}"""
# The share of values that are clearly other than those that were kept.
_OTHER = """() => {
  const canvas = document.querySelector("#canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, at) => Math.abs(value - window.kept[at]) > 8).length / data.length;
}"""
_FRAMES = """async () => {
  for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
}"""


@pytest.mark.long
def test_hidden_figures_have_no_menu(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    _save_one(labeler, served, target)
    labeler.press("Control+h")
    page.mouse.click(*labeler.spot(*target.inside), button="right")
    expect(page.get_by_role("menu", name="Class of the next figure")).to_be_visible()
    labeler.press("Escape")
    labeler.press("Control+h")
    page.mouse.click(*labeler.spot(*target.inside), button="right")
    expect(page.get_by_role("menuitem", name="Delete")).to_be_visible()


def _save_one(labeler: Labeler, served: Demo, target: Target) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(1)
