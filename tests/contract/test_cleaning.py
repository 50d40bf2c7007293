"""Every tool cleans its masks alike, and only if it is asked to.

What a cleaned mask is, tests/unit/masks/test_cleanup.py says; here it is compared with what a tool
answers without the settings.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import cv2
import numpy as np
import pytest
from live import Platform, RunningApp
from pictures import CLIP, CLIP_OBJECTS, boxes_all_over
from timeline import geometry_of
from timeline import mask_of as tracked_mask

from sam2_serving.masks import Box, decode_bitmap, find_polygons
from sam2_serving.masks.cleanup import Cleanup

SIZE = (240, 320)
WHOLE = Box(0, 0, 320, 240)
CLEANUPS = {
    "holes": Cleanup(hole_area=2**31 - 1),
    "islands": Cleanup(island_area=200),
    "clicked": Cleanup(keep_clicked=True),
    "largest": Cleanup(largest_only=True),
    "all": Cleanup(60, 60, keep_clicked=True, largest_only=True),
}


def crop_of(box: Box) -> list[dict[str, int]]:
    x0, y0, x1, y1 = map(int, box)
    return [{"x": x0, "y": y0}, {"x": x1 - 1, "y": y1 - 1}]


def deepest(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) that is farthest from the mask's edge."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(depth.argmax(), SIZE)
    return int(x), int(y)


def told(cleanup: Cleanup) -> dict[str, Any]:
    return {
        "hole_area": cleanup.hole_area,
        "island_area": cleanup.island_area,
        "keep_clicked": cleanup.keep_clicked,
        "largest_only": cleanup.largest_only,
    }


def drawn(bitmap: str, origin: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    tight = decode_bitmap(bitmap)
    x, y = origin
    mask[y : y + tight.shape[0], x : x + tight.shape[1]] = tight
    return mask


class Tools:
    """The ways to ask about a box of a scene, by default one whose mask needs every cleanup."""

    def __init__(self, app: RunningApp, platform: Platform) -> None:
        self.app, self.platform = app, platform
        self.image = platform.images["scene0"]

    @cached_property
    def box(self) -> Box:
        """The first box whose mask has islands, large and small, and a hole: the weights decide."""
        wanted = [one for name, one in CLEANUPS.items() if name != "clicked"]
        for box in boxes_all_over(SIZE):
            mask = self.smart_tool({}, crop_of(box))
            if all(np.any(one.apply(mask) != mask) for one in wanted):
                return box
        raise AssertionError("no box of the scene gives a mask that needs every cleanup")

    @property
    def crop(self) -> list[dict[str, int]]:
        return crop_of(self.box)

    @property
    def sides(self) -> list[int]:
        """The box as `/inference...` takes it: top, left, bottom, right, inclusive."""
        first, last = self.crop
        return [first["y"], first["x"], last["y"], last["x"]]

    def context(self, crop: Any, clicks: Any = ()) -> dict[str, Any]:
        return {"image_id": self.image, "crop": crop, "positive": [*clicks], "negative": []}

    def post(self, route: str, context: Any, state: Any) -> Any:
        answer = self.app.post(route, self.platform.envelope(context, state))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def smart_tool(self, settings: Any, crop: Any, clicks: Any = ()) -> np.ndarray:
        found = self.post("smart_segmentation", self.context(crop, clicks), {"settings": settings})
        if found["bitmap"] is None:  # nothing is in the box
            return np.zeros(SIZE, bool)
        return drawn(found["bitmap"], (found["origin"]["x"], found["origin"]["y"]))

    def batch(self, settings: Any) -> np.ndarray:
        state = {"settings": settings}
        (one,) = self.post("smart_segmentation_batch", {"states": [self.context(self.crop)]}, state)
        return drawn(one["bitmap"], (one["origin"]["x"], one["origin"]["y"]))

    def batched(self, settings: Any) -> np.ndarray:
        items = {"data_to_process": {"a": self.context(self.crop)}}
        one = self.post("smart_segmentation_batched", items, {"settings": settings})["a"]
        return drawn(one["bitmap"], (one["origin"]["x"], one["origin"]["y"]))

    def _figure(self, settings: Any, **more: Any) -> np.ndarray:
        state = {"image_id": self.image, "settings": settings, **more}
        (one,) = self.post("inference_image_id", {}, state)["annotation"]["objects"]
        return drawn(one["bitmap"]["data"], one["bitmap"]["origin"])

    def bbox(self, settings: Any) -> np.ndarray:
        return self._figure({**settings, "mode": "bbox", "bbox_coordinates": self.sides})

    def boxes(self, settings: Any) -> np.ndarray:
        state = {"image_id": self.image, "boxes": [self.sides], "settings": settings}
        (one,) = self.post("inference_boxes", {}, state)["results"]
        (figure,) = one["geometries"]
        return drawn(figure["bitmap"]["data"], figure["bitmap"]["origin"])


@pytest.fixture(scope="module")
def tools(app: RunningApp, platform: Platform) -> Tools:
    return Tools(app, platform)


@pytest.mark.parametrize("cleanup", ["holes", "islands", "largest", "all"])
@pytest.mark.parametrize("tool", ["smart_tool", "batch", "batched", "bbox", "boxes"])
def test_of_a_box(tools: Tools, tool: str, cleanup: str) -> None:
    def ask(settings: Any) -> np.ndarray:
        more = [tools.crop] if tool == "smart_tool" else []
        return getattr(tools, tool)(settings, *more)

    mask, wanted = ask({}), CLEANUPS[cleanup]
    parts = find_polygons(mask)
    assert len(parts) > 1, "the case needs an island"
    assert any(part.holes for part in parts), "the case needs a hole"
    expected = wanted.apply(mask)
    assert not np.array_equal(expected, mask), "the case needs a mask that is changed"
    assert np.array_equal(ask(told(wanted)), expected)
    assert np.array_equal(ask(dict.fromkeys(told(wanted))), mask), "null keeps the default"


def test_the_smart_tool_keeps_what_is_clicked(tools: Tools) -> None:
    for box in boxes_all_over(SIZE):
        crop = crop_of(box)
        first = tools.smart_tool({}, crop)
        x, y = deepest(first)
        clicks = [{"x": x, "y": y}]
        mask = tools.smart_tool({}, crop, clicks)
        expected = Cleanup(keep_clicked=True).apply(mask, [(x, y)])
        if not np.array_equal(expected, mask):
            break
    else:
        raise AssertionError("no mask has parts that nobody clicked")
    assert np.array_equal(tools.smart_tool({"keep_clicked": True}, crop, clicks), expected)


def test_the_smart_tool_counts_what_is_inside_the_crop(tools: Tools) -> None:
    # the crop only cuts here: the mask that is cut is known
    whole = {"use_box": False}
    click = tools.platform.objects["scene0"].click
    beside = {"x": click["x"] - 3, "y": click["y"] - 10}
    crop = [beside, {"x": click["x"] + 30, "y": click["y"] + 30}]
    mask = tools.smart_tool(whole, crop=None, clicks=[click])
    box = Box.from_inclusive(beside["x"], beside["y"], click["x"] + 30, click["y"] + 30)
    assert np.array_equal(tools.smart_tool(whole, crop, [click]), box.cut(mask))
    found = tools.smart_tool({**whole, **told(CLEANUPS["all"])}, crop, [click])
    expected = CLEANUPS["all"].apply(mask, [(click["x"], click["y"])], within=box)
    assert np.array_equal(found, expected)


def test_everything_in_the_image(tools: Tools) -> None:
    raw = {
        "mode": "raw", "points_per_side": 4, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3,
    }  # fmt: skip

    def find(settings: Any) -> list[np.ndarray]:
        state = {"image_id": tools.image, "settings": {**raw, **settings}}
        objects = tools.post("inference_image_id", {}, state)["annotation"]["objects"]
        return [drawn(one["bitmap"]["data"], one["bitmap"]["origin"]) for one in objects]

    masks, wanted = find({}), CLEANUPS["all"]
    expected = [wanted.apply(mask) for mask in masks]
    assert any((one != other).any() for one, other in zip(masks, expected, strict=True))
    assert np.array_equal(find(told(wanted)), expected)


def test_track(tools: Tools) -> None:
    two = CLIP.masks[0, CLIP_OBJECTS[0]] | CLIP.masks[0, CLIP_OBJECTS[1]]
    start = {"type": "bitmap", "data": geometry_of(two, "bitmap")}
    context = {"videoId": tools.platform.others["clip"], "frameIndex": 0, "frames": 3}
    context["input_geometries"] = [start]

    def track(settings: Any) -> list[np.ndarray]:
        rows = tools.post("track-api", context, {"settings": settings})
        return [tracked_mask(row[0]["type"], row[0]["data"]) for row in rows]

    masks = track({})
    assert all(len(find_polygons(mask)) > 1 for mask in masks), "the case needs an island"
    for wanted in (CLEANUPS["largest"], Cleanup(hole_area=50, island_area=100_000)):
        expected = [wanted.apply(mask) for mask in masks]
        assert np.array_equal(track(told(wanted)), expected)


NONSENSE: list[dict[str, Any]] = [
    {"hole_area": -1}, {"hole_area": "5"}, {"hole_area": 1e300}, {"hole_area": 1.5},
    {"island_area": True}, {"island_area": 2**31}, {"island_area": [5]},
    {"keep_clicked": 1}, {"largest_only": "yes"}, {"largest_only": {}},
]  # fmt: skip


@pytest.mark.parametrize("settings", NONSENSE, ids=str)
def test_nonsense_is_named(tools: Tools, settings: dict[str, Any]) -> None:
    (name,) = settings
    clip = {"videoId": tools.platform.others["clip"], "frameIndex": 0, "frames": 1}
    figure = {"type": "bitmap", "data": geometry_of(CLIP.masks[0, CLIP_OBJECTS[0]], "bitmap")}
    for route, context, state in (
        ("smart_segmentation", tools.context(crop_of(WHOLE)), {}),
        (
            "smart_segmentation_batched",
            {"data_to_process": {"a": tools.context(crop_of(WHOLE))}},
            {},
        ),
        ("inference_image_id", {}, {"image_id": tools.image}),
        ("inference_boxes", {}, {"image_id": tools.image, "boxes": [[0, 0, 9, 9]]}),
        ("track-api", {**clip, "input_geometries": [figure]}, {}),
    ):
        body = tools.platform.envelope(context, {**state, "settings": settings})
        answer = tools.app.post(route, body)
        assert answer.status_code == 400, (route, answer.text)
        assert name in answer.json()["message"]
