"""The page for people who use the keyboard, or need what they read to be told or seen clearly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeler import Labeler, pairs, sent
from playwright.sync_api import Browser, Page, expect
from servers import SCREENSHOTS, Demo
from targets import Target

from sam2_serving.masks.bitmap import decode_bitmap

AXE = (Path(__file__).parent / "axe-core" / "axe.min.js").read_text()
SEVERE = ("serious", "critical")
STEP = 10
"""Pixels of the window that the cross moves by."""
STANDING_STILL = "document.getAnimations().forEach((one) => one.finish())"
"""What moves or fades in has colours of its own meanwhile."""


def _violations(page: Page) -> list[str]:
    page.evaluate(STANDING_STILL)
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [
        f"{one['id']}: {node['html']}"
        for one in found
        if one["impact"] in SEVERE
        for node in one["nodes"]
    ]


def _look_at_every_view(page: Page, labeler: Labeler, target: Target) -> None:
    def check(view: str) -> None:
        assert _violations(page) == [], view

    labeler.box(*target.box)
    labeler.expect_state("mask")
    check("an object in the making")
    labeler.press("Space")
    labeler.expect_figures(1)
    check("a saved figure")
    page.get_by_role("button", name="More for ").click()
    check("the menu of a figure")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Habits and opacity").click()
    check("habits")
    page.keyboard.press("Escape")
    labeler.press("a")
    expect(page.locator("#apply")).to_be_visible()
    check("apply model")
    labeler.press("s")
    for opener, name in (
        ("#open-help", "Keys"),
        ("#open-import", "Import"),
        ("#open-export", "Export"),
        ("#open-batch", "Batched Smart Tool"),
        ("#model-status", "Serve a model"),
    ):
        page.locator(opener).click()
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        if opener == "#open-batch":
            expect(page.locator(".cell")).to_have_count(1)
        check(name)
        page.get_by_role("dialog", name=name).get_by_role("button", name="Close").first.click()
    for medium in ("clip.avi", "blobs.nrrd", "photo.png"):
        labeler.choose(medium)
        check(medium)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_axe_finds_nothing_severe(
    browser: Browser, served: Demo, target: Target, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": 1280, "height": 720},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    labeler = Labeler(page)
    labeler.open(served.url)
    expect(page.locator("#model-status")).to_have_attribute("data-state", "ready")
    _look_at_every_view(page, labeler, target)
    context.close()


def _go(page: Page, to: tuple[int, int]) -> None:
    """Move the cross to a pixel by keys."""
    canvas = page.locator("#canvas")
    step = max(1, round(STEP / float(canvas.get_attribute("data-scale") or "nan")))
    cross = [int(one) for one in (canvas.get_attribute("data-cross") or "").split()]
    for axis, (back, on) in enumerate((("ArrowLeft", "ArrowRight"), ("ArrowUp", "ArrowDown"))):
        way = to[axis] - cross[axis]
        coarse, fine = divmod(abs(way), step)
        key = on if way > 0 else back
        for _ in range(coarse):
            page.keyboard.press(key)
        for _ in range(fine):
            page.keyboard.press(f"Shift+{key}")


def test_an_object_is_labeled_by_keys_alone(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    expect(page.locator("#model-status")).to_have_attribute("data-state", "ready")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the picture")).to_be_focused()
    page.keyboard.press("Enter")
    canvas = page.locator("#canvas")
    expect(canvas).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_contain_text("Arrows: move")

    x0, y0, x1, y1 = target.box
    _go(page, (x0, y0))
    page.keyboard.press("d")
    _go(page, (x1, y1))
    with page.expect_request("**/smart_segmentation") as boxed:
        page.keyboard.press("d")
    labeler.expect_state("mask")
    assert sent(boxed.value)["context"]["crop"] == pairs((x0, y0), (x1, y1))
    _go(page, target.inside)
    page.keyboard.press("Enter")
    labeler.expect_state("mask")
    _go(page, target.outside)
    page.screenshot(path=SCREENSHOTS / "by-keys.png")
    with page.expect_request("**/smart_segmentation") as clicked:
        page.keyboard.press("Shift+Enter")
    labeler.expect_state("mask")
    context = sent(clicked.value)["context"]
    assert (context["positive"], context["negative"]) == (
        pairs(target.inside),
        pairs(target.outside),
    )
    page.keyboard.press("Space")
    labeler.expect_figures(1)
    image = served.media("images")
    (figure,) = served.get(f"images/{image['id']}/figures")
    bitmap = figure["geometry"]["bitmap"]
    part = decode_bitmap(bitmap["data"])
    whole = np.zeros_like(target.mask)
    left, top = bitmap["origin"]
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    assert (whole & target.mask).sum() / (whole | target.mask).sum() > 0.8
    page.keyboard.press("Escape")
    expect(page.locator("#hint")).to_contain_text("Drag a box")


@pytest.mark.long
def test_the_cross_removes_a_click_opens_the_menu_and_gives_a_drag_up(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    page.locator("#canvas").focus()
    page.keyboard.press("Enter")
    _go(page, target.inside)
    page.keyboard.press("d")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    labeler.expect_state("idle")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    labeler.expect_state("mask")
    page.keyboard.press("Alt+Enter")
    labeler.expect_state("idle")
    page.keyboard.press("Enter")
    labeler.expect_state("mask")
    page.keyboard.press("Space")
    labeler.expect_figures(1)
    page.keyboard.press("Shift+F10")
    menu = page.get_by_role("menu", name="Figure #")
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(page.locator("#canvas")).to_be_focused()
    # In a film the arrows are the cross's, and the comma and the full stop go through the frames.
    labeler.choose("clip.avi")
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press(".")
    expect(page.locator("#where")).to_contain_text("frame 1 ")


REACHED = """async () => {
  const named = (node) => node.id || node.getAttribute('aria-label') || node.textContent.trim();
  const node = document.activeElement;
  const look = getComputedStyle(node.matches('.planes input') ? node.nextElementSibling : node);
  const seen = look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) > 0;
  return [named(node), seen];
}"""
CONTROLS = """() => {
  const all = document.querySelectorAll('button, input, select, a[href], canvas[tabindex]');
  return [...all]
    .filter((one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0)
    .filter((one) => one.type !== 'radio' || one.checked)
    .map((node) => node.id || node.getAttribute('aria-label') || node.textContent.trim());
}"""


@pytest.mark.long
@pytest.mark.parametrize("medium", ["scene-1.png", "clip.avi", "blobs.nrrd"])
def test_tab_reaches_every_control_and_shows_it(
    served: Demo, page: Page, labeler: Labeler, target: Target, medium: str
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(1)
    if medium != "scene-1.png":
        labeler.choose(medium)
    wanted: list[str] = page.evaluate(CONTROLS)
    page.locator("#skip").focus()
    reached: list[Any] = [page.evaluate(REACHED)]
    for _ in range(len(wanted) + 20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(REACHED))
    assert set(wanted) <= {name for name, _ in reached}
    assert [name for name, seen in reached[1 : len(wanted)] if not seen] == []


@pytest.mark.long
def test_the_media_are_one_stop_and_the_arrows_go_through_them(
    served: Demo, page: Page, labeler: Labeler
) -> None:
    """With hundreds of them, Tab would never come to the picture."""
    labeler.open(served.url)
    page.locator("#media .thumb[aria-current=true]").focus()
    page.keyboard.press("ArrowDown")
    second = page.get_by_role("button", name="scene-2.png")
    expect(second).to_be_focused()
    expect(page.locator("#where")).to_contain_text("scene-1.png")
    page.keyboard.press("Enter")
    expect(page.locator("#where")).to_contain_text("scene-2.png")
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    expect(page.locator("#media :focus")).to_have_count(0)
    page.keyboard.press("PageUp")
    expect(page.locator("#where")).to_contain_text("scene-1.png")
