"""The Batched Smart Tool in a real browser: many boxes, one request, and what a person changes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from labeler import WAIT_MS, Labeler, pairs, sent
from playwright.sync_api import Locator, Page, Route, expect
from servers import SCREENSHOTS, Demo
from targets import Target, largest_of

from sam2_serving.masks.bitmap import decode_bitmap, encode_bitmap
from sam2_serving.scenes import Scene

BATCHED = "**/smart_segmentation_batched"
CHANGES = "**/workspace/api/changes"


@dataclass(frozen=True)
class Grid:
    """Drives the grid with the mouse, in image coordinates."""

    page: Page

    @property
    def root(self) -> Locator:
        return self.page.get_by_role("dialog", name="Batched Smart Tool")

    def open(self) -> None:
        self.page.get_by_role("button", name="Batched Smart Tool").click()
        expect(self.cell(0)).to_have_attribute("data-drawn", re.compile("."), timeout=WAIT_MS)

    def cell(self, index: int) -> Locator:
        return self.root.locator("li.cell").nth(index)

    def expect_states(self, **counts: int) -> None:
        """Wait until so many cells of the page are in these states."""
        for state, number in counts.items():
            cells = self.root.locator(f"li.cell[data-state={state}]")
            expect(cells).to_have_count(number, timeout=WAIT_MS)

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=re.compile(name)).click()

    def spot(self, index: int, x: float, y: float) -> tuple[float, float]:
        """Where the middle of an image's pixel is in the window."""
        canvas = self.cell(index).locator("canvas")
        canvas.scroll_into_view_if_needed()
        frame = canvas.bounding_box()
        assert frame is not None
        scale, left, top = (
            float(canvas.get_attribute(f"data-{name}") or "nan") for name in ("scale", "x", "y")
        )
        return frame["x"] + left + (x + 0.5) * scale, frame["y"] + top + (y + 0.5) * scale

    def click(self, index: int, x: int, y: int, *modifiers: str) -> None:
        at = self.spot(index, x, y)
        for key in modifiers:
            self.page.keyboard.down(key)
        self.page.mouse.click(*at)
        for key in modifiers:
            self.page.keyboard.up(key)

    def drag(self, index: int, start: tuple[int, int], end: tuple[int, int]) -> None:
        begin, target = self.spot(index, *start), self.spot(index, *end)
        self.page.mouse.move(*begin)
        self.page.mouse.down()
        self.page.mouse.move(*target, steps=4)
        self.page.mouse.up()

    def expect_said(self, words: str) -> None:
        expect(self.root.locator(".said")).to_contain_text(words, timeout=WAIT_MS)


@pytest.fixture
def grid(page: Page) -> Grid:
    return Grid(page)


@pytest.fixture(scope="session")
def targets(scenes: list[Scene]) -> list[list[Target]]:
    """The two largest objects of each scene."""
    areas = [sorted(scene.masks, key=np.count_nonzero)[-2:] for scene in scenes]
    return [[largest_of(mask[None]) for mask in masks] for masks in areas]


def _images(demo: Demo) -> list[dict[str, Any]]:
    return list(demo.get("media")["datasets"][0]["images"])


def _add_boxes(demo: Demo, *boxes: tuple[int, tuple[int, int, int, int]]) -> list[int]:
    """Save boxes as figures of the first class; give their ids."""
    class_id = demo.get("classes")[0]["id"]
    add = [
        {
            "on": f"images/{image_id}",
            "class_id": class_id,
            "geometry_type": "rectangle",
            "geometry": {"points": {"exterior": [[x0, y0], [x1, y1]], "interior": []}},
        }
        for image_id, (x0, y0, x1, y1) in boxes
    ]
    body = {"key": f"boxes-{np.random.default_rng().integers(1 << 60)}", "add": add}
    answer = demo.client.post(f"{demo.url}/workspace/api/changes", json=body)
    answer.raise_for_status()
    return list(answer.json()["added"])


@pytest.fixture
def boxes(served: Demo, targets: list[list[Target]]) -> list[tuple[int, Target]]:
    """Four boxes on two images, in the order of the grid: image's id, target."""
    ids = [image["id"] for image in _images(served)]
    wanted = [(one, target) for one, own in zip(ids, targets, strict=True) for target in own]
    _add_boxes(served, *((image_id, target.box) for image_id, target in wanted))
    return wanted


def _figures(demo: Demo) -> list[dict[str, Any]]:
    return [one for image in _images(demo) for one in demo.get(f"images/{image['id']}/figures")]


