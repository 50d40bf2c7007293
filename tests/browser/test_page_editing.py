"""Changing what is there: a saved figure, the model in the middle of the work."""

from __future__ import annotations

from typing import Any

import pytest
from labeler import Labeler, pairs, sent
from playwright.sync_api import Page, Route, expect
from servers import SCREENSHOTS, Demo
from targets import Target, largest_of

from sam2_serving.scenes import Clip


def _save_one(labeler: Labeler, target: Target) -> None:
    labeler.box(*target.box)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(1)


def _edit(page: Page, labeler: Labeler) -> None:
    page.get_by_role("button", name="Edit object").click()
    labeler.expect_state("edit")


def _wire(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure's mask as it is sent."""
    bitmap = figure["geometry"]["bitmap"]
    x, y = bitmap["origin"]
    return {"data": bitmap["data"], "origin": {"x": x, "y": y}}


def test_a_figure_is_edited_and_edited_again(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    figures = f"images/{served.media('images')['id']}/figures"
    labeler.open(served.url)
    _save_one(labeler, target)
    (saved,) = served.get(figures)

    _edit(page, labeler)
    expect(page.get_by_text(f"Editing #{saved['id']}")).to_be_visible()
    with page.expect_request("**/smart_segmentation") as first:
        labeler.click(*target.inside)
    labeler.expect_state("mask")
    with page.expect_response("**/smart_segmentation") as second:
        labeler.click(*target.outside, "Shift")
    answer = second.value.json()
    labeler.expect_state("mask")
    page.screenshot(path=SCREENSHOTS / "edit.png")
    begin, later = sent(first.value)["context"], sent(second.value.request)["context"]
    assert (begin["figure_id"], begin["init_figure"]) == (saved["id"], True)
    assert begin["mask"] == _wire(saved)
    assert later["figure_id"] == saved["id"]
    assert not {"init_figure", "mask"} & set(later)
    assert (later["positive"], later["negative"]) == (pairs(target.inside), pairs(target.outside))

    labeler.press("Space")
    labeler.expect_state("idle")
    labeler.expect_figures(1)
    page.reload()
    labeler.expect_figures(1)
    (changed,) = served.get(figures)
    assert changed["id"] == saved["id"]
    assert _wire(changed) == {"data": answer["bitmap"], "origin": answer["origin"]}
    assert (changed["nnCreated"], changed["nnUpdated"]) == (True, False)

    # Across the reload: the next edit begins with what was saved.
    _edit(page, labeler)
    with page.expect_request("**/smart_segmentation") as again:
        labeler.click(*target.inside)
    labeler.expect_state("mask")
    assert sent(again.value)["context"]["mask"] == _wire(changed)
    labeler.press("Escape")
    labeler.expect_state("idle")
    assert served.get(figures) == [changed]


@pytest.mark.long
def test_an_edit_is_undone_to_its_beginning(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    _save_one(labeler, target)
    _edit(page, labeler)
    labeler.press("Space")
    expect(page.locator("#notice")).to_contain_text("Nothing is changed yet")
    labeler.click(*target.outside, "Shift")
    labeler.press("Control+z")
    labeler.expect_state("edit")
    labeler.press("Escape")
    labeler.expect_state("idle")
    labeler.expect_figures(1)


@pytest.mark.long
def test_a_figure_on_a_frame_is_edited(
    served: Demo, page: Page, labeler: Labeler, clip: Clip
) -> None:
    target = largest_of(clip.masks[3])
    video = served.media("videos")
    labeler.open(f"{served.url}/#video={video['id']}&frame=3")
    _save_one(labeler, target)
    (saved,) = served.get(f"videos/{video['id']}/frames/3/figures")
    _edit(page, labeler)
    with page.expect_request("**/smart_segmentation") as asked:
        labeler.click(*target.inside)
    labeler.expect_state("mask")
    context = sent(asked.value)["context"]
    assert context["video"] == {"video_id": video["id"], "frame_index": 3}
    assert (context["figure_id"], context["mask"]) == (saved["id"], _wire(saved))
    labeler.press("Space")
    labeler.expect_figures(1)
    (changed,) = served.get(f"videos/{video['id']}/frames/3/figures")
    assert (changed["id"], changed["objectId"]) == (saved["id"], saved["objectId"])


@pytest.mark.long
def test_a_forgotten_edit_is_said_and_started_again(
    served: Demo, page: Page, labeler: Labeler, clip: Clip
) -> None:
    """The app never saw the first click, as if it had lost the mask it was given.

    On a frame: an image's figure could be downloaded instead.
    """
    target = largest_of(clip.masks[5])
    labeler.open(f"{served.url}/#video={served.media('videos')['id']}&frame=5")
    _save_one(labeler, target)
    _edit(page, labeler)
    first: list[Route] = []

    def swallow_first(route: Route) -> None:
        if first:
            route.continue_()
            return
        first.append(route)
        route.fulfill(json={"origin": None, "bitmap": None, "success": True, "error": None})

    page.route("**/smart_segmentation", swallow_first)
    labeler.click(*target.inside)
    labeler.expect_state("none")
    labeler.click(*target.outside, "Shift")
    labeler.expect_state("error")
    expect(page.locator("#notice")).to_contain_text("edit again")
    page.screenshot(path=SCREENSHOTS / "edit-again.png")
    with page.expect_request("**/smart_segmentation") as anew:
        page.get_by_role("button", name="Try again").click()
    labeler.expect_state("mask")
    assert sent(anew.value)["context"]["init_figure"] is True


def test_the_model_is_switched_in_the_middle_of_the_work(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    with page.expect_request("**/smart_segmentation") as before:
        labeler.click(*target.inside)
    labeler.expect_state("mask")

    page.locator("#model-status").click()
    panel = page.get_by_role("dialog", name="Serve a model")
    panel.get_by_role("radio", name="Nano").check()
    panel.get_by_label("Device").select_option("cpu")
    with page.expect_response("**/smart_segmentation") as after:
        panel.get_by_role("button", name="Serve", exact=True).click()
    expect(panel.get_by_text("Ready", exact=True)).to_be_visible()
    panel.get_by_role("button", name="Close").click()
    labeler.expect_state("mask")
    one, two = (sent(request)["context"] for request in (before.value, after.value.request))
    assert one.pop("request_uid") != two.pop("request_uid")
    assert one == two
    expect(page.locator("#canvas")).to_be_focused()
    labeler.press("Space")
    labeler.expect_figures(1)


@pytest.mark.long
def test_a_model_that_comes_back_is_asked_again(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    """Served by somebody else, after this page was told that there is none."""
    labeler.open(served.url)
    served.stop_model()
    labeler.box(*target.box)
    labeler.expect_state("error")
    served.serve_nano()
    labeler.expect_state("mask")
    expect(page.locator("#notice")).to_be_hidden()
