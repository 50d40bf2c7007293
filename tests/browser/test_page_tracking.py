"""A film on the page: played, tracked, stopped, corrected."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from labeler import Labeler, sent
from PIL import Image
from playwright.sync_api import Page, Request, expect
from servers import SCREENSHOTS, Demo
from targets import Target, largest_of
from tracks import FRAMES, SLOW_S, START, expect_bars, run, save_object, shown_bars

from sam2_serving.masks.bitmap import decode_bitmap
from sam2_serving.scenes import Clip

Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]


def _mask(figure: dict[str, Any], like: Mask) -> Mask:
    bitmap = figure["geometry"]["bitmap"]
    part = decode_bitmap(bitmap["data"])
    x, y = bitmap["origin"]
    mask = np.zeros_like(like)
    mask[y : y + part.shape[0], x : x + part.shape[1]] = part
    return mask


def _overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


def _canvas(page: Page) -> Picture:
    """The picture as it is drawn on the stage, masks included, H x W x 3 in its own size."""
    data = page.evaluate("document.querySelector('#canvas').toDataURL()")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))))[..., :3]
    where = page.locator("#canvas")
    scale, x, y = (
        float(where.get_attribute(f"data-{name}") or "nan") for name in ("scale", "x", "y")
    )
    columns = np.floor(x + (np.arange(320) + 0.5) * scale).astype(int)
    rows = np.floor(y + (np.arange(240) + 0.5) * scale).astype(int)
    return np.ascontiguousarray(drawn[np.ix_(rows, columns)])


def _tinted(page: Page, frame: Picture, color: str) -> Mask:
    """Which pixels of the frame are drawn in a figure's colour."""
    tint = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)], np.float64)
    drawn, plain = _canvas(page).astype(np.float64), frame.astype(np.float64)
    far = np.linalg.norm(drawn - plain, axis=-1)
    return np.asarray(np.linalg.norm(drawn - (0.6 * plain + 0.4 * tint), axis=-1) < far)


def test_an_object_is_followed(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], clip: Clip, followed: Target
) -> None:
    save_object(labeler, followed, START)
    with served.slow_reports(SLOW_S), page.expect_request("**/track") as asked:
        labeler.press("t")
        expect(run(page, "running").locator("progress")).to_have_js_property("max", FRAMES)
        lengths = set()
        while run(page, "finished").count() == 0:
            lengths.update(last for _, last, human in shown_bars(page) if not human)
            if lengths and len(lengths) == 1:
                page.screenshot(path=SCREENSHOTS / "tracking.png")
            page.wait_for_timeout(50)
    figure = served.figure(film["id"], START)
    assert sent(asked.value) == {
        "frame": START,
        "frames": FRAMES,
        "direction": "forward",
        "objectIds": [figure["objectId"]],
    }
    expect(run(page, "finished")).to_contain_text(f"from frame {START}: {FRAMES} frames")
    expect_bars(page, (START, START, True), (START + 1, START + FRAMES, False))
    assert len(lengths) > 1, "the bar grows while the job runs"

    at = START + 12
    labeler.go_to("frame", at)
    labeler.expect_figures(1)
    tracked = served.figure(film["id"], at)
    assert tracked["objectId"] == figure["objectId"]
    mask = _mask(tracked, followed.mask)
    number = int(np.argmax([(followed.mask & one).sum() for one in clip.masks[START]]))
    assert _overlap(mask, clip.masks[at][number]) > 0.7
    color = served.get("classes")[0]["color"]
    assert _overlap(_tinted(page, clip.frames[at], color), mask) > 0.85
    page.screenshot(path=SCREENSHOTS / "tracked.png")


@pytest.mark.long
def test_what_arrives_on_the_open_frame_is_drawn(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], followed: Target
) -> None:
    save_object(labeler, followed, START)
    with served.slow_reports(SLOW_S):
        labeler.press("t")
        expect(run(page, "running")).to_have_count(1)
        labeler.go_to("frame", START + FRAMES)
        labeler.expect_figures(0)
        expect(page.locator("li.figure")).to_have_count(1)
        labeler.expect_figures(1)
    expect(run(page, "finished")).to_have_count(1)
    served.figure(film["id"], START + FRAMES)


def test_stop(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], followed: Target
) -> None:
    save_object(labeler, followed, START)
    page.get_by_label("Frames to track").fill("25")
    with served.slow_reports(SLOW_S):
        page.get_by_role("button", name="Track", exact=True).click()
        expect(run(page, "running")).to_contain_text(re.compile(r"[1-9]\d* of 25"))
        page.get_by_role("button", name="Stop").click()
        expect(run(page, "stopped")).to_contain_text("Stopped tracking forward")
        places = served.get(f"videos/{film['id']}/places")
        assert 1 < len(places) < 25
        page.wait_for_timeout(1000)
    assert served.get(f"videos/{film['id']}/places") == places
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect_bars(page, (START, START, True), (START + 1, START + len(places) - 1, False))


