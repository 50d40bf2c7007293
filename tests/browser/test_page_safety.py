"""Nothing that a person did is lost: not by a reload, another tab, or a server that is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from labeler import Labeler, pairs, sent
from playwright.sync_api import Page, expect
from servers import SCREENSHOTS, Demo, app_process, free_port, workspace_process
from targets import Target

VIEW = ("data-scale", "data-x", "data-y")
FOLLOWED_MS = 20_000
"""A page asks every few seconds what others did."""


def _view(page: Page) -> list[float]:
    canvas = page.locator("#canvas")
    return [float(canvas.get_attribute(name) or "nan") for name in VIEW]


def _figures(demo: Demo) -> list[dict[str, Any]]:
    figures: list[dict[str, Any]] = demo.get(f"images/{demo.media('images')['id']}/figures")
    return figures


def _label(labeler: Labeler, target: Target, count: int = 1) -> None:
    labeler.box(*target.box)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(count)


def test_a_reload_comes_back_to_the_same_place(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """The place, how it is looked at, what is begun and what can be undone."""
    labeler.open(served.url)
    _label(labeler, target)
    labeler.choose("scene-2.png")
    scale = page.locator("#canvas").get_attribute("data-scale") or ""
    page.mouse.move(*labeler.spot(*target.inside))
    page.mouse.wheel(0, -80)
    expect(page.locator("#canvas")).not_to_have_attribute("data-scale", scale)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    before = _view(page)
    with page.expect_request("**/smart_segmentation") as again:
        page.reload()
    labeler.expect_state("mask")
    expect(page.locator("#where")).to_contain_text("scene-2.png")
    assert _view(page) == pytest.approx(before)
    context = sent(again.value)["context"]
    assert context["crop"] == pairs(target.box[:2], target.box[2:])
    assert context["positive"] == pairs(target.inside)
    with page.expect_request("**/smart_segmentation") as undone:
        labeler.press("Control+z")
    assert sent(undone.value)["context"]["positive"] == []
    labeler.expect_state("mask")
    labeler.choose("scene-1.png")
    labeler.expect_figures(1)
    labeler.press("Control+z")
    labeler.expect_figures(0)
    page.reload()
    labeler.expect_picture()
    labeler.press("Control+y")
    labeler.expect_figures(1)


@pytest.mark.long
def test_an_edit_goes_on_after_a_reload(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    _label(labeler, target)
    labeler.press("b")
    page.get_by_role("button", name="Edit ").click()
    with page.expect_request("**/smart_segmentation"):
        labeler.click(*target.inside)
    labeler.expect_state("mask")
    with page.expect_request("**/smart_segmentation") as again:
        page.reload()
    labeler.expect_state("mask")
    context = sent(again.value)["context"]
    assert (context["init_figure"], context["figure_id"]) == (True, _figures(served)[0]["id"])
    assert context["positive"] == pairs(target.inside)
    labeler.press("Space")
    labeler.expect_state("idle")
    labeler.expect_figures(1)
    assert _figures(served)[0]["meta"]["smartToolInput"]["positive"] == [list(target.inside)]


@pytest.mark.long
def test_a_closed_tab_is_taken_up_by_the_next_one(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """But not what a tab that is open has begun."""
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    other = Labeler(page.context.new_page())
    other.open(served.url)  # waits for "idle"
    other.page.close()
    page.wait_for_timeout(300)  # what is begun is written down
    page.close()
    third = Labeler(other.page.context.new_page())
    third.page.goto(served.url)
    third.expect_state("mask")
    third.press("Space")
    third.expect_figures(1)


def test_two_tabs_show_what_the_other_does(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    _label(labeler, target)
    other = Labeler(page.context.new_page())
    other.open(served.url)
    other.expect_figures(1)
    other.page.get_by_role("button", name="Delete object").click()
    other.expect_figures(0)
    labeler.expect_figures(0)


@pytest.mark.long
def test_a_class_of_another_tab_comes_and_goes(served: Demo, page: Page, labeler: Labeler) -> None:
    labeler.open(served.url)
    other = Labeler(page.context.new_page())
    other.open(served.url)
    other.page.get_by_label("Name of the new class").fill("of the other tab")
    other.page.get_by_role("button", name="Add the class").click()
    radio = page.get_by_role("radio", name="of the other tab")
    expect(radio).to_be_visible(timeout=FOLLOWED_MS)
    other.press("Control+z")
    expect(radio).to_have_count(0)


@pytest.mark.long
def test_an_edit_of_what_another_tab_changed_is_refused_in_words(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """Once; who saves again means it."""
    labeler.open(served.url)
    _label(labeler, target)
    other = Labeler(page.context.new_page())
    other.open(served.url)
    for one in (labeler, other):
        one.page.get_by_role("button", name="Edit ").click()
        one.click(*target.inside)
        one.expect_state("mask")
    other.press("Space")
    other.expect_state("idle")
    theirs = _figures(served)[0]
    labeler.click(*target.outside, "Shift")
    labeler.expect_state("mask")
    labeler.press("Space")
    expect(page.locator("#notice")).to_contain_text("somebody else changed this figure meanwhile")
    assert _figures(served) == [theirs]
    labeler.press("Space")
    labeler.expect_state("idle")
    ours = _figures(served)[0]
    assert ours["meta"]["smartToolInput"]["negative"] == [list(target.outside)]


@pytest.mark.long
def test_a_workspace_that_is_away_is_said_and_what_waits_is_saved_when_it_is_back(
    page: Page, labeler: Labeler, media: Path, tmp_path: Path
) -> None:
    nowhere, port = f"http://127.0.0.1:{free_port()}", free_port()
    with workspace_process(tmp_path, media, nowhere, port) as url:
        labeler.open(url)
    lost = page.locator("#lost")
    expect(lost).to_contain_text("The workspace does not answer")
    labeler.press("b")
    labeler.box(20, 20, 80, 80)
    expect(page.locator("#unsaved")).to_contain_text("1 figure is not saved yet")
    page.screenshot(path=SCREENSHOTS / "lost.png")
    with workspace_process(tmp_path, media, nowhere, port):
        expect(lost).to_be_hidden()
        expect(page.locator("#unsaved")).to_be_hidden()
        labeler.expect_figures(1)


@pytest.mark.long
def test_the_app_is_started_again_in_mid_work(
    page: Page, labeler: Labeler, media: Path, tmp_path: Path, target: Target
) -> None:
    port, app_port = free_port(), free_port()
    app_url = f"http://127.0.0.1:{app_port}"
    with workspace_process(tmp_path, media, app_url, port) as url:
        with app_process(tmp_path, url, app_port):
            Demo(url).serve_nano()
            labeler.open(url)
            labeler.box(*target.box)
            labeler.expect_state("mask")
        labeler.click(*target.inside)
        labeler.expect_state("error")
        expect(page.locator("#notice")).to_contain_text("The app does not answer")
        expect(page.locator("#empty")).to_contain_text("it goes on by itself")
        page.screenshot(path=SCREENSHOTS / "app-away.png")
        page.reload()
        labeler.expect_state("error")
        with app_process(tmp_path, url, app_port):
            page.get_by_role("button", name="Serve Nano (demo) again").click()
            with page.expect_request("**/smart_segmentation") as again:
                labeler.expect_state("mask")
            assert sent(again.value)["context"]["positive"] == pairs(target.inside)
            labeler.press("Space")
            labeler.expect_figures(1)
