"""A person's work on the page is not lost, whatever they or the servers do meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from labeler import Labeler, pairs, sent
from playwright.sync_api import Dialog, Page, Route, expect
from servers import Demo, free_port, workspace_process
from targets import Target

VIEW = ("data-scale", "data-x", "data-y")
THREE_FRAMES = """() => new Promise((done) => {
  const next = (left) => (left ? requestAnimationFrame(() => next(left - 1)) : done());
  next(3);
})"""
"""Until what changed has been laid out and drawn."""
FIGURES = "**/workspace/api/images/*/figures"


def _hold_saving(page: Page) -> list[Route]:
    """Keep the next requests that save a figure; they go on by `continue_()`."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    page.route(FIGURES, hold)
    return held


def _failing(page: Page) -> set[str]:
    """Let requests to the figures fail while their method is in the set.

    The route stays on, whatever the set holds: one that is added right after another was taken off
    may let the next request through.
    """
    methods: set[str] = set()
    page.route(
        FIGURES,
        lambda route: route.abort() if route.request.method in methods else route.continue_(),
    )
    return methods


def _press_and_hold(page: Page, labeler: Labeler, held: list[Route]) -> Route:
    with page.expect_request(
        lambda request: request.method == "POST" and "/figures" in request.url
    ):
        labeler.press("Space")
    labeler.wait_until(lambda: held)
    return held[0]


def test_work_waits_on_its_picture(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    labeler.choose("scene-2.png")
    labeler.expect_state("idle")
    with page.expect_request("**/smart_segmentation") as again:
        labeler.choose("scene-1.png")
    labeler.expect_state("mask")
    x0, y0, x1, y1 = target.box
    context = sent(again.value)["context"]
    assert context["crop"] == pairs((x0, y0), (x1, y1))
    assert context["positive"] == pairs(target.inside)
    labeler.press("Control+z")
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(1)
    labeler.choose("scene-2.png")
    labeler.choose("scene-1.png")
    labeler.expect_state("idle")


@pytest.mark.long
@pytest.mark.parametrize("remembers", [True, False])
def test_leaving_with_unsaved_work_asks_only_where_it_would_be_lost(
    served: Demo, page: Page, labeler: Labeler, target: Target, remembers: bool
) -> None:
    """Most browsers keep what is begun; some are told to keep nothing."""
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    if not remembers:
        page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); };")
    page.on("dialog", answer)
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    labeler.choose("scene-2.png")
    page.reload()
    labeler.expect_picture()
    assert asked == ([] if remembers else ["beforeunload"])
    labeler.choose("scene-1.png")
    if not remembers:
        labeler.expect_state("idle")
        labeler.box(*target.box)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(1)
    page.reload()
    labeler.expect_figures(1)
    assert asked == ([] if remembers else ["beforeunload"])