def _whole(origin: dict[str, int], bitmap: str, shape: tuple[int, int]) -> np.ndarray:
    """A mask on the whole image."""
    whole, mask = np.zeros(shape, bool), decode_bitmap(bitmap)
    x, y = origin["x"], origin["y"]
    whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return whole


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_all_at_once_saved_and_undone(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, boxes: list[tuple[int, Target]]
) -> None:
    before = _figures(served)
    labeler.open(served.url)
    grid.open()
    grid.expect_states(new=4)
    expect(grid.root).to_contain_text("4 objects on 2 images")
    asked = []
    page.on("request", lambda one: asked.append(one) if "smart_seg" in one.url else None)
    grid.press("Segment all")
    grid.expect_states(mask=4)
    for index in range(4):
        expect(grid.cell(index)).to_have_attribute("data-drawn", "mask")
    (request,) = asked
    contexts = sent(request)["context"]["data_to_process"]
    assert contexts == {
        str(index): {
            "crop": pairs(target.box[:2], target.box[2:]),
            "positive": [],
            "negative": [],
            "image_id": image_id,
        }
        for index, (image_id, target) in enumerate(boxes)
    }
    page.screenshot(path=SCREENSHOTS / "batch.png")

    grid.press("Save 4 masks")
    grid.expect_said("Saved: 4 masks.")
    grid.expect_states(saved=4)
    saved = _figures(served)
    assert [one["geometryType"] for one in saved] == ["bitmap"] * 4
    assert {(one["nnCreated"], one["nnUpdated"]) for one in saved} == {(True, False)}
    for figure, (image_id, target) in zip(saved, boxes, strict=True):
        x0, y0, x1, y1 = target.box
        kept = {"crop": [[x0, y0], [x1, y1]], "positive": [], "negative": [], "visible": True}
        assert figure["meta"]["smartToolInput"] == kept
        context = {"crop": pairs((x0, y0), (x1, y1)), "positive": [], "negative": []}
        single = served.app("smart_segmentation", context={**context, "image_id": image_id})
        (x, y), data = (figure["geometry"]["bitmap"][name] for name in ("origin", "data"))
        shape = target.mask.shape
        mask = _whole({"x": x, "y": y}, data, shape)
        assert _iou(mask, _whole(single["origin"], single["bitmap"], shape)) >= 0.999
        assert _iou(mask, target.mask) > 0.6

    page.keyboard.press("Control+z")
    grid.expect_said("Undone: 4 figures as before.")
    grid.expect_states(mask=4)
    assert _figures(served) == before
    page.keyboard.press("Control+y")
    grid.expect_said("Saved: 4 masks.")
    assert [one["geometryType"] for one in _figures(served)] == ["bitmap"] * 4
    # The stage behind the grid shows what was saved.
    page.keyboard.press("Escape")
    labeler.expect_figures(2)


def test_a_click_and_update_all_send_only_what_changed(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, boxes: list[tuple[int, Target]]
) -> None:
    labeler.open(served.url)
    grid.open()
    grid.press("Segment all")
    grid.expect_states(mask=4)
    _, second = boxes[1]
    _, third = boxes[2]
    grid.click(1, *second.inside)
    grid.click(1, *second.outside, "Shift")
    grid.click(2, *third.inside)
    grid.click(2, *third.inside, "Alt")  # and it is gone again
    grid.expect_states(changed=1, mask=3)
    grid.click(3, boxes[3][1].box[0] - 3, boxes[3][1].box[1] - 3)
    grid.expect_said("Click inside the box")
    x0, y0, x1, y1 = third.box
    grid.drag(2, (x0, y0), (x0 + 6, y0 + 4))
    grid.expect_states(changed=2, mask=2)
    page.screenshot(path=SCREENSHOTS / "batch-changed.png")
    with page.expect_request(BATCHED) as asked:
        grid.press(r"Update all \(2\)")
    grid.expect_states(mask=4)
    one, two = sent(asked.value)["context"]["data_to_process"].values()
    assert (one["positive"], one["negative"]) == (pairs(second.inside), pairs(second.outside))
    assert (two["crop"], two["positive"]) == (pairs((x0 + 6, y0 + 4), (x1, y1)), [])
    # Undone, the mask of before is there without asking again.
    page.on("request", lambda one: pytest.fail(one.url) if "smart_seg" in one.url else None)
    page.keyboard.press("Control+z")
    grid.expect_states(mask=4)
    expect(grid.root.get_by_role("button", name="Update all", exact=True)).to_be_disabled()


