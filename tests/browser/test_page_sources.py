"""Frames, slices and photos: what is sent, what is saved, what is there after a reload."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from labeler import Labeler, pairs, sent
from playwright.sync_api import Page, Route, expect
from servers import SCREENSHOTS, Demo
from targets import Target, largest_of

from sam2_serving.masks.bitmap import decode_bitmap
from sam2_serving.scenes import Clip, Scene

FRAME = 12


@pytest.fixture(scope="session")
def on_frame(clip: Clip) -> Target:
    return largest_of(clip.masks[FRAME])


def _overlap(figure: dict[str, Any], target: Target) -> float:
    """IoU of a saved figure with the drawn object."""
    bitmap = figure["geometry"]["bitmap"]
    part = decode_bitmap(bitmap["data"])
    x, y = bitmap["origin"]
    saved = np.zeros_like(target.mask)
    saved[y : y + part.shape[0], x : x + part.shape[1]] = part
    return float((saved & target.mask).sum() / (saved | target.mask).sum())


def test_a_frame_is_clicked_and_saved(
    served: Demo, page: Page, labeler: Labeler, on_frame: Target
) -> None:
    video = served.media("videos")
    labeler.open(served.url)
    labeler.choose("clip.avi")
    labeler.go_to("frame", FRAME)
    with page.expect_request("**/smart_segmentation") as asked:
        labeler.box(*on_frame.box)
    labeler.expect_state("mask")
    context = sent(asked.value)["context"]
    del context["request_uid"]
    x0, y0, x1, y1 = on_frame.box
    assert context == {
        "crop": pairs((x0, y0), (x1, y1)),
        "positive": [],
        "negative": [],
        "video": {"video_id": video["id"], "frame_index": FRAME},
    }
    labeler.click(*on_frame.inside)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(1)
    page.screenshot(path=SCREENSHOTS / "frame.png")

    labeler.press("ArrowRight")
    expect(page.locator("#where")).to_contain_text(f"frame {FRAME + 1} ")
    labeler.expect_figures(0)
    labeler.press("Shift+ArrowLeft")
    expect(page.locator("#where")).to_contain_text(f"frame {FRAME - 9} ")
    labeler.go_to("frame", FRAME)
    labeler.expect_figures(1)
    expect(page.get_by_title(f"Frame {FRAME} has figures")).to_have_count(1)
    page.reload()
    expect(page.locator("#where")).to_contain_text(f"frame {FRAME} ")
    labeler.expect_figures(1)
    (figure,) = served.get(f"videos/{video['id']}/frames/{FRAME}/figures")
    assert figure["meta"]["frame"] == FRAME
    assert figure["objectId"] is not None
    assert _overlap(figure, on_frame) > 0.6


@pytest.mark.long
def test_a_click_waits_for_the_right_frame(
    served: Demo, page: Page, labeler: Labeler, on_frame: Target
) -> None:
    """While the next frame is on its way, the picture on the stage is that of another."""
    labeler.open(served.url)
    labeler.choose("clip.avi")
    held: list[Route] = []
    page.route("**/frames/1/view*", lambda route: held.append(route))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    labeler.press("ArrowRight")
    expect(page.locator("#canvas")).to_have_attribute("data-shown", "no")
    labeler.click(*on_frame.inside)
    labeler.expect_state("idle")
    labeler.wait_until(lambda: held)
    held[0].continue_()
    labeler.expect_picture()
    labeler.click(*on_frame.inside)
    labeler.expect_state("mask")
    assert len([url for url in asked if url.endswith("smart_segmentation")]) == 1


@pytest.mark.long
def test_the_newest_frame_wins(served: Demo, page: Page, labeler: Labeler) -> None:
    """A frame that arrives late does not replace the one that was asked for after it."""
    page.add_init_script("AbortController.prototype.abort = () => {};")
    labeler.open(served.url)
    labeler.choose("clip.avi")
    held: list[Route] = []
    page.route("**/frames/5/view*", lambda route: held.append(route))
    box = page.get_by_label("Number of the frame")
    box.fill("5")
    box.press("Enter")
    labeler.go_to("frame", 20)
    with page.expect_response("**/frames/5/view*"):
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#where")).to_contain_text("frame 20 ")
    shown = page.evaluate("document.querySelector('#canvas').toDataURL()")
    page.reload()
    expect(page.locator("#where")).to_contain_text("frame 20 ")
    labeler.expect_picture()
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelector('#canvas').toDataURL()") == shown


def test_a_slice_with_another_window(served: Demo, page: Page, labeler: Labeler) -> None:
    volume = served.media("volumes")
    labeler.open(served.url)
    labeler.choose("blobs.nrrd")
    page.get_by_role("radio", name="Coronal").check(force=True)
    labeler.go_to("slice", 50)
    with page.expect_request("**/smart_segmentation") as first:
        labeler.click(80, 30)
    labeler.expect_state("mask")
    with (
        page.expect_response("**/slices/coronal/50/view*width=300*") as shown,
        page.expect_request("**/smart_segmentation") as second,
    ):
        width = page.get_by_label("Window width, number")
        width.fill("300")
        width.press("Enter")
    assert shown.value.headers["content-type"] == "image/png"
    labeler.expect_state("mask")
    page.screenshot(path=SCREENSHOTS / "slice.png")
    one, two = (sent(request.value)["context"] for request in (first, second))
    assert one["volume"] == {
        "volume_id": volume["id"],
        "slice_index": 50,
        "normal": {"x": 0, "y": 1, "z": 0},
        "window_center": volume["window"]["center"],
        "window_width": volume["window"]["width"],
    }
    assert two["volume"] == {**one["volume"], "window_width": 300}
    assert one["positive"] == two["positive"] == pairs((80, 30))
    page.locator("#canvas").focus()
    labeler.press("Space")
    labeler.expect_figures(1)
    page.reload()
    expect(page.get_by_label("Window width, number")).to_have_value("300")
    expect(page.get_by_role("radio", name="Coronal")).to_be_checked()
    labeler.expect_figures(1)
    page.get_by_role("button", name="Whole range").click()
    expect(page.get_by_label("Window width, number")).to_have_value(
        f"{volume['window']['width']:g}"
    )
    labeler.expect_figures(1)
    page.get_by_role("radio", name="Axial").check(force=True)
    labeler.expect_figures(0)


@pytest.mark.long
def test_a_dragged_window_asks_where_it_rests(served: Demo, page: Page, labeler: Labeler) -> None:
    labeler.open(served.url)
    labeler.choose("blobs.nrrd")
    labeler.click(80, 58)
    labeler.expect_state("mask")
    asked: list[dict[str, Any]] = []
    page.on(
        "request",
        lambda request: request.url.endswith("smart_segmentation") and asked.append(sent(request)),
    )
    slider = page.get_by_label("Window center", exact=True)
    slider.focus()
    for _ in range(12):
        slider.press("ArrowRight")
    labeler.expect_state("mask")
    assert asked[-1]["context"]["volume"]["window_center"] == float(slider.input_value())
    assert len(asked) < 6


def test_a_photo_of_a_point_cloud(
    served: Demo, page: Page, labeler: Labeler, scenes: list[Scene]
) -> None:
    photo, target = served.media("photos"), largest_of(scenes[1].masks)
    labeler.open(served.url)
    labeler.choose("photo.png")
    expect(page.locator("#where")).to_contain_text("photo.png of a.pcd")
    with page.expect_request("**/smart_segmentation") as asked:
        labeler.box(*target.box)
    labeler.expect_state("mask")
    context = sent(asked.value)["context"]
    assert context["pcd_related_image_id"] == photo["id"]
    assert not {"image_id", "video", "volume"} & set(context)
    labeler.press("Space")
    labeler.expect_figures(1)
    page.reload()
    labeler.expect_figures(1)
    (figure,) = served.get(f"photos/{photo['id']}/figures")
    assert figure["meta"]["photoId"] == photo["id"]
    # The image of the same number has none.
    assert served.get(f"images/{served.media('images')['id']}/figures") == []
