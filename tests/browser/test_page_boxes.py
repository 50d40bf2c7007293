"""Boxes: drawn, saved, and turned into masks or polygons by one request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from labeler import Labeler, pairs, sent
from playwright.sync_api import Page, Route, expect
from servers import SCREENSHOTS, Demo
from targets import Target, largest_of

from sam2_serving.masks import Polygon
from sam2_serving.masks.bitmap import decode_bitmap
from sam2_serving.scenes import Clip, Scene

Json = dict[str, Any]


@pytest.fixture(scope="session")
def things(scenes: list[Scene]) -> list[Target]:
    """The objects of the first scene; one of them is a ring."""
    return [largest_of(mask[None]) for mask in scenes[0].masks]


def _draw(labeler: Labeler, targets: Sequence[Target]) -> None:
    labeler.press("b")
    for count, target in enumerate(targets, start=1):
        labeler.box(*target.box)
        labeler.expect_figures(count)


def _on(demo: Demo) -> str:
    return f"images/{demo.media('images')['id']}/figures"


def _corners(target: Target) -> list[list[int]]:
    x0, y0, x1, y1 = target.box
    return [[x0, y0], [x1, y1]]


def _pixels(figure: Json, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """What a figure covers of a picture of a size (height, width)."""
    geometry = figure["geometry"]
    mask = np.zeros(size, bool)
    if "bitmap" in geometry:
        part = decode_bitmap(geometry["bitmap"]["data"])
        x, y = geometry["bitmap"]["origin"]
        mask[y : y + part.shape[0], x : x + part.shape[1]] = part
        return mask
    rings = [np.asarray(ring, np.int32) for ring in _rings(figure)]
    return Polygon(rings[0], tuple(rings[1:])).draw(*size)


def _rings(figure: Json) -> list[Any]:
    points = figure["geometry"]["points"]
    return [points["exterior"], *points["interior"]]


def _iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_boxes_become_masks_by_one_request(
    served: Demo, page: Page, labeler: Labeler, things: list[Target]
) -> None:
    labeler.open(served.url)
    _draw(labeler, things)
    boxes = served.get(_on(served))
    assert [one["geometryType"] for one in boxes] == ["rectangle"] * len(things)
    drawn = [one["geometry"]["points"]["exterior"] for one in boxes]
    assert drawn == [_corners(target) for target in things]
    assert not any(one["nnCreated"] or one["nnUpdated"] for one in boxes)
    page.screenshot(path=SCREENSHOTS / "boxes.png")

    asked: list[Json] = []
    page.on("request", lambda one: asked.append(sent(one)) if "inference" in one.url else None)
    section = page.get_by_role("region", name="Boxes")
    section.get_by_role("button", name="To masks").click()
    expect(section).to_be_hidden()
    labeler.expect_figures(len(things))
    (request,) = asked
    sides = [[y0, x0, y1, x1] for x0, y0, x1, y1 in (target.box for target in things)]
    assert request["state"]["settings"]["mode"] == "bbox"
    assert request["state"]["settings"]["bbox_coordinates"] == sides
    masks = served.get(_on(served))
    for figure, target in zip(masks, things, strict=True):
        assert figure["geometryType"] == "bitmap"
        assert _iou(_pixels(figure, target.mask.shape), target.mask) > 0.7
        crop = _corners(target)
        assert figure["meta"]["smartToolInput"]["crop"] == crop
    page.screenshot(path=SCREENSHOTS / "boxes-masks.png")

    labeler.press("Control+z")
    expect(section).to_be_visible()
    assert served.get(_on(served)) == boxes
    labeler.press("Control+y")
    expect(section).to_be_hidden()
    assert served.get(_on(served)) == masks
    # And on, box by box, to the beginning.
    for left in [len(things), *reversed(range(len(things)))]:
        labeler.press("Control+z")
        labeler.expect_figures(left)


def test_a_box_becomes_the_mask_that_the_smart_tool_gives(
    served: Demo, page: Page, labeler: Labeler, things: list[Target]
) -> None:
    labeler.open(served.url)
    _draw(labeler, things[:1])
    x0, y0, x1, y1 = things[0].box
    context = {"image_id": served.media("images")["id"], "positive": [], "negative": []}
    crop = pairs((x0, y0), (x1, y1))
    wanted = served.app("smart_segmentation", context={**context, "crop": crop})
    page.mouse.click(*labeler.spot(x0 + 1, y0 + 1), button="right")
    page.get_by_role("menuitem", name="Box to mask").click()
    expect(page.locator("li.figure")).not_to_contain_text("box")
    (mask,) = served.get(_on(served))
    origin, data = mask["geometry"]["bitmap"]["origin"], mask["geometry"]["bitmap"]["data"]
    smart = {"geometry": {"bitmap": {"data": wanted["bitmap"]}}}
    smart["geometry"]["bitmap"]["origin"] = [wanted["origin"]["x"], wanted["origin"]["y"]]
    size = things[0].mask.shape
    cut = np.zeros(size, bool)
    cut[y0 : y1 + 1, x0 : x1 + 1] = True
    whole = {"geometry": {"bitmap": {"origin": origin, "data": data}}}
    assert _iou(_pixels(whole, size) & cut, _pixels(smart, size)) > 0.999


def test_polygons_have_holes_and_only_a_class_is_asked_for(
    served: Demo, page: Page, labeler: Labeler, things: list[Target]
) -> None:
    labeler.open(served.url)
    name = f"ring {len(served.get('classes'))}"
    page.get_by_label("Name of the new class").fill(name)
    page.get_by_role("button", name="Add the class").click()
    ring = max(things, key=lambda target: np.count_nonzero(target.mask))
    page.locator("#canvas").focus()
    _draw(labeler, [ring])
    page.get_by_role("radio", name="object").check()
    page.locator("#canvas").focus()
    other = next(target for target in things if target is not ring)
    labeler.box(*other.box)
    labeler.expect_figures(2)
    section = page.get_by_role("region", name="Boxes")
    section.get_by_label("Which boxes").select_option(label=f"{name} (1)")
    section.get_by_role("button", name="To polygons").click()
    expect(section.get_by_label("Which boxes")).to_contain_text("All boxes here (1)")
    labeler.expect_figures(2)
    box, polygon = served.get(_on(served))
    assert (box["geometryType"], polygon["geometryType"]) == ("rectangle", "polygon")
    assert polygon["classId"] == served.get("classes")[-1]["id"]
    assert len(_rings(polygon)) > 1, "the ring's hole"
    assert _iou(_pixels(polygon, ring.mask.shape), ring.mask) > 0.7
    page.mouse.move(640, 700)
    page.screenshot(path=SCREENSHOTS / "boxes-polygons.png")
    # The hole is not the polygon: a right click there is about the next figure.
    rows, columns = np.nonzero(ring.mask)
    centre = (int(columns.mean()), int(rows.mean()))
    assert not ring.mask[centre[1], centre[0]]
    of_the_next = page.get_by_role("menu", name="Class of the next figure")
    page.mouse.click(*labeler.spot(*centre), button="right")
    expect(of_the_next).to_be_visible()
    labeler.press("Escape")
    page.mouse.click(*labeler.spot(*ring.inside), button="right")
    expect(page.get_by_role("menu")).to_be_visible()
    expect(of_the_next).to_be_hidden()
    labeler.press("Escape")
    page.reload()
    labeler.expect_figures(2)


@pytest.mark.long
def test_a_box_that_is_being_drawn_is_given_up(served: Demo, page: Page, labeler: Labeler) -> None:
    labeler.open(served.url)
    labeler.press("b")

    def begin() -> None:
        page.mouse.move(*labeler.spot(200, 250))
        page.mouse.down()
        page.mouse.move(*labeler.spot(300, 300), steps=3)

    begin()
    labeler.press("Escape")
    page.mouse.move(*labeler.spot(310, 310), steps=2)
    page.mouse.up()
    expect(page.get_by_role("button", name="Draw boxes")).to_have_attribute("aria-pressed", "true")
    # On another picture it would be a box round something else.
    begin()
    page.get_by_role("button", name="scene-2.png").focus()
    labeler.press("Enter")
    expect(page.locator("#where")).to_contain_text("scene-2.png")
    labeler.expect_picture()
    page.mouse.up()
    labeler.box(50, 50, 90, 90)
    labeler.expect_figures(1)
    second = served.get("media")["datasets"][0]["images"][1]
    (box,) = served.get(f"images/{second['id']}/figures")
    assert box["geometry"]["points"]["exterior"] == [[50, 50], [90, 90]]
    assert served.get(_on(served)) == []
    labeler.choose("scene-1.png")
    labeler.expect_figures(0)


@pytest.mark.long
def test_parts_of_a_box_are_asked_for_by_themselves_later(
    served: Demo, page: Page, labeler: Labeler, things: list[Target]
) -> None:
    first, second = sorted(things, key=lambda one: one.box)[:2]
    both = (
        min(first.box[0], second.box[0]),
        min(first.box[1], second.box[1]),
        max(first.box[2], second.box[2]),
        max(first.box[3], second.box[3]),
    )
    corners = [[both[0], both[1]], [both[2], both[3]]]
    ring = [[[x, y], [x + 9, y], [x + 9, y + 9], [x, y + 9]] for x, y in corners]

    def in_parts(route: Route) -> None:
        """The app's answer, with two parts in the first box."""
        answer = route.fetch()
        content = answer.json()
        polygon = {**content["annotation"]["objects"][0], "geometryType": "polygon"}
        about = content["found"][0]
        parts = [{**polygon, "points": {"exterior": one, "interior": []}} for one in ring]
        content["annotation"]["objects"] = parts
        content["found"] = [about, about]
        route.fulfill(response=answer, json=content)

    labeler.open(served.url)
    labeler.press("b")
    labeler.box(*both)
    labeler.expect_figures(1)
    page.route("**/inference_image_id", in_parts)
    page.get_by_role("button", name="To polygons").click()
    labeler.expect_figures(2)
    # The box gives both of them again: it is the prompt of neither.
    prompts = [one["meta"].get("smartToolInput") for one in served.get(_on(served))]
    assert prompts == [None, None]


