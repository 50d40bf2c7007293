"""Apply model: everything in a picture or a region of it, saved, coloured, classed, undone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from labeler import Labeler, sent
from playwright.sync_api import Locator, Page, Response, Route, expect
from servers import SCREENSHOTS, Demo
from targets import Target

APPLY = "**/inference_image_id"
CHANGES = "**/workspace/api/changes"
DEFAULTS = {
    "Points a side": "32",
    "Least predicted IoU": "0.8",
    "Least stability": "0.95",
    "Least area, px": "100",
}


@pytest.fixture
def panel(served: Demo, page: Page, labeler: Labeler) -> Locator:
    """The panel of Apply model over the first image, with a coarse grid: it is quick."""
    labeler.open(served.url)
    labeler.press("a")
    shown = page.get_by_role("region", name="Apply model")
    shown.get_by_label("Points a side").fill("12")
    shown.get_by_label("Least predicted IoU").fill("0.7")
    shown.get_by_label("Least stability").fill("0.8")
    shown.get_by_label("Least area, px").fill("0")
    return shown


def _figures(demo: Demo) -> list[dict[str, Any]]:
    return list(demo.get(f"images/{demo.media('images')['id']}/figures"))


def _apply(page: Page, panel: Locator, button: str = "Apply to the picture") -> Response:
    with page.expect_response(APPLY) as answered:
        panel.get_by_role("button", name=button).click()
    return answered.value


def _bitmaps(objects: list[dict[str, Any]]) -> list[tuple[Any, str]]:
    return sorted((tuple(one["bitmap"]["origin"]), one["bitmap"]["data"]) for one in objects)


def test_everything_is_found_undone_and_redone_in_one_step(
    served: Demo, page: Page, labeler: Labeler, panel: Locator
) -> None:
    response = _apply(page, panel)
    answer = response.json()
    found = answer["annotation"]["objects"]
    assert len(found) >= 3
    labeler.expect_figures(len(found))
    state = sent(response.request)["state"]
    assert state == {
        "image_id": served.media("images")["id"],
        "settings": {
            "mode": "raw",
            "points_per_side": 12,
            "pred_iou_thresh": 0.7,
            "stability_score_thresh": 0.8,
            "min_mask_region_area": 0,
        },
    }
    saved = _figures(served)
    assert _bitmaps([one["geometry"] for one in saved]) == _bitmaps(found)
    assert all(one["nnCreated"] and one["nnUpdated"] for one in saved)
    # Each has a colour of its own.
    swatches = page.locator("li.figure .swatch")
    colours = swatches.evaluate_all("all => all.map((one) => one.style.background)")
    assert len(set(colours)) == len(found)
    page.mouse.move(640, 700)
    page.screenshot(path=SCREENSHOTS / "apply.png")
    labeler.press("Shift+H")
    assert len(set(swatches.evaluate_all("all => all.map((one) => one.style.background)"))) == 1

    labeler.press("Control+z")
    labeler.expect_figures(0)
    assert _figures(served) == []
    labeler.press("Control+y")
    labeler.expect_figures(len(found))
    assert _figures(served) == saved
    page.reload()
    labeler.expect_figures(len(found))


def test_a_region_is_searched_alone(
    served: Demo, page: Page, labeler: Labeler, panel: Locator, target: Target
) -> None:
    x0, y0, x1, y1 = target.box
    labeler.drag((x1 + 8, y1 + 8), (x0 - 8, y0 - 8))
    expect(panel).to_contain_text(f"Region: {x1 - x0 + 17} × {y1 - y0 + 17} px")
    panel.get_by_label("Least area, px").fill("100")
    response = _apply(page, panel, "Apply to the region")
    state = sent(response.request)["state"]
    exterior = [[x0 - 8, y0 - 8], [x1 + 8, y1 + 8]]
    assert state["rectangle"] == {"points": {"exterior": exterior, "interior": []}}
    assert state["settings"]["min_mask_region_area"] == 100
    found = response.json()["found"]
    large = [one for one in found if one["area"] >= 100]
    labeler.expect_figures(len(large))
    page.screenshot(path=SCREENSHOTS / "apply-region.png")
    for figure in _figures(served):
        assert int(figure["area"]) >= 100
        top, left, bottom, right = figure["geometryMeta"]["bbox"]
        assert x0 - 8 <= left <= right <= x1 + 8
        assert y0 - 8 <= top <= bottom <= y1 + 8
    page.get_by_role("button", name="Whole picture", exact=True).click()
    expect(panel.get_by_role("button", name="Apply to the picture")).to_be_enabled()


def test_nothing_found_a_refusal_and_a_lost_model_are_said(
    served: Demo, page: Page, labeler: Labeler, panel: Locator
) -> None:
    notice = page.locator("#notice")
    panel.get_by_label("Least predicted IoU").fill("1")
    _apply(page, panel)
    expect(notice).to_contain_text("Nothing was found in scene-1.png")
    expect(notice).to_contain_text('Lower "Least stability" (0.8) or "Least predicted IoU" (1)')
    page.screenshot(path=SCREENSHOTS / "apply-nothing.png")
    # Other advice where it is the area that leaves everything out.
    panel.get_by_label("Least predicted IoU").fill("0.7")
    panel.get_by_label("Least area, px").fill("1000000")
    _apply(page, panel)
    expect(notice).to_contain_text('"Least area" is 1000000 px')
    # What makes no sense is not sent at all.
    panel.get_by_label("Least predicted IoU").fill("2")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    panel.get_by_role("button", name="Apply to the picture").click()
    page.wait_for_timeout(200)
    assert not [url for url in asked if "inference" in url]
    panel.get_by_role("button", name="Defaults").click()
    for label, value in DEFAULTS.items():
        expect(panel.get_by_label(label)).to_have_value(value)
    panel.get_by_label("Points a side").fill("12")
    served.stop_model()
    panel.get_by_role("button", name="Apply to the picture").click()
    expect(notice).to_contain_text("No model is served")
    expect(notice.locator("code")).to_contain_text("request ")
    assert _figures(served) == []
    served.serve_nano()
    with page.expect_response(APPLY):
        notice.get_by_role("button", name="Try again").click()
    # The defaults find something, with nano too.
    expect(page.locator("li.figure")).not_to_have_count(0)
    expect(notice).to_be_hidden()


@pytest.mark.long
def test_a_request_is_cancelled(served: Demo, page: Page, labeler: Labeler, panel: Locator) -> None:
    page.route(APPLY, lambda route: None)  # never answered
    panel.get_by_role("button", name="Apply to the picture").click()
    job = page.locator("#job")
    expect(job).to_contain_text("Applying the model to scene-1.png…")
    expect(panel.get_by_role("button", name="Apply to the picture")).to_be_disabled()
    expect(job).to_contain_text(re.compile(r"…[1-9]\d* s"))
    page.screenshot(path=SCREENSHOTS / "apply-runs.png")
    with page.expect_event("requestfailed"):
        job.get_by_role("button", name="Cancel").click()
    expect(job).to_be_hidden()
    expect(page.locator("#notice")).to_be_hidden()
    labeler.expect_figures(0)
    page.unroute_all()
    _apply(page, panel)
    expect(page.locator("li.figure").first).to_be_visible()


@pytest.mark.long
@pytest.mark.parametrize("lost", [False, True], ids=["saved", "lost"])
def test_undo_while_it_is_saved(
    served: Demo, page: Page, labeler: Labeler, panel: Locator, lost: bool
) -> None:
    page.locator("#canvas").focus()
    labeler.press("b")
    labeler.box(20, 20, 90, 90)
    labeler.expect_figures(1)
    held: list[Route] = []
    page.route(CHANGES, lambda route: held.append(route))
    labeler.press("a")
    panel.get_by_role("button", name="Apply to the picture").click()
    job = page.locator("#job")
    expect(job).to_contain_text("Saving…")
    # What is found already is undone, not cancelled.
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
    labeler.wait_until(lambda: held)
    page.locator("#canvas").focus()
    labeler.press("Control+z")
    held[0].abort() if lost else held[0].continue_()
    expect(job).to_be_hidden()
    # That alone is taken back, and not the box before it.
    labeler.expect_figures(1)
    expect(page.locator("#unsaved")).to_be_hidden()
    expect(page.locator("#canvas")).to_have_attribute("data-unsaved", "0")
    assert [one["geometryType"] for one in _figures(served)] == ["rectangle"]
    labeler.press("Control+y")
    page.unroute_all()
    if not lost:
        expect(page.locator("li.figure")).not_to_have_count(1)


@pytest.mark.long
@pytest.mark.parametrize("stored", [False, True], ids=["lost before", "lost after it was stored"])
def test_what_could_not_be_saved_is_kept_and_saved_once(
    served: Demo, page: Page, labeler: Labeler, panel: Locator, stored: bool
) -> None:
    def lose(route: Route) -> None:
        if stored:
            route.fetch()
        route.abort()

    page.route(CHANGES, lose, times=2)
    found = _apply(page, panel).json()["found"]
    strip = page.locator("#unsaved")
    expect(strip).to_contain_text(f"{len(found)} figures are not saved yet: The workspace does")
    expect(page.locator("#canvas")).to_have_attribute("data-unsaved", str(len(found)))
    page.screenshot(path=SCREENSHOTS / "apply-unsaved.png")
    # Another picture, and back: it is still there.
    labeler.choose("scene-2.png")
    expect(strip).to_be_hidden()
    labeler.choose("scene-1.png")
    again = strip.get_by_role("button", name="Save again")
    with page.expect_event("requestfailed"):
        again.click()
    expect(strip).to_be_visible()
    again.click()
    expect(strip).to_be_hidden()
    labeler.expect_figures(len(found))
    assert len(_figures(served)) == len(found)
    labeler.press("Control+z")
    labeler.expect_figures(0)


@pytest.mark.long
def test_the_menu_of_a_figure(served: Demo, page: Page, labeler: Labeler, target: Target) -> None:
    labeler.open(served.url)
    name = f"kind {len(served.get('classes'))}"
    page.get_by_label("Name of the new class").fill(name)
    page.get_by_role("button", name="Add the class").click()
    page.get_by_role("radio", name="object").check()
    labeler.box(*target.box)
    labeler.expect_state("mask")
    page.locator("#canvas").focus()
    labeler.press("Space")
    labeler.expect_figures(1)
    menu = page.get_by_role("menu")

    # A drag of the right button pans, and opens nothing.
    before = labeler.spot(*target.inside)
    x, y = target.inside
    labeler.drag(target.inside, (x + 40, y - 30), button="right")
    after = labeler.spot(*target.inside)
    assert after != before
    expect(menu).to_be_hidden()
    # A click does not pan, and opens the menu where something is.
    page.mouse.click(*labeler.spot(2, 2), button="right")
    expect(menu).to_be_hidden()
    page.mouse.click(*labeler.spot(*target.inside), button="right")
    expect(menu).to_be_visible()
    assert labeler.spot(*target.inside) == after
    expect(menu.get_by_role("menuitemradio", name="object")).to_be_focused()
    page.screenshot(path=SCREENSHOTS / "figure-menu.png")
    labeler.press("Escape")
    expect(menu).to_be_hidden()
    expect(page.locator("#canvas")).to_be_focused()
    page.mouse.click(*labeler.spot(*target.inside), button="right")
    page.evaluate("dispatchEvent(new Event('blur'))")  # another window is in front now
    expect(menu).to_be_hidden()
    # Editing goes on with clicks, whatever the tool was.
    labeler.press("b")
    page.mouse.click(*labeler.spot(*target.inside), button="right")
    menu.get_by_role("menuitem", name="Edit with the Smart Tool").click()
    labeler.expect_state("edit")
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    labeler.press("Escape")
    labeler.expect_state("idle")
    page.mouse.click(*labeler.spot(*target.inside), button="right")
    menu.get_by_role("menuitemradio", name=name).click()
    figure = page.locator("li.figure")
    expect(figure).to_contain_text(name)
    labeler.press("Control+z")
    expect(figure).to_contain_text("object")
    labeler.press("Control+y")
    expect(figure).to_contain_text(name)

    # From the list, with the keyboard alone.
    page.get_by_role("button", name=re.compile("More for")).focus()
    labeler.press("Enter")
    expect(menu).to_be_visible()
    labeler.press("ArrowUp")
    expect(menu.get_by_role("menuitem", name="Delete")).to_be_focused()
    labeler.press("Enter")
    labeler.expect_figures(0)
    page.locator(".undo").get_by_role("button", name="Undo").click()
    labeler.expect_figures(1)
    (saved,) = _figures(served)
    assert saved["classId"] == served.get("classes")[-1]["id"]