@pytest.mark.long
def test_backward_and_both_ways(
    page: Page, labeler: Labeler, film: dict[str, Any], clip: Clip, served: Demo
) -> None:
    save_object(labeler, largest_of(clip.masks[10]), 10)
    page.get_by_label("Frames to track").fill("4")
    page.get_by_label("Direction of tracking").select_option("backward")
    page.get_by_label("Frames to track").press("Enter")
    expect_bars(page, (6, 9, False), (10, 10, True))
    expect(run(page, "finished")).to_have_count(1)  # its last frame is there a little earlier
    page.get_by_label("Direction of tracking").select_option("both")
    page.get_by_label("Frames to track").fill("6")
    page.locator("#canvas").focus()
    labeler.press("t")
    expect_bars(page, (4, 9, False), (10, 10, True), (11, 16, False))
    expect(run(page, "finished")).to_have_count(2)
    assert all(count == 1 for count in served.get(f"videos/{film['id']}/places").values())


@pytest.mark.long
def test_a_reload_finds_the_job_again(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], followed: Target
) -> None:
    save_object(labeler, followed, START)
    with served.slow_reports(SLOW_S):
        labeler.press("t")
        expect(run(page, "running")).to_contain_text(re.compile(r"[1-9]\d* of 20"))
        page.reload()
        expect(run(page, "running")).to_contain_text(f"forward from frame {START}")
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(run(page, "finished")).to_have_count(1)
    expect_bars(page, (START, START, True), (START + 1, START + FRAMES, False))
    assert len(served.get(f"videos/{film['id']}/places")) == FRAMES + 1


@pytest.mark.long
def test_a_key_that_is_held_acts_once(
    page: Page, labeler: Labeler, film: dict[str, Any], followed: Target
) -> None:
    asked: list[Request] = []
    page.on("request", lambda one: asked.append(one) if one.url.endswith("/track") else None)
    labeler.go_to("frame", START)
    labeler.box(*followed.box)
    labeler.expect_state("mask")
    for _ in range(3):
        page.keyboard.down("Space")
    labeler.expect_figures(1)
    for _ in range(3):
        page.keyboard.down("Space")
    page.keyboard.up("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.get_by_label("Frames to track").fill("0")
    page.locator("#canvas").focus()
    labeler.press("t")
    expect(page.locator(".runs .problem")).to_contain_text("how many frames")
    page.get_by_label("Frames to track").fill("2")
    page.locator("#canvas").focus()
    page.keyboard.down("t")
    expect(run(page, "finished")).to_have_count(1)
    for _ in range(3):
        page.keyboard.down("t")
    page.keyboard.up("t")
    page.wait_for_timeout(300)
    assert len(asked) == 1


@pytest.mark.long
def test_a_stop_that_is_not_heard_is_said(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], followed: Target
) -> None:
    save_object(labeler, followed, START)
    stop = page.get_by_role("button", name="Stop")
    with served.slow_reports(SLOW_S):
        labeler.press("t")
        expect(stop).to_be_visible()
        page.route("**/stop", lambda route: route.abort())
        stop.click()
        expect(page.locator(".runs .problem")).to_contain_text("Not stopped: ")
        expect(stop).to_be_enabled()
        page.unroute("**/stop")
        stop.click()
        expect(run(page, "stopped")).to_have_count(1)


@pytest.mark.long
def test_losses_and_refusals_are_said(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], leaving: Clip
) -> None:
    """And where an object is shown again, its track goes on."""
    video = film["id"] + 1
    labeler.choose("leaving.avi")
    labeler.go_to("frame", 2)
    labeler.press("t")
    expect(page.locator(".runs .problem")).to_contain_text("no saved figure on this frame")
    save_object(labeler, largest_of(leaving.masks[4][:1]), 4)
    labeler.press("t")
    expect(page.locator(".warned")).to_contain_text("is lost from frame")
    expect(run(page, "finished")).to_have_count(1)
    expect(page.locator(".lane .bar.lost")).to_have_count(1)
    page.screenshot(path=SCREENSHOTS / "lost.png")
    page.locator(".warned").get_by_role("button", name="Show").click()
    lost = int(page.locator("#where").text_content().split("frame ")[1].split()[0])
    assert 4 < lost < 14

    labeler.expect_picture()
    page.get_by_role("button", name=re.compile("Draw object")).click()
    expect(page.locator("#toolbar")).to_contain_text("For object")
    save_object(labeler, largest_of(leaving.masks[lost]), lost)
    first, again = (served.figure(video, frame) for frame in (4, lost))
    assert first["objectId"] == again["objectId"]
    expect(page.locator(".lane")).to_have_count(1)

    served.stop_model()
    labeler.press("t")
    expect(page.locator(".runs .problem")).to_contain_text("Not tracked: ")
    page.screenshot(path=SCREENSHOTS / "not-tracked.png")
    page.get_by_role("button", name="Close the messages").click()
    expect(page.locator(".runs .problem")).to_have_count(0)