@pytest.mark.long
def test_a_failed_request_leaves_the_boxes(
    served: Demo, page: Page, labeler: Labeler, things: list[Target]
) -> None:
    labeler.open(served.url)
    _draw(labeler, things)
    boxes = served.get(_on(served))
    served.stop_model()
    page.get_by_role("button", name="To masks").click()
    expect(page.locator("#notice")).to_contain_text("No model is served")
    page.screenshot(path=SCREENSHOTS / "boxes-error.png")
    assert served.get(_on(served)) == boxes
    served.serve_nano()
    # One is deleted while the others are asked for: the others are done.
    page.get_by_role("button", name=re.compile("Delete ")).first.click()
    labeler.expect_figures(len(things) - 1)
    page.locator("#notice").get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Boxes")).to_be_hidden()
    labeler.expect_figures(len(things) - 1)
    assert {one["geometryType"] for one in served.get(_on(served))} == {"bitmap"}


@pytest.mark.long
def test_on_a_frame_the_figure_stays_with_its_object(
    served: Demo, page: Page, labeler: Labeler, clip: Clip
) -> None:
    target = largest_of(clip.masks[4])
    video = served.media("videos")
    on = f"videos/{video['id']}/frames/4/figures"
    labeler.open(f"{served.url}/#video={video['id']}&frame=4")
    _draw(labeler, [target])
    (box,) = served.get(on)
    page.get_by_role("button", name="To polygons").click()
    expect(page.get_by_role("region", name="Boxes")).to_be_hidden()
    (polygon,) = served.get(on)
    assert (polygon["geometryType"], polygon["objectId"]) == ("polygon", box["objectId"])
    assert _iou(_pixels(polygon, target.mask.shape), target.mask) > 0.7
    page.screenshot(path=SCREENSHOTS / "boxes-frame.png")
    labeler.press("Control+z")
    expect(page.get_by_role("region", name="Boxes")).to_be_visible()
    assert served.get(on) == [box]