@pytest.mark.long
def test_what_is_left_out_is_neither_asked_nor_saved(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, boxes: list[tuple[int, Target]]
) -> None:
    """With the keyboard alone."""
    labeler.open(served.url)
    grid.open()
    grid.cell(0).locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    expect(grid.cell(1).locator("canvas")).to_be_focused()
    page.keyboard.press("x")
    expect(grid.cell(1)).to_have_attribute("data-excluded", "true")
    with page.expect_request(BATCHED) as asked:
        grid.press("Segment all")
    assert len(sent(asked.value)["context"]["data_to_process"]) == 3
    grid.expect_states(mask=3, new=1)
    grid.cell(2).locator("canvas").focus()
    page.keyboard.press("x")
    page.screenshot(path=SCREENSHOTS / "batch-left-out.png")
    grid.press("Save 2 masks")
    grid.expect_said("Saved: 2 masks.")
    kinds = [one["geometryType"] for one in _figures(served)]
    assert sorted(kinds) == ["bitmap", "bitmap", "rectangle", "rectangle"]
    page.keyboard.press("Control+z")
    grid.expect_said("Undone")
    page.keyboard.press("Control+z")
    expect(grid.cell(2)).to_have_attribute("data-excluded", "false")
    expect(grid.cell(1)).to_have_attribute("data-excluded", "true")


@pytest.mark.long
def test_undo_while_the_app_is_asked_and_from_the_bars(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, boxes: list[tuple[int, Target]]
) -> None:
    labeler.open(served.url)
    grid.open()
    held: list[Route] = []
    page.route(BATCHED, lambda route: held.append(route))
    grid.press("Segment all")
    grid.expect_states(waiting=4)
    grid.cell(1).locator("canvas").focus()
    page.keyboard.press("x")
    expect(grid.cell(1)).to_have_attribute("data-excluded", "true")
    page.keyboard.press("Control+z")
    expect(grid.cell(1)).to_have_attribute("data-excluded", "false")
    labeler.wait_until(lambda: held)
    held[0].continue_()
    grid.expect_states(mask=4)
    # A list that was chosen from has the focus.
    grid.root.get_by_label("Class", exact=True).focus()
    page.keyboard.press("Control+y")
    expect(grid.cell(1)).to_have_attribute("data-excluded", "true")
    # While it is saved, nothing is undone: what would it be?
    held.clear()
    page.route(CHANGES, lambda route: held.append(route))
    grid.press("Save 3 masks")
    labeler.wait_until(lambda: held)
    expect(grid.root.get_by_role("button", name="Undo")).to_be_disabled()
    page.keyboard.press("Control+z")
    page.keyboard.press("Escape")  # closed meanwhile
    held[0].continue_()
    expect(grid.root).to_be_hidden()
    labeler.expect_figures(2)
    labeler.wait_until(
        lambda: (
            sorted(one["geometryType"] for one in _figures(served))
            == ["bitmap", "bitmap", "bitmap", "rectangle"]
        )
    )
    grid.open()
    expect(grid.cell(1)).to_have_attribute("data-excluded", "true")
    grid.expect_said("Saved: 3 masks.")


@pytest.mark.long
def test_a_list_that_does_not_come_is_said_and_tried_again(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, boxes: list[tuple[int, Target]]
) -> None:
    labeler.open(served.url)
    page.route("**/datasets/*/figures*", lambda route: route.abort())
    page.get_by_role("button", name="Batched Smart Tool").click()
    grid.expect_said("The workspace does not answer.")
    page.unroute_all()
    grid.press("Try again")
    grid.expect_states(new=4)
    expect(grid.root.locator(".said")).to_be_hidden()


def test_one_bad_cell_says_so_and_is_tried_again(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, boxes: list[tuple[int, Target]]
) -> None:
    labeler.open(served.url)
    grid.open()

    def spoil(route: Route) -> None:
        """The third item names an image that is not there."""
        body = json.loads(route.request.post_data or "{}")
        context = body["context"]
        context.get("data_to_process", {"2": context})["2"]["image_id"] = 999_999
        route.continue_(post_data=json.dumps(body))

    page.route("**/smart_segmentation*", spoil)
    grid.press("Segment all")
    grid.expect_states(mask=3, failed=1)
    grid.expect_said("1 object without a mask.")
    bad = grid.cell(2)
    expect(bad).to_have_attribute("data-state", "failed")
    expect(bad).to_contain_text("No mask.")
    bad.get_by_role("button", name="Try object").click()
    expect(bad.locator(".reason")).to_contain_text("999999", timeout=WAIT_MS)
    expect(bad.locator(".reason")).to_contain_text("request ")
    page.screenshot(path=SCREENSHOTS / "batch-bad.png")
    page.unroute("**/smart_segmentation*")
    bad.get_by_role("button", name="Try object").click()
    grid.expect_states(mask=4, failed=0)


