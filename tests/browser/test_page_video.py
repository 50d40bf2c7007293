"""Work on a film: two objects, a loss, a correction; jumps, deletions, the zoom of the timeline."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from labeler import Labeler
from playwright.sync_api import Locator, Page, expect
from servers import SCREENSHOTS, Demo
from targets import largest_of
from tracks import expect_bars, run, save_object

from sam2_serving.scenes import Clip

FIRST = 4


def _bar(page: Page, kind: str) -> Locator:
    return page.locator(f".lane .bar.{kind}")


def _track(page: Page, labeler: Labeler, frames: int) -> None:
    page.get_by_label("Frames to track").fill(str(frames))
    page.locator("#canvas").focus()
    labeler.press("t")
    expect(run(page, "finished")).not_to_have_count(0)
    expect(run(page, "running")).to_have_count(0)


def test_two_objects_a_loss_and_a_correction(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], clip: Clip
) -> None:
    """The lost frame is jumped to; what is drawn there is the object that was lost; it goes on."""
    numbers = np.argsort([-np.count_nonzero(mask) for mask in clip.masks[FIRST]])[:2]
    for count, number in enumerate(numbers, start=1):
        target = largest_of(clip.masks[FIRST][number : number + 1])
        labeler.go_to("frame", FIRST)
        labeler.box(*target.box)
        labeler.expect_state("mask")
        labeler.press("Space")
        labeler.expect_figures(count)
    page.locator(".row .name[aria-pressed=true]").click()  # all that are on the frame
    _track(page, labeler, 6)
    expect_bars(page, *2 * ((4, 4, True), (5, 10, False)))
    figures = f"{served.url}/workspace/api/figures"
    for frame in (6, 7):  # as when the tracker finds nothing there
        first, _ = served.get(f"videos/{film['id']}/frames/{frame}/figures")
        served.client.delete(f"{figures}/{first['id']}").raise_for_status()
    labeler.go_to("frame", 2)
    page.reload()
    expect(_bar(page, "lost")).to_have_attribute("data-from", "6")
    labeler.expect_picture()
    labeler.press("Shift+L")
    expect(page.locator("#where")).to_contain_text("frame 6 ")
    expect(page.locator("#toolbar")).to_contain_text(f"For object {first['objectId']}")
    labeler.expect_figures(1)
    page.screenshot(path=SCREENSHOTS / "timeline-lost.png")
    labeler.box(*largest_of(clip.masks[6][numbers[0] : numbers[0] + 1]).box)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(2)
    expect(_bar(page, "lost")).to_have_count(0)
    labeler.press("j")
    expect(page.locator("#where")).to_contain_text("frame 4 ")
    labeler.expect_picture()
    labeler.press("l")
    expect(page.locator("#where")).to_contain_text("frame 6 ")
    labeler.expect_figures(2)
    _track(page, labeler, 3)
    drawn = [(4, 4, True), (5, 5, False), (6, 6, True), (7, 10, False)]
    expect_bars(page, *drawn, (4, 4, True), (5, 10, False))


def test_the_timeline_is_zoomed(
    page: Page, labeler: Labeler, film: dict[str, Any], clip: Clip
) -> None:
    """What is shown of it follows the open frame; a press on it leads to the frame under it."""
    save_object(labeler, largest_of(clip.masks[FIRST]), FIRST)
    closer = page.get_by_role("button", name="Show fewer frames")
    closer.click()
    shown = page.get_by_label("Frames that the timeline shows")
    expect(shown).to_have_text("frames 2 – 16")
    slider = page.get_by_role("slider", name="Frame", exact=True)
    expect(slider).to_have_attribute("max", "16")
    lane = page.locator(".lane").bounding_box()
    assert lane is not None
    bar = _bar(page, "human").bounding_box()
    assert bar is not None
    assert bar["x"] == pytest.approx(lane["x"] + 2 / 15 * lane["width"], abs=1.5)
    page.mouse.click(lane["x"] + (10 - 2 + 0.5) * lane["width"] / 15, lane["y"] + 12)
    expect(page.locator("#where")).to_contain_text("frame 10 ")
    labeler.go_to("frame", 25)
    expect(shown).to_have_text("frames 15 – 29")
    page.screenshot(path=SCREENSHOTS / "timeline-zoomed.png")
    page.get_by_role("button", name="Show all frames").click()
    expect(slider).to_have_attribute("max", "29")


@pytest.mark.long
def test_an_object_is_deleted_from_here_on(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], clip: Clip
) -> None:
    save_object(labeler, largest_of(clip.masks[FIRST]), FIRST)
    _track(page, labeler, 8)
    expect_bars(page, (4, 4, True), (5, 12, False))
    labeler.go_to("frame", 9)
    labeler.expect_figures(1)
    more = page.get_by_role("button", name=re.compile("More of object"))
    more.click()
    page.get_by_role("menuitem", name="Delete from this frame on").click()
    expect_bars(page, (4, 4, True), (5, 8, False))
    labeler.expect_figures(0)
    labeler.press("Control+z")
    expect_bars(page, (4, 4, True), (5, 12, False))
    labeler.expect_figures(1)
    more.click()
    page.get_by_role("menuitem", name="Delete on this frame").click()
    expect_bars(page, (4, 4, True), (5, 8, False), (10, 12, False), (9, 9, False))
    expect(_bar(page, "lost")).to_have_count(1)
    more.click()
    expect(page.get_by_role("menuitem", name="Delete on this frame")).to_be_disabled()
    page.get_by_role("menuitem", name="Delete on all frames").click()
    expect(page.locator(".lane")).to_have_count(0)
    labeler.press("Control+z")
    expect(page.locator(".lane")).to_have_count(1)