@pytest.mark.long
def test_on_a_photo_and_a_slice_the_picture_itself_is_sent(
    served: Demo, page: Page, labeler: Labeler, scenes: list[Scene]
) -> None:
    target = largest_of(scenes[1].masks)
    photo = served.media("photos")
    labeler.open(f"{served.url}/#photo={photo['id']}")
    _draw(labeler, [target])
    page.get_by_role("button", name="To masks").click()
    expect(page.get_by_role("region", name="Boxes")).to_be_hidden()
    (mask,) = served.get(f"photos/{photo['id']}/figures")
    assert _iou(_pixels(mask, target.mask.shape), target.mask) > 0.7
    volume = served.media("volumes")
    labeler.open(f"{served.url}/#volume={volume['id']}&plane=axial&slice=32")
    labeler.box(40, 30, 90, 80)
    labeler.expect_figures(1)
    with page.expect_response("**/inference_image") as answered:
        page.get_by_role("button", name="To masks").click()
    found = answered.value.json()["annotation"]["objects"]
    figures = served.get(f"volumes/{volume['id']}/slices/axial/32/figures")
    labeler.wait_until(lambda: page.locator("#job").is_hidden())
    figures = served.get(f"volumes/{volume['id']}/slices/axial/32/figures")
    assert [one["geometryType"] for one in figures] == ["bitmap" if found else "rectangle"]
