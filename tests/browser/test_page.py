"""The page in a real browser, over the real workspace and the real app with nano on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from labeler import Labeler, pairs, sent
from playwright.sync_api import Browser, Page, Route, expect
from servers import SCREENSHOTS, Demo, free_port, workspace_process
from targets import Target


def test_serve_box_clicks_undo_save_reload(
    demo: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """The main job, end to end."""
    demo.stop_model()
    labeler.open(demo.url)
    page.get_by_role("button", name="Choose a model").click()
    panel = page.get_by_role("dialog", name="Serve a model")
    expect(panel.locator("thead")).to_contain_text("Size (M)")
    panel.get_by_role("radio", name="Nano").check()
    panel.get_by_label("Device").select_option("cpu")
    panel.get_by_role("button", name="Serve").click()
    expect(panel.get_by_text("Ready", exact=True)).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "serve.png")
    panel.get_by_role("button", name="Close").click()

    labeler.box(*target.box)
    labeler.expect_state("mask")
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    with page.expect_response("**/smart_segmentation") as two_clicks:
        labeler.click(*target.outside, "Shift")
    labeler.expect_state("mask")
    page.screenshot(path=SCREENSHOTS / "mask.png")
    with page.expect_response("**/smart_segmentation") as after_undo:
        labeler.press("Control+z")
    answer = after_undo.value.json()
    labeler.expect_state("mask")
    assert len(sent(two_clicks.value.request)["context"]["negative"]) == 1
    assert sent(after_undo.value.request)["context"]["negative"] == []
    labeler.press("Space")
    labeler.expect_state("idle")
    labeler.expect_figures(1)

    page.reload()
    labeler.expect_figures(1)
    page.screenshot(path=SCREENSHOTS / "saved.png")
    _check_saved(demo, target, answer)


def _check_saved(demo: Demo, target: Target, answer: dict[str, Any]) -> None:
    """The figure is what the app answered, and keeps the prompts it was made with."""
    image = demo.get("media")["datasets"][0]["images"][0]
    (figure,) = demo.get(f"images/{image['id']}/figures")
    bitmap = figure["geometry"]["bitmap"]
    assert bitmap["data"] == answer["bitmap"]
    assert bitmap["origin"] == [answer["origin"]["x"], answer["origin"]["y"]]
    x0, y0, x1, y1 = target.box
    assert figure["meta"]["smartToolInput"] == {
        "crop": [[x0, y0], [x1, y1]],
        "positive": [list(target.inside)],
        "negative": [],
        "visible": True,
    }


def test_the_request_is_the_contracts(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    with page.expect_request("**/smart_segmentation") as first:
        labeler.click(*target.inside)
    labeler.expect_state("mask")
    labeler.press("Escape")
    with page.expect_request("**/smart_segmentation") as second:
        labeler.box(*target.box)
    labeler.expect_state("mask")
    point, box = sent(first.value), sent(second.value)
    assert point["state"] == {"settings": {}}
    uid = point["context"].pop("request_uid")
    assert first.value.headers["x-request-id"] == uid
    image_id = served.get("media")["datasets"][0]["images"][0]["id"]
    assert point["context"] == {
        "positive": pairs(target.inside),
        "negative": [],
        "image_id": image_id,
    }
    x0, y0, x1, y1 = target.box
    assert box["context"]["crop"] == pairs((x0, y0), (x1, y1))
    assert box["context"]["positive"] == box["context"]["negative"] == []


@pytest.mark.long
def test_alt_click_removes_a_click(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    with page.expect_request("**/smart_segmentation") as removal:
        labeler.click(*target.inside, "Alt")
    assert sent(removal.value)["context"]["positive"] == []
    labeler.expect_state("mask")


def test_a_corner_changes_the_box(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    x0, y0, x1, y1 = target.box
    labeler.open(served.url)
    labeler.box(x0 + 15, y0 + 15, x1, y1)
    labeler.expect_state("mask")
    with page.expect_request("**/smart_segmentation") as change:
        labeler.drag((x0 + 15, y0 + 15), (x0, y0))
    assert sent(change.value)["context"]["crop"] == pairs((x0, y0), (x1, y1))
    labeler.expect_state("mask")


@pytest.mark.long
def test_escape_and_the_cross_drop(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    for drop in (
        lambda: labeler.press("Escape"),
        lambda: page.get_by_role("button", name="Drop the object").click(),
    ):
        labeler.box(*target.box)
        labeler.expect_state("mask")
        drop()
        labeler.expect_state("idle")
    labeler.press("Space")
    labeler.expect_figures(0)


@pytest.mark.long
def test_a_click_outside_the_box_is_refused_in_words(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    x0, y0, _, _ = target.box
    labeler.click(max(x0 - 12, 0), max(y0 - 12, 0))
    expect(page.locator("#notice")).to_contain_text("Click inside the box")


def test_a_stale_answer_is_ignored(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """The answer to the first request comes last; the mask stays that of the second."""
    # The page would abort the first request; here it arrives in spite of that.
    page.add_init_script("AbortController.prototype.abort = () => {};")
    labeler.open(served.url)
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/smart_segmentation", hold_first)
    labeler.box(*target.box)
    with page.expect_response("**/smart_segmentation") as newest:
        labeler.click(*target.inside)
    labeler.expect_state("mask")
    with page.expect_response("**/smart_segmentation"):
        held[0].fulfill(json={"origin": None, "bitmap": None, "success": True, "error": None})
    labeler.press("Space")
    labeler.expect_figures(1)
    image = served.get("media")["datasets"][0]["images"][0]
    (figure,) = served.get(f"images/{image['id']}/figures")
    assert figure["geometry"]["bitmap"]["data"] == newest.value.json()["bitmap"]


def test_an_error_is_said_in_words_with_its_request(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    served.stop_model()
    with page.expect_request("**/smart_segmentation") as refused:
        labeler.box(*target.box)
    labeler.expect_state("error")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Serve")
    expect(notice).to_contain_text(sent(refused.value)["context"]["request_uid"])
    page.screenshot(path=SCREENSHOTS / "error.png")
    served.serve_nano()
    notice.get_by_role("button", name="Try again").click()
    labeler.expect_state("mask")
    expect(notice).to_be_hidden()


@pytest.mark.long
def test_an_absent_app_is_said(page: Page, labeler: Labeler, media: Path, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with workspace_process(tmp_path, media, nowhere, free_port()) as url:
        labeler.open(url)
        expect(page.locator("#model-status")).to_have_attribute("data-state", "away")
        expect(page.locator("#empty")).to_contain_text("The app does not answer")
        page.screenshot(path=SCREENSHOTS / "absent.png")


def test_classes_and_deleting(served: Demo, page: Page, labeler: Labeler, target: Target) -> None:
    labeler.open(served.url)
    page.get_by_label("Name of the new class").fill("thing")
    page.get_by_role("button", name="Add the class").click()
    expect(page.get_by_role("radio", name="thing")).to_be_checked()
    labeler.box(*target.box)
    labeler.expect_state("mask")
    page.get_by_role("button", name="Save the figure").click()
    labeler.expect_figures(1)
    expect(page.locator("li.figure")).to_contain_text("thing")
    page.get_by_role("button", name="Delete thing").click()
    labeler.expect_figures(0)
    page.get_by_role("button", name="Undo", exact=True).last.click()
    labeler.expect_figures(1)


def test_zoom_and_pan_keep_the_pixels(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    before = labeler.spot(*target.inside)
    page.mouse.move(*before)
    scale = page.locator("#canvas").get_attribute("data-scale") or ""
    page.mouse.wheel(0, -500)
    expect(page.locator("#canvas")).not_to_have_attribute("data-scale", scale)
    assert labeler.spot(*target.inside) == pytest.approx(before, abs=1)
    x, y = target.inside
    labeler.drag((x, y), (x - 20, y - 10), button="right")
    labeler.wait_until(lambda: labeler.spot(*target.inside)[0] < before[0] - 20)
    with page.expect_request("**/smart_segmentation") as clicked:
        labeler.click(*target.inside)
    assert sent(clicked.value)["context"]["positive"] == pairs(target.inside)


def test_images_are_listed_and_opened(served: Demo, page: Page, labeler: Labeler) -> None:
    labeler.open(served.url)
    expect(page.get_by_text("Scenes of the tests.")).to_be_visible()
    labeler.choose("scene-2.png")
    labeler.expect_state("idle")
    page.reload()
    expect(page.locator("#where")).to_contain_text("scene-2.png · 640 × 480")


def test_a_model_that_is_not_meant_for_the_pictures_is_warned_of(
    served: Demo, page: Page, labeler: Labeler, media: Path
) -> None:
    note = media / "scan" / "not-for.txt"
    note.write_text("nano\n")
    try:
        labeler.open(served.url)
        warning = page.locator("#unfit")
        expect(page.get_by_role("button", name="blobs.nrrd")).to_contain_text("not for nano")
        expect(page.get_by_role("button", name="scene-1.png")).not_to_contain_text("not for")
        expect(warning).to_be_hidden()
        labeler.choose("blobs.nrrd")
        expect(warning).to_contain_text("Nano (demo) is not meant for these.")
        page.screenshot(path=SCREENSHOTS / "unfit.png")
        labeler.choose("scene-1.png")
        expect(warning).to_be_hidden()
        labeler.choose("blobs.nrrd")
        warning.get_by_role("button", name="Put the warning away").click()
        expect(warning).to_be_hidden()
    finally:
        note.unlink()


WITHOUT_A_NAME = """() => {
  const named = (node) =>
    node.textContent.trim() ||
    ["aria-label", "aria-labelledby", "id"].some((name) => node.getAttribute(name)) ||
    node.labels?.length;
  const controls = "button, input, select, [role=toolbar], nav, aside, section, dialog";
  const all = [...document.querySelectorAll(controls)];
  const shown = (node) => node.checkVisibility() || node.closest("dialog");
  return all.filter((node) => shown(node) && !named(node)).map((node) => node.outerHTML);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_fits(browser: Browser, served: Demo, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 1280, "height": 720},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    Labeler(page).open(served.url)
    expect(page.locator("#model-status")).to_have_attribute("data-state", "ready")
    assert page.evaluate(WITHOUT_A_NAME) == []
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    tall = page.evaluate("document.documentElement.scrollHeight - innerHeight")
    assert (wide, tall) == (0, 0)
    page.screenshot(path=SCREENSHOTS / f"page-{scheme}.png")
    context.close()
