"""Tracks that a person corrects on the page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from labeler import Labeler
from playwright.sync_api import Page, expect
from servers import Demo
from targets import Target
from tracks import START, expect_bars, save_object, wait_for_the_end


def test_a_correction_is_tracked_on(
    page: Page, labeler: Labeler, film: dict[str, Any], served: Demo, followed: Target
) -> None:
    """And the bars lead to the frames that they stand for."""
    save_object(labeler, followed, START)
    page.get_by_label("Frames to track").fill("8")
    page.locator("#canvas").focus()
    labeler.press("t")
    expect_bars(page, (START, START, True), (START + 1, START + 8, False))
    before = served.figure(film["id"], START + 8)

    lane = page.locator(".lane")
    box = lane.bounding_box()
    assert box is not None

    def spot(frame: int) -> tuple[float, float]:
        return box["x"] + (frame + 0.5) * box["width"] / film["frames"], box["y"] + 12

    page.mouse.click(*spot(START + 5))
    expect(page.locator("#where")).to_contain_text(f"frame {START + 5} ")
    labeler.expect_picture()
    labeler.expect_figures(1)
    page.locator("li.figure").get_by_role("button", name=re.compile("Edit")).click()
    labeler.expect_state("edit")
    labeler.press("t")
    expect(page.locator(".runs .problem")).to_contain_text("Save the object")
    labeler.click(*followed.outside, "Shift")
    labeler.expect_state("mask")
    labeler.press("Space")
    expect(page.locator(".lane .bar.human")).to_have_count(2)
    labeler.press("t")
    expect_bars(
        page,
        (START, START, True),
        (START + 1, START + 4, False),
        (START + 5, START + 5, True),
        (START + 6, START + 13, False),
    )
    after = served.figure(film["id"], START + 8)
    assert (after["objectId"], after["id"] != before["id"]) == (before["objectId"], True)

    page.mouse.move(*spot(START))
    page.mouse.down()
    page.mouse.move(*spot(START + 10), steps=4)
    page.mouse.up()
    expect(page.locator("#where")).to_contain_text(f"frame {START + 10} ")


@pytest.mark.long
def test_an_edit_outlives_the_figure_that_tracking_replaces(
    page: Page, labeler: Labeler, film: dict[str, Any], served: Demo, followed: Target
) -> None:
    at = START + 5
    save_object(labeler, followed, START)
    page.get_by_label("Frames to track").fill("8")
    page.locator("#canvas").focus()
    labeler.press("t")
    expect_bars(page, (START, START, True), (START + 1, START + 8, False))
    expect(page.locator(".ticks span")).to_have_count(1)
    page.locator(".ticks span").evaluate("one => { one.dataset.seen = 'yes'; }")
    labeler.go_to("frame", at)
    labeler.expect_figures(1)
    assert page.locator(".ticks span").get_attribute("data-seen") == "yes", "nothing is drawn anew"

    before = served.figure(film["id"], at)
    page.get_by_role("button", name=f"Edit object #{before['id']}").click()
    labeler.click(*followed.outside, "Shift")
    labeler.expect_state("mask")
    again = {"frame": START, "frames": 8, "direction": "forward"}
    served.client.post(
        f"{served.url}/workspace/api/videos/{film['id']}/track", json=again
    ).raise_for_status()
    wait_for_the_end(served, film)
    replaced = served.figure(film["id"], at)
    assert replaced["id"] != before["id"]
    labeler.press("Space")
    labeler.expect_state("idle")
    kept = served.figure(film["id"], at)
    assert (kept["id"], kept["objectId"]) == (replaced["id"], before["objectId"])
    assert not kept["nnUpdated"]
    assert kept["geometry"] != replaced["geometry"]

    tracked = served.figure(film["id"], START + 1)
    labeler.go_to("frame", START + 1)
    page.get_by_role("button", name=re.compile("Delete object")).click()
    page.locator(".undo button").click()
    labeler.expect_figures(1)
    assert served.figure(film["id"], START + 1)["nnUpdated"], "a model's, as it was"
    assert served.figure(film["id"], START + 1)["geometry"] == tracked["geometry"]