@pytest.mark.long
def test_what_was_dropped_comes_back(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    for drop in (
        lambda: labeler.press("Escape"),
        lambda: page.get_by_role("button", name="Drop the object").click(),
    ):
        drop()
        labeler.expect_state("idle")
        with page.expect_request("**/smart_segmentation") as back:
            labeler.press("Control+z")
        labeler.expect_state("mask")
        assert sent(back.value)["context"]["positive"] == pairs(target.inside)
    labeler.press("Space")
    labeler.expect_figures(1)
    labeler.press("Control+z")
    labeler.expect_figures(0)
    labeler.press("Control+y")
    labeler.expect_figures(1)


def test_a_click_during_a_save_stays(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    held = _hold_saving(page)
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    saving = _press_and_hold(page, labeler, held)
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    saving.continue_()
    labeler.expect_figures(1)
    labeler.expect_state("mask")
    with page.expect_request("**/smart_segmentation") as more:
        labeler.click(*target.outside, "Shift")
    assert sent(more.value)["context"]["positive"] == pairs(target.inside)


@pytest.mark.long
def test_work_on_another_picture_during_a_save_stays(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    held = _hold_saving(page)
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    saving = _press_and_hold(page, labeler, held)
    labeler.choose("scene-2.png")
    labeler.box(*target.box)
    labeler.expect_state("mask")
    with page.expect_response(FIGURES):
        saving.continue_()
    page.wait_for_timeout(200)
    labeler.expect_state("mask")
    labeler.choose("scene-1.png")
    labeler.expect_figures(1)
    labeler.expect_state("idle")


def test_what_is_saved_is_not_called_unsaved(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    failing = _failing(page)
    failing.add("GET")
    labeler.press("Space")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Saved, but the list is not up to date")
    labeler.expect_state("idle")
    failing.clear()
    page.reload()
    labeler.expect_figures(1)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    failing.add("POST")
    labeler.press("Space")
    expect(notice).to_contain_text("Not saved")
    labeler.expect_state("mask")


@pytest.mark.long
def test_undoing_a_deletion_says_what_goes_wrong(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.press("Space")
    labeler.expect_figures(1)
    page.get_by_role("button", name="Delete ").click()
    labeler.expect_figures(0)
    undo = page.locator(".undo").get_by_role("button", name="Undo")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/changes/*/undo", lambda route: route.abort(), times=1)
    undo.click()
    expect(page.locator(".undo")).to_contain_text("is not back")
    asked.clear()
    undo.dblclick()
    labeler.expect_figures(1)
    assert len([url for url in asked if url.endswith("/undo")]) == 1
    expect(page.locator(".undo")).to_be_hidden()


@pytest.mark.long
def test_space_presses_the_button_in_focus(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    page.get_by_role("button", name="Drop the object").focus()
    labeler.press("Space")
    labeler.expect_state("idle")
    labeler.expect_figures(0)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator("#canvas")).to_be_focused()
    labeler.press("Space")
    labeler.expect_figures(1)


@pytest.mark.long
def test_a_drag_inside_the_box_is_no_click(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    (x, y), (x0, y0, _, _) = target.inside, target.box
    labeler.drag((x, y), ((x + x0) // 2, (y + y0) // 2))
    expect(page.locator("#notice")).to_contain_text("changed by its corners")
    assert not [url for url in asked if "smart_segmentation" in url]
    labeler.expect_state("mask")


@pytest.mark.long
def test_a_resized_window_keeps_the_view(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    canvas = page.locator("#canvas")

    def middle() -> tuple[float, float, float]:
        """The scale, and which pixel is in the middle."""
        page.evaluate(THREE_FRAMES)
        scale, x, y = (float(canvas.get_attribute(name) or "nan") for name in VIEW)
        width, height = canvas.evaluate("node => [node.clientWidth, node.clientHeight]")
        return scale, (width / 2 - x) / scale, (height / 2 - y) / scale

    fitted = middle()
    page.set_viewport_size({"width": 1100, "height": 640})
    assert middle()[0] < fitted[0]
    page.mouse.move(*labeler.spot(*target.inside))
    page.mouse.wheel(0, -600)
    zoomed = middle()
    page.set_viewport_size({"width": 1280, "height": 720})
    assert middle() == pytest.approx(zoomed, abs=0.5)


@pytest.mark.long
def test_the_page_outlives_a_restart(
    page: Page, labeler: Labeler, media: Path, tmp_path: Path
) -> None:
    nowhere, port = f"http://127.0.0.1:{free_port()}", free_port()
    with workspace_process(tmp_path, media, nowhere, port, "session-one") as url:
        labeler.open(url)
    with (
        page.expect_response(lambda answer: "/net/session-two/" in answer.url) as answered,
        workspace_process(tmp_path, media, nowhere, port, "session-two"),
    ):
        labeler.click(10, 10)
        assert answered.value.status == 503
        expect(page.locator("#notice")).to_contain_text("The app does not answer")
