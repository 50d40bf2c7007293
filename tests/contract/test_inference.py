"""Apply the model over HTTP, as NN Image Labeling and Apply-NN ask for it (contract, 5.3)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import supervisely as sly
import yaml
from live import DrawnObject, Platform, RunningApp
from pictures import CLIP
from supervisely.convert.image.sly.sly_image_helper import get_meta_from_annotation

from sam2_serving.masks import decode_rle, encode_bitmap
from sam2_serving.pretrained import MODELS_FILE

SIZE = (240, 320)
FEW_POINTS = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
BOX = {"mode": "bbox", "bbox_coordinates": [10, 10, 90, 90]}
CLASS_OF_THE_APP = sly.ProjectMeta([sly.ObjClass("object_mask", sly.Bitmap)])


def defaults() -> dict[str, Any]:
    """The settings as NN Image Labeling gets them, edits and sends them back: all keys."""
    text = MODELS_FILE.with_name("inference_settings.yaml").read_text()
    settings: dict[str, Any] = yaml.safe_load(text)
    return settings


def body(platform: Platform, state: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return platform.envelope({}, state, **extra)


def ask(
    app: RunningApp, platform: Platform, settings: dict[str, Any], name: str = "scene0", **more: Any
) -> dict[str, Any]:
    state = {"image_id": platform.images[name], "settings": settings, **more}
    answer = app.post("inference_image_id", body(platform, state))
    assert answer.status_code == 200, answer.text
    prediction: dict[str, Any] = answer.json()
    return prediction


def refused(
    app: RunningApp,
    platform: Platform,
    settings: Any,
    route: str = "inference_image_id",
    **more: Any,
) -> str:
    state = {"image_id": platform.images["scene0"], "settings": settings, **more}
    answer = app.post(route, body(platform, state))
    assert 400 <= answer.status_code < 500, answer.text
    return str(answer.json()["message"])


def labels_of(prediction: dict[str, Any]) -> list[sly.Label]:
    """Read the annotation as the clients do."""
    meta = get_meta_from_annotation(prediction["annotation"], CLASS_OF_THE_APP)
    annotation = sly.Annotation.from_json(prediction["annotation"], meta)
    assert annotation.img_size == SIZE
    return list(annotation.labels)


def masks_of(prediction: dict[str, Any]) -> list[np.ndarray]:
    masks = []
    for label in labels_of(prediction):
        canvas = np.zeros(SIZE, np.uint8)
        label.geometry.draw(canvas, 1)
        masks.append(canvas.astype(bool))
    return masks


def box_of(drawn: DrawnObject) -> list[int]:
    """Top, left, bottom, right."""
    (a, b) = drawn.crop
    return [a["y"], a["x"], b["y"], b["x"]]


def rectangle(top: int, left: int, bottom: int, right: int) -> dict[str, Any]:
    return sly.Rectangle(top, left, bottom, right).to_json()


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other)))


# The modes, as NN Image Labeling asks for them


def test_raw_finds_the_drawn_objects(app: RunningApp, platform: Platform) -> None:
    prediction = ask(app, platform, {**defaults(), **FEW_POINTS, "mode": "raw"})
    masks = masks_of(prediction)
    assert {label.obj_class.name for label in labels_of(prediction)} == {"object_mask"}
    assert len(masks) >= 3
    assert max(iou(mask, platform.objects["scene0"].mask) for mask in masks) > 0.8
    assert prediction["image_id"] == platform.images["scene0"]
    assert prediction["name"] == prediction["image_name"] == "scene0.png"
    assert prediction["dataset_id"] == platform.datasets["open"]
    assert prediction["data"] == {}
    assert len(prediction["found"]) == len(masks)
    for found, mask in zip(prediction["found"], masks, strict=True):
        assert found["area"] == np.count_nonzero(mask)
        assert 0.5 < found["predicted_iou"] <= 1.5
        assert 0.5 <= found["stability_score"] <= 1
    assert prediction == ask(app, platform, {**defaults(), **FEW_POINTS, "mode": "raw"})


def test_points(app: RunningApp, platform: Platform) -> None:
    drawn = platform.objects["scene0"]
    points = [
        [drawn.click["x"], drawn.click["y"]],
        [drawn.click_beside["x"], drawn.click_beside["y"]],
    ]
    settings = {
        **defaults(),
        "mode": "points",
        "input_image_id": platform.images["scene0"],
        "point_coordinates": points,
        "point_labels": [1, 0],
    }
    prediction = ask(app, platform, settings)
    (mask,) = masks_of(prediction)
    assert iou(mask, drawn.mask) > 0.5
    assert labels_of(prediction)[0].obj_class.name == "object_mask"
    clicks = {"positive": [drawn.click], "negative": [drawn.click_beside]}
    context = {"image_id": platform.images["scene0"], **clicks}
    tool = app.post("smart_segmentation", platform.envelope(context)).json()
    shape = prediction["annotation"]["objects"][0]["bitmap"]
    assert shape == {"origin": [tool["origin"]["x"], tool["origin"]["y"]], "data": tool["bitmap"]}


def test_a_polyline_is_asked_for_with_a_box_that_is_no_prompt(
    app: RunningApp, platform: Platform
) -> None:
    drawn = platform.objects["scene0"]
    top, left, bottom, right = box_of(drawn)
    settings = {
        **defaults(),
        "mode": "points",
        "point_coordinates": [[drawn.click["x"], drawn.click["y"]]],
        "point_labels": [1],
        "points_class_name": "river_mask",
        "init_mask": None,
        "bbox_coordinates": [top, left, bottom, right],
    }
    region = rectangle(top, left, bottom, right)
    prediction = ask(app, platform, settings, rectangle=region)
    assert labels_of(prediction)[0].obj_class.name == "river_mask"
    assert ask(app, platform, settings | {"bbox_coordinates": None}, rectangle=region) == prediction


@pytest.mark.parametrize("mode", ["bbox", "combined"])
def test_box(app: RunningApp, platform: Platform, mode: str) -> None:
    drawn = platform.objects["scene1"]
    settings = {
        **defaults(),
        "mode": mode,
        "input_image_id": platform.images["scene1"],
        "bbox_coordinates": box_of(drawn),
        "bbox_class_name": "car",
    }
    if mode == "combined":
        settings |= {
            "point_coordinates": [[drawn.click["x"], drawn.click["y"]]],
            "point_labels": [1],
        }
    prediction = ask(app, platform, settings, "scene1", rectangle=rectangle(*box_of(drawn)))
    (mask,) = masks_of(prediction)
    assert iou(mask, drawn.mask) > 0.8
    assert labels_of(prediction)[0].obj_class.name == "car_mask"
    clicks = [drawn.click] if mode == "combined" else []
    context = {"image_id": platform.images["scene1"], "crop": drawn.crop}
    tool = app.post(
        "smart_segmentation", platform.envelope({**context, "positive": clicks, "negative": []})
    )
    assert prediction["annotation"]["objects"][0]["bitmap"]["data"] == tool.json()["bitmap"]


def test_a_class_of_one_request_is_not_in_the_next(app: RunningApp, platform: Platform) -> None:
    """Contract 7.1-22."""
    before = app.post("get_output_classes_and_tags").json()
    ask(
        app,
        platform,
        {"mode": "bbox", "bbox_coordinates": [10, 10, 90, 90], "bbox_class_name": "x"},
    )
    assert app.post("get_output_classes_and_tags").json() == before
    assert [one["title"] for one in before["classes"]] == ["object_mask"]


def test_no_floor_of_a_second(app: RunningApp, platform: Platform) -> None:
    """Contract 7.2 S3."""
    ask(app, platform, BOX)
    begun = time.perf_counter()
    for _ in range(5):
        ask(app, platform, BOX)
    assert time.perf_counter() - begun < 2.5, "five stored images"


def test_many_boxes(app: RunningApp, platform: Platform) -> None:
    drawn = platform.objects["scene0"]
    outside, whole = [500, 500, 600, 600], box_of(drawn)
    boxes = [whole, outside, [20, 20, 120, 160], *([whole] * 20)]
    many = ask(app, platform, {"mode": "bbox", "bbox_coordinates": boxes})
    prompts = [found["prompt"] for found in many["found"]]
    assert prompts == [0, *range(2, 23)]
    masks = masks_of(many)
    (alone,) = masks_of(ask(app, platform, {"mode": "bbox", "bbox_coordinates": whole}))
    for number, mask in zip(prompts, masks, strict=True):
        if number != 2:
            assert iou(mask, alone) > 0.999


def test_answers_of_prompts_are_cut_to_the_region(app: RunningApp, platform: Platform) -> None:
    drawn = platform.objects["scene0"]
    top, left, bottom, right = box_of(drawn)
    middle = (left + right) // 2
    settings = {"mode": "bbox", "bbox_coordinates": box_of(drawn)}
    (whole,) = masks_of(ask(app, platform, settings))
    region = rectangle(top, left, bottom, middle)
    (cut,) = masks_of(ask(app, platform, settings, rectangle=region))
    whole[:, middle + 1 :] = False
    assert np.array_equal(cut, whole)
    (beside,) = masks_of(ask(app, platform, {**settings, "rectangle": region}))
    assert np.array_equal(beside, cut)


def test_only_the_region_is_looked_at(app: RunningApp, platform: Platform) -> None:
    region = (40, 60, 199, 259)
    prediction = ask(app, platform, {**FEW_POINTS, "mode": "raw"}, rectangle=rectangle(*region))
    masks = masks_of(prediction)
    assert masks
    inside = np.zeros(SIZE, bool)
    inside[40:200, 60:260] = True
    assert not any((mask & ~inside).any() for mask in masks)
    truth = platform.objects["scene0"].mask & inside
    assert max(iou(mask, truth) for mask in masks) > 0.5
    for found in prediction["found"]:
        x, y = found["point"]
        assert inside[int(y), int(x)]
    # the whole image is another question, and the region's embedding is not taken for its
    assert ask(app, platform, {**FEW_POINTS, "mode": "raw"}) != prediction


def test_sliding_window(app: RunningApp, platform: Platform) -> None:
    windows = {"windowHeight": 160, "windowWidth": 160, "overlapY": 40, "overlapX": 40}
    settings = {**FEW_POINTS, "points_per_side": 4, "inference_mode": "sliding_window"}
    prediction = ask(app, platform, settings | {"sliding_window_params": windows})
    slides = prediction["data"]["slides"]
    corners = [slide["rectangle"]["points"]["exterior"] for slide in slides]
    assert corners[:6] == [
        [[0, 0], [159, 159]], [[120, 0], [279, 159]], [[160, 0], [319, 159]],
        [[0, 80], [159, 239]], [[120, 80], [279, 239]], [[160, 80], [319, 239]],
    ]  # fmt: skip
    assert corners[6:] == [[[0, 0], [319, 239]]] * 2
    counts = [len(slide["labels"]) for slide in slides]
    assert sum(counts[:6]) == counts[6] > counts[7] == len(prediction["annotation"]["objects"]) > 0
    boxes = [label.geometry.to_bbox() for label in labels_of(prediction)]
    assert len({(box.top, box.left, box.bottom, box.right) for box in boxes}) == len(boxes)
    changed = ask(
        app,
        platform,
        settings | {"sliding_window_params": windows | {"borderStrategy": "change_size"}},
    )
    assert changed["data"]["slides"][2]["rectangle"]["points"]["exterior"] == [[240, 0], [319, 159]]


def test_output_modes(app: RunningApp, platform: Platform) -> None:
    asked = {**FEW_POINTS, "mode": "raw", "rectangle": rectangle(40, 60, 199, 259)}
    masks = masks_of(ask(app, platform, asked))
    coded = ask(app, platform, asked | {"output_mode": "coco_rle"})
    for mask, found in zip(masks, coded["found"], strict=True):
        assert np.array_equal(decode_rle(found["segmentation"]), mask)
    plain = ask(app, platform, asked | {"output_mode": "uncompressed_rle"})
    for mask, found in zip(masks, plain["found"], strict=True):
        runs = found["segmentation"]["counts"]
        pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        assert np.array_equal(pixels.reshape(SIZE, order="F"), mask)


# How it is told


def test_output_geometry(app: RunningApp, platform: Platform) -> None:
    settings = {"mode": "bbox", "bbox_coordinates": box_of(platform.objects["scene0"])}
    (mask,) = masks_of(ask(app, platform, settings))
    exact = settings | {"output_geometry": "polygon", "polygon_tolerance": 0}
    outlines = labels_of(ask(app, platform, exact))
    assert all(isinstance(one.geometry, sly.Polygon) for one in outlines)
    drawn = np.logical_or.reduce(masks_of(ask(app, platform, exact)))
    assert np.array_equal(drawn, mask)
    rough = labels_of(ask(app, platform, exact | {"polygon_tolerance": 4}))
    corners = [sum(len(one.geometry.exterior) for one in some) for some in (outlines, rough)]
    assert corners[1] < corners[0] / 2
    (boxed,) = labels_of(ask(app, platform, settings | {"output_geometry": "rectangle"}))
    assert isinstance(boxed.geometry, sly.Rectangle)
    rows, columns = np.nonzero(mask)
    box = boxed.geometry
    assert (box.top, box.left) == (rows.min(), columns.min())
    assert (box.bottom, box.right) == (rows.max(), columns.max())


def two_dots() -> dict[str, Any]:
    """A mask prompt of two parts far from each other."""
    mask = np.zeros(SIZE, bool)
    mask[30:70, 30:70] = mask[150:230, 200:300] = True
    encoded = encode_bitmap(mask)
    assert encoded is not None
    return {"data": encoded[1], "origin": list(encoded[0])}


def test_largest_only_and_clean_up(app: RunningApp, platform: Platform) -> None:
    settings = {
        "mode": "points",
        "point_coordinates": [[250, 190], [50, 50]],
        "point_labels": [1, 1],
        "init_mask": two_dots(),
        "refine": "single",
        "output_geometry": "polygon",
        "polygon_tolerance": 0,
    }
    parts = masks_of(ask(app, platform, settings))
    assert len(parts) > 1, "the case needs a mask of several parts"
    largest = masks_of(ask(app, platform, settings | {"largest_only": True}))
    assert [int(one.sum()) for one in largest] == [max(int(one.sum()) for one in parts)]
    areas = sorted(int(one.sum()) for one in parts)
    fewer = masks_of(ask(app, platform, settings | {"island_area": areas[0] + 1}))
    assert len(fewer) < len(parts)
    clicked = masks_of(ask(app, platform, settings | {"keep_clicked": True}))
    assert all(one[190, 250] or one[50, 50] for one in clicked)


def test_an_initial_mask_in_the_form_of_a_figure(app: RunningApp, platform: Platform) -> None:
    prompts = {"mode": "points", "point_coordinates": [[250, 190]]}
    given = two_dots()
    one = ask(app, platform, prompts | {"init_mask": given})
    assert ask(app, platform, prompts | {"init_mask": {"bitmap": given}}) == one
    assert ask(app, platform, prompts)["annotation"] != one["annotation"]


def test_classes_are_a_choice(app: RunningApp, platform: Platform) -> None:
    assert ask(app, platform, BOX | {"classes": ["cat"]})["annotation"]["objects"] == []
    assert ask(app, platform, BOX | {"classes": ["object_mask"]})["annotation"]["objects"]


# What makes no sense

NONSENSE: dict[str, tuple[dict[str, Any], str]] = {
    "mode": ({"mode": "best"}, "mode"),
    "mode number": ({"mode": 5}, "mode"),
    "no points": ({"mode": "points"}, "point_coordinates"),
    "no box": ({"mode": "bbox"}, "bbox_coordinates"),
    "empty boxes": ({"mode": "bbox", "bbox_coordinates": []}, "bbox_coordinates"),
    "no prompts": ({"mode": "combined"}, "bbox_coordinates"),
    "labels": (
        {"mode": "points", "point_coordinates": [[1, 1]], "point_labels": [1, 0]},
        "point_labels",
    ),
    "label 2": (
        {"mode": "points", "point_coordinates": [[1, 1]], "point_labels": [2]},
        "point_labels",
    ),
    "label true": (
        {"mode": "points", "point_coordinates": [[1, 1]], "point_labels": [True]},
        "point_labels",
    ),
    "point text": ({"mode": "points", "point_coordinates": [["1", 1]]}, "point_coordinates"),
    "point outside": ({"mode": "points", "point_coordinates": [[320, 1]]}, "320 x 240"),
    "box outside": ({"mode": "bbox", "bbox_coordinates": [300, 400, 310, 410]}, "320 x 240"),
    "box of three": ({"mode": "bbox", "bbox_coordinates": [1, 2, 3]}, "bbox_coordinates"),
    "box of text": ({"mode": "bbox", "bbox_coordinates": "1,2,3,4"}, "bbox_coordinates"),
    "boxes and points": (
        {
            "mode": "combined",
            "bbox_coordinates": [[1, 2, 3, 4], [5, 6, 7, 8]],
            "point_coordinates": [[1, 1]],
        },
        "several boxes",
    ),
    "points_per_side text": ({"points_per_side": "32"}, "points_per_side"),
    "points_per_side 0": ({"points_per_side": 0}, "points_per_side"),
    "pred_iou_thresh": ({"pred_iou_thresh": 2}, "pred_iou_thresh"),
    "use_m2m": ({"use_m2m": "yes"}, "use_m2m"),
    "output_mode": ({"output_mode": "png"}, "output_mode"),
    "output_geometry": ({"output_geometry": "cuboid"}, "output_geometry"),
    "tolerance": ({"polygon_tolerance": -1}, "polygon_tolerance"),
    "largest_only": ({"largest_only": 1}, "largest_only"),
    "hole_area": ({"hole_area": -5}, "hole_area"),
    "replace_masks": ({"replace_masks": "no"}, "replace_masks"),
    "class number": ({"mode": "bbox", "bbox_class_name": 5}, "bbox_class_name"),
    "inference_mode": ({"inference_mode": "tiles"}, "inference_mode"),
    "windows": (
        {
            "inference_mode": "sliding_window",
            "sliding_window_params": {"windowHeight": 10, "overlapY": 10},
        },
        "overlap",
    ),
    "rectangle": ({"rectangle": [1, 2, 3, 4]}, "rectangle"),
    "rectangle outside": ({"rectangle": rectangle(300, 400, 310, 410)}, "320 x 240"),
    "init_mask": ({"mode": "points", "point_coordinates": [[1, 1]], "init_mask": 5}, "init_mask"),
    "init_mask nothing": (
        {
            "mode": "points",
            "point_coordinates": [[1, 1]],
            "init_mask": {"data": "eJw=", "origin": [0, 0]},
        },
        "mask",
    ),
    "refine": ({"mode": "bbox", "refine": "best"}, "refine"),
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_named(app: RunningApp, platform: Platform, name: str) -> None:
    settings, said = NONSENSE[name]
    assert said in refused(app, platform, settings)


# Apply-NN: many images


def test_batch_ids_under_all_their_names(app: RunningApp, platform: Platform) -> None:
    ids = [platform.images[name] for name in ("scene1", "scene0", "scene2", "scene1")]
    many = {"batch_ids": ids, "image_ids": ids, "images_ids": ids, "imageIds": ids}
    for name, value in {**many, "image_id": ids[0], "imageId": ids[0]}.items():
        state = {"dataset_id": platform.datasets["open"], name: value, "settings": BOX}
        answer = app.post("inference_batch_ids", body(platform, state))
        assert answer.status_code == 200, answer.text
        expected = value if isinstance(value, list) else [value]
        assert [one["image_id"] for one in answer.json()] == expected
    assert app.post("inference_batch_ids", body(platform, {"batch_ids": []})).json() == []
    assert app.post("inference_batch_ids", body(platform, {})).status_code == 400


def test_one_bad_image_is_named(app: RunningApp, platform: Platform) -> None:
    """Contract 7.2 S4: no list without a word; Apply-NN then asks one by one."""
    state = {"batch_ids": [platform.images["scene0"], 987654], "settings": BOX}
    answer = app.post("inference_batch_ids", body(platform, state))
    assert answer.status_code == 404
    assert "image 987654" in answer.json()["message"]


def test_the_token_of_the_request_counts(app: RunningApp, platform: Platform) -> None:
    state = {"image_id": platform.images["scene0"], "settings": {"mode": "raw"}}
    for route in ("inference_image_id", "inference_batch_ids", "inference_image_id_async"):
        assert app.post(route, {"state": state}).status_code == 401
    wrong = body(platform, state, api_token="someone-else")
    assert app.post("inference_image_id", wrong).status_code == 401


def test_requests_at_once_do_not_mix(app: RunningApp, platform: Platform) -> None:
    """Contract 7.1-3, 7.1-5: other images, regions, prompts and classes at the same time."""
    few = {**FEW_POINTS, "points_per_side": 3}
    asked = [
        (settings, name, {"rectangle": rectangle(*region)} if region else {})
        for name in ("scene0", "scene1", "scene2")
        for settings, region in (
            (few, None),
            (few, (0, 0, 119, 159)),
            (few, (60, 80, 199, 299)),
            (BOX | {"bbox_class_name": name}, None),
            ({"mode": "points", "point_coordinates": [[100, 100]]}, (0, 0, 119, 159)),
        )
    ]
    alone = [ask(app, platform, settings, name, **more) for settings, name, more in asked]
    with ThreadPoolExecutor(8) as pool:
        running = [
            pool.submit(ask, app, platform, settings, name, **more)
            for settings, name, more in [*asked, *reversed(asked)]
        ]
        together = [one.result() for one in running]
    assert together == [*alone, *reversed(alone)]


# Videos


def test_frames_of_a_video(app: RunningApp, platform: Platform) -> None:
    state = {
        "videoId": platform.others["clip"],
        "startFrameIndex": 1,
        "framesCount": 4,
        "stride": 2,
        "settings": {"mode": "points", "point_coordinates": [[5, 5]]},
    }
    answer = app.post("inference_video_id", body(platform, state))
    assert answer.status_code == 200, answer.text
    assert [one["frame_index"] for one in answer.json()["ann"]] == [1, 3]
    assert {one["video_id"] for one in answer.json()["ann"]} == {platform.others["clip"]}
    size = answer.json()["ann"][0]["annotation"]["size"]
    assert (size["height"], size["width"]) == np.asarray(CLIP.frames[0]).shape[:2]
    back = state | {"startFrameIndex": 2, "framesCount": 9, "stride": 1, "direction": "backward"}
    answer = app.post("inference_video_id", body(platform, back))
    assert [one["frame_index"] for one in answer.json()["ann"]] == [2, 1, 0]
    late = state | {"startFrameIndex": 100_000}
    assert app.post("inference_video_id", body(platform, late)).status_code == 400
    tracked = state | {"tracker": "botsort"}
    assert app.post("inference_video_id", body(platform, tracked)).status_code == 400