@pytest.mark.long
def test_an_error_of_the_whole_request_loses_nothing(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, boxes: list[tuple[int, Target]]
) -> None:
    labeler.open(served.url)
    grid.open()
    grid.click(0, *boxes[0][1].inside)
    served.stop_model()
    with page.expect_request(BATCHED) as refused:
        grid.press("Segment all")
    grid.expect_said("Serve")
    grid.expect_said(refused.value.headers["x-request-id"])
    grid.expect_states(new=4)
    page.screenshot(path=SCREENSHOTS / "batch-error.png")
    served.serve_nano()
    with page.expect_request(BATCHED) as asked:
        grid.press("Try again")
    grid.expect_states(mask=4)
    first = sent(asked.value)["context"]["data_to_process"]["0"]
    assert first["positive"] == pairs(boxes[0][1].inside)


@pytest.mark.long
def test_saving_that_breaks_in_the_middle_is_told_exactly(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, boxes: list[tuple[int, Target]]
) -> None:
    """One mask a change: the second is done, but its answer is lost."""

    def small_parts(route: Route) -> None:
        source = route.fetch().text()
        assert "MOST_FIGURES = 500" in source
        changed = source.replace("MOST_FIGURES = 500", "MOST_FIGURES = 1")
        route.fulfill(body=changed, content_type="text/javascript")

    page.route("**/static/batch_steps.js", small_parts)
    labeler.open(served.url)
    grid.open()
    grid.press("Segment all")
    grid.expect_states(mask=4)
    calls: list[str] = []

    def lose_second(route: Route) -> None:
        calls.append(sent(route.request)["key"])
        if len(calls) == 2:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route(CHANGES, lose_second)
    grid.press("Save 4 masks")
    grid.expect_said("Saved: 1. Not known, for no answer came: 1")
    grid.expect_said("Not saved: 2.")
    page.screenshot(path=SCREENSHOTS / "batch-broken.png")
    assert [one["geometryType"] for one in _figures(served)].count("bitmap") == 2
    grid.press("Try again")
    grid.expect_said("Saved: 3 masks.")
    assert calls[1] == calls[2]
    assert [one["geometryType"] for one in _figures(served)] == ["bitmap"] * 4
    grid.expect_states(saved=4)
    page.keyboard.press("Control+z")
    grid.expect_said("Undone: 3 figures")
    page.keyboard.press("Control+z")
    grid.expect_said("Undone: 1 figure ")
    assert [one["geometryType"] for one in _figures(served)] == ["rectangle"] * 4


@pytest.mark.long
def test_a_figure_that_somebody_else_changed_is_not_overwritten_unseen(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, boxes: list[tuple[int, Target]]
) -> None:
    labeler.open(served.url)
    grid.open()
    grid.press("Segment all")
    grid.expect_states(mask=4)
    gone = _figures(served)[0]
    served.client.delete(f"{served.url}/workspace/api/figures/{gone['id']}").raise_for_status()
    grid.press("Save 4 masks")
    grid.expect_said("Saved: 3 masks. 1 object gone: deleted elsewhere.")
    grid.expect_states(saved=3)
    assert len(_figures(served)) == 3


@pytest.mark.long
def test_hundreds_are_paged_and_keep_their_work(
    served: Demo, page: Page, labeler: Labeler, grid: Grid
) -> None:
    image = _images(served)[0]
    places = [(8 * column, 20 * row) for row in range(20) for column in range(10)]
    _add_boxes(served, *((image["id"], (x, y, x + 60, y + 50)) for x, y in places))
    labeler.open(served.url)
    crops: list[str] = []
    page.on("request", lambda one: crops.append(one.url) if "/crop?" in one.url else None)
    grid.open()
    expect(grid.root).to_contain_text("200 objects on 1 image")
    expect(grid.root.locator("li.cell")).to_have_count(48)
    page.wait_for_timeout(300)
    assert len(crops) < 48  # only what is in sight, and a row more
    grid.click(2, 20, 12)
    grid.expect_states(new=48)
    page.screenshot(path=SCREENSHOTS / "batch-pages.png")
    for name, first in (("Next page", 49), ("Next page", 97), ("Previous page", 49)):
        grid.press(name)
        expect(grid.root.locator(".range")).to_contain_text(f"{first} – ")
    grid.press("Previous page")
    # Between two frames nothing takes long, though every cell in sight is drawn anew.
    worst = page.evaluate(
        """async () => {
          const grid = document.querySelector(".cells");
          let worst = 0, before = performance.now();
          for (let at = 0; at < 60; at += 1) {
            grid.scrollTop += 40;
            await new Promise(requestAnimationFrame);
            worst = Math.max(worst, performance.now() - before);
            before = performance.now();
          }
          return worst;
        }"""
    )
    assert worst < 500
    with page.expect_request(BATCHED) as asked:
        grid.press("Segment all")
    contexts = sent(asked.value)["context"]["data_to_process"]
    assert len(contexts) == 200
    assert contexts["2"]["positive"] == pairs((20, 12))
    expect(grid.root.locator(".busy")).to_contain_text("200 objects")
    grid.press("Cancel")
    grid.expect_said("Cancelled.")
    grid.expect_states(new=48)


