"""Boxes to masks and polygons in bulk: `/inference_boxes`, as the workspace's page asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervisely as sly
from live import Platform, RunningApp
from pictures import boxes_all_over

from sam2_serving.masks.cleanup import Cleanup

SIZE = (240, 320)
FILL = Cleanup(hole_area=2**31 - 1)


def box_of(platform: Platform, name: str = "scene0") -> list[int]:
    a, b = platform.objects[name].crop
    return [a["y"], a["x"], b["y"], b["x"]]


def ask(
    app: RunningApp, platform: Platform, boxes: Any, name: str = "scene0", **settings: Any
) -> dict[str, Any]:
    state = {"image_id": platform.images[name], "boxes": boxes, "settings": settings}
    answer = app.post("inference_boxes", platform.envelope({}, state))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert len(found["results"]) == len(boxes)
    return found


def drawn(result: dict[str, Any]) -> np.ndarray:
    """Draw an entry with the SDK's own geometries."""
    kind = {"bitmap": sly.Bitmap, "polygon": sly.Polygon, "rectangle": sly.Rectangle}
    canvas = np.zeros(SIZE, np.uint8)
    for geometry in result["geometries"]:
        kind[result["geometryType"]].from_json(geometry).draw(canvas, 1)
    return canvas.astype(bool)


def ragged_box(app: RunningApp, platform: Platform, **exact: Any) -> list[int]:
    """Return the first box whose mask has several parts and a hole: which, the weights decide."""
    corners = boxes_all_over(SIZE)
    boxes = [list(map(int, (y0, x0, y1 - 1, x1 - 1))) for x0, y0, x1, y1 in corners]
    for box, found in zip(boxes, ask(app, platform, boxes, **exact)["results"], strict=True):
        if found and len(found["geometries"]) > 1:
            mask = drawn(found)
            if (FILL.apply(mask) != mask).any():
                return box
    raise AssertionError("no box has a mask of several parts with a hole")


def test_each_box_has_the_mask_that_the_smart_tool_gives(
    app: RunningApp, platform: Platform
) -> None:
    boxes = [box_of(platform), [20, 20, 120, 160], [200, 300, 260, 400], *[box_of(platform)] * 18]
    found = ask(app, platform, boxes)
    assert found["size"] == {"height": 240, "width": 320}
    for box, result in list(zip(boxes, found["results"], strict=True))[:3]:
        crop = [{"x": box[1], "y": box[0]}, {"x": box[3], "y": box[2]}]
        context = {"image_id": platform.images["scene0"], "crop": crop}
        one = {"a": {**context, "positive": [], "negative": []}}
        tool = app.post("smart_segmentation_batched", platform.envelope({"data_to_process": one}))
        alone = tool.json()["a"]
        mask = drawn(result)
        # the Smart Tool cuts what it gives to the box
        mask[: box[0]] = mask[box[2] + 1 :] = mask[:, : box[1]] = mask[:, box[3] + 1 :] = False
        if alone is None:
            assert not mask.any()
            continue
        expected = np.zeros(SIZE, np.uint8)
        sly.Bitmap(
            sly.Bitmap.base64_2_data(alone["bitmap"]),
            sly.PointLocation(alone["origin"]["y"], alone["origin"]["x"]),
        ).draw(expected, 1)
        assert np.array_equal(mask, expected.astype(bool))
    assert len({json.dumps(result) for result in found["results"][3:]}) == 1
    alone = ask(app, platform, boxes[:1])["results"][0]
    assert alone == found["results"][0], "an answer depends on its neighbours"


BAD: list[Any] = [
    None, 7, "1,2,3,4", [], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, None], ["1", 2, 3, 4],
    [1.5, 2, 3, 4], [True, 2, 3, 4], [[1], 2, 3, 4], {"top": 1}, [1e30, 2, 3, 4],
    [10**30, 2, 3, 4], [500, 500, 600, 600], [-20, -20, -10, -10],
]  # fmt: skip


def test_a_bad_box_is_an_error_of_its_own(app: RunningApp, platform: Platform) -> None:
    good = box_of(platform)
    found = ask(app, platform, [good, *BAD, good, [good[2], good[3], good[0], good[1]]])
    first, *bad, last, turned = found["results"]
    assert first == last == turned
    assert first["geometryType"] == "bitmap"
    assert 0 < first["predicted_iou"] <= 1.5
    for given, result in zip(BAD, bad, strict=True):
        assert set(result) == {"error"}, (given, result)
    assert "320 x 240" in bad[-1]["error"]
    assert "top, left, bottom, right" in bad[0]["error"]