@pytest.mark.parametrize("size", ["Small", "Large"])
def test_mask_and_crop_lie_on_the_same_pixels(
    served: Demo, page: Page, labeler: Labeler, grid: Grid, scenes: list[Scene], size: str
) -> None:
    x, y = _busiest(scenes[0].image)
    _add_boxes(served, (_images(served)[0]["id"], (x - 15, y - 15, x + 14, y + 14)))
    inside = (x - 6, y - 6, x + 5, y + 5)
    _, data = encode_bitmap(np.ones((12, 12), bool))
    answer = {"origin": {"x": inside[0], "y": inside[1]}, "bitmap": data, "success": True}
    page.route(BATCHED, lambda route: route.fulfill(json={"0": answer}))
    labeler.open(served.url)
    grid.open()
    grid.root.get_by_label("Size of the objects").select_option(size)
    edges = [(inside[0] - 1, y), (inside[0], y), (inside[2], y), (inside[2] + 1, y),
             (x, inside[1] - 1), (x, inside[1]), (x, inside[3]), (x, inside[3] + 1)]  # fmt: skip
    spots = edges + [(x + right, y + down) for right in range(-2, 3) for down in range(-2, 3)]
    page.wait_for_timeout(200)
    pixels = scenes[0].image
    for (x, y), seen in zip(spots, _seen(grid, spots), strict=True):
        assert seen == pytest.approx(pixels[y, x].tolist(), abs=3), (x, y)
    grid.press("Segment all")
    grid.expect_states(mask=1)
    expect(grid.cell(0)).to_have_attribute("data-drawn", "mask")
    page.wait_for_timeout(100)
    for (x, y), seen in zip(edges, _seen(grid, edges), strict=True):
        within = inside[0] <= x <= inside[2] and inside[1] <= y <= inside[3]
        same = np.abs(np.subtract(seen, pixels[y, x].astype(int))).max() <= 3
        assert same is not within, (x, y)


def _busiest(image: np.ndarray) -> tuple[int, int]:
    """The pixel, not near the border, whose surroundings change most both ways."""
    gray = image.astype(float).sum(axis=2)
    across, down = (np.abs(np.diff(gray, axis=axis, append=0)) for axis in (1, 0))
    change = np.minimum(across, down)[40:-40, 40:-40]
    y, x = np.unravel_index(change.argmax(), change.shape)
    return int(x) + 40, int(y) + 40


def _seen(grid: Grid, spots: list[tuple[int, int]]) -> list[list[int]]:
    """The colours that the first cell's canvas shows at the middles of an image's pixels."""
    found = (
        grid.cell(0)
        .locator("canvas")
        .evaluate(
            """(canvas, spots) => spots.map(([x, y]) => {
          const { scale, x: left, y: top } = canvas.dataset;
          const at = (value, offset) => Math.floor((value + 0.5) * scale + Number(offset));
          const context = canvas.getContext("2d");
          return Array.from(context.getImageData(at(x, left), at(y, top), 1, 1).data.slice(0, 3));
        })""",
            spots,
        )
    )
    return list(found)


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name(
    served: Demo, page: Page, labeler: Labeler, grid: Grid,
    boxes: list[tuple[int, Target]], scheme: Any,
) -> None:  # fmt: skip
    page.emulate_media(color_scheme=scheme)
    labeler.open(served.url)
    grid.open()
    grid.press("Segment all")
    grid.expect_states(mask=4)
    for control in grid.root.locator("button, select, canvas").all():
        name = control.get_attribute("aria-label") or control.text_content() or ""
        assert name.strip(), control.evaluate("node => node.outerHTML")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    # One object is a stop of the Tab key, not all of them.
    assert grid.root.locator("li.cell canvas[tabindex='0']").count() == 1
    page.screenshot(path=SCREENSHOTS / f"batch-{scheme}.png")