def test_polygons_rectangles_and_clean_up(app: RunningApp, platform: Platform) -> None:
    exact = {"output_geometry": "polygon", "polygon_tolerance": 0}
    box = ragged_box(app, platform, **exact)
    (mask,) = ask(app, platform, [box])["results"]
    (outlines,) = ask(app, platform, [box], **exact)["results"]
    assert np.array_equal(drawn(outlines), drawn(mask))
    parts = outlines["geometries"]
    (largest,) = ask(app, platform, [box], **exact, largest_only=True)["results"]
    pixels = [drawn({**outlines, "geometries": [part]}).sum() for part in parts]
    assert largest["geometries"] == [parts[int(np.argmax(pixels))]]
    (full,) = ask(app, platform, [box], **exact, hole_area=FILL.hole_area)["results"]
    assert np.array_equal(drawn(full), FILL.apply(drawn(mask)))
    (rough,) = ask(app, platform, [box], output_geometry="polygon", polygon_tolerance=5)["results"]
    corners = [
        sum(len(part["points"]["exterior"]) for part in some["geometries"])
        for some in (outlines, rough)
    ]
    assert corners[1] < corners[0] / 2
    (boxed,) = ask(app, platform, [box], output_geometry="rectangle")["results"]
    rows, columns = np.nonzero(drawn(mask))
    assert boxed["geometries"][0]["points"]["exterior"] == [
        [columns.min(), rows.min()], [columns.max(), rows.max()],
    ]  # fmt: skip


def test_a_file_gives_what_the_image_gives(
    app: RunningApp, platform: Platform, media_folder: Path
) -> None:
    boxes = [box_of(platform), None, [20, 20, 120, 160]]
    by_id = ask(app, platform, boxes, output_geometry="polygon")
    content = (media_folder / "open" / "scene0.png").read_bytes()
    state = {"boxes": boxes, "settings": {"output_geometry": "polygon"}}

    def send(files: Any, data: Any) -> Any:
        return app.client.post("/inference_boxes_file", files=files, data=data)

    answer = send([("files", ("a.png", content))], {"state": json.dumps(state)})
    assert answer.status_code == 200, answer.text
    assert answer.json() == by_id
    for files, data in (
        ([("files", ("a.png", content))] * 2, {"state": json.dumps(state)}),
        ([("files", ("a.png", b"no picture"))], {"state": json.dumps(state)}),
        ([("files", ("a.png", content))], {}),
        ([("files", ("a.png", content))], {"state": "[]"}),
        ([("files", ("a.png", content))], {"state": '{"boxes": 5}'}),
        ([("files", ("a.png", content))], {"state": '{"boxes": [[NaN, 1, 2, 3]]}'}),
        ([("other", ("a.png", content))], {"state": json.dumps(state)}),
    ):
        answer = send(files, data)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["request_id"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"boxes": None}, "boxes"),
        ({"boxes": {"0": [1, 2, 3, 4]}}, "boxes"),
        ({"boxes": [[1, 2, 3, 4]] * 10_001}, "boxes"),
        ({"image_id": "5"}, "image_id"),
        ({"image_id": None}, "image_id"),
        ({"settings": 5}, "settings"),
        ({"settings": {"output_geometry": "cuboid"}}, "output_geometry"),
        ({"settings": {"polygon_tolerance": -1}}, "polygon_tolerance"),
        ({"settings": {"largest_only": "yes"}}, "largest_only"),
    ],
)
def test_nonsense_is_named(
    app: RunningApp, platform: Platform, change: dict[str, Any], said: str
) -> None:
    state = {"image_id": platform.images["scene0"], "boxes": [], **change}
    answer = app.post("inference_boxes", platform.envelope({}, state))
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["message"]


def test_no_boxes_and_no_token(app: RunningApp, platform: Platform) -> None:
    assert ask(app, platform, [])["results"] == []
    state = {"image_id": platform.images["scene0"], "boxes": [[1, 2, 3, 4]]}
    assert app.post("inference_boxes", {"state": state}).status_code == 401
    wrong = platform.envelope({}, {**state, "image_id": 987654})
    assert app.post("inference_boxes", wrong).status_code == 404
