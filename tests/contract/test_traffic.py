"""Requests as clients send them, replayed byte for byte over HTTP; each file cites its source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import supervisely as sly
import yaml
from live import OWNER_TOKEN, Platform, RunningApp

from sam2_serving.workspace.settings import TASK_ID

TRAFFIC = sorted((Path(__file__).parent / "traffic").glob("*.json"))


def fill(value: Any, platform: Platform) -> Any:
    image_id, drawn = platform.images["scene0"], platform.objects["scene0"]
    (left, top), (right, bottom) = ((corner["x"], corner["y"]) for corner in drawn.crop)
    known = {
        "$CROP": drawn.crop,
        "$CROP_OTHER_CORNERS": [{"x": right, "y": top}, {"x": left, "y": bottom}],
        "$CLICK": drawn.click,
        "$CLICK_BESIDE": drawn.click_beside,
        "$CLICK_OUTSIDE": drawn.click_outside,
        "$IMAGE_ID": image_id,
        "$IMAGE_HASH": platform.workspace.store.entity(image_id).hash,
        "$VIDEO_ID": platform.others["video"],
        "$VOLUME_ID": platform.others["volume"],
        "$PHOTO_ID": platform.others["photo"],
        "$FIGURE_ID": platform.figures["mask"],
        "$MASK": drawn.bitmap,
        "$ORIGIN": drawn.crop[0],
        "$ORIGIN_PAIR": [left, top],
        "$TOKEN": OWNER_TOKEN,
        "$SERVER": platform.address,
    }
    if isinstance(value, dict):
        return {key: fill(part, platform) for key, part in value.items()}
    if isinstance(value, list):
        return [fill(part, platform) for part in value]
    return known.get(value, value) if isinstance(value, str) else value


def check(expected: Any, found: Any) -> None:
    match expected:
        case "$PIXEL":
            assert isinstance(found["x"], int)
            assert isinstance(found["y"], int)
        case "$BITMAP":
            assert sly.Bitmap.base64_2_data(found).any()
        case "$TEXT":
            assert isinstance(found, str)
            assert found
        case "$CLASSES":
            assert [(one["title"], one["shape"]) for one in found] == [("object_mask", "bitmap")]
        case "$SETTINGS":
            settings = yaml.safe_load(found)
            assert settings["replace_masks"] is False
            assert settings["mode"] == "raw"
            assert "rectangle" not in settings
            assert "None" not in settings.values()
        case dict():
            for key, part in expected.items():
                check(part, found[key])
        case _:
            assert found == expected


@pytest.mark.parametrize("file", TRAFFIC, ids=lambda file: file.stem)
def test_client_gets_what_it_accepts(file: Path, app: RunningApp, platform: Platform) -> None:
    recorded = json.loads(file.read_text())
    assert "contract" in recorded["source"].lower()
    for exchange in recorded["exchanges"]:
        answer = app.post(exchange["route"], fill(exchange["body"], platform))
        assert answer.status_code == exchange["status"], answer.text
        check(exchange["answer"], answer.json())


def test_undone_click_gives_the_first_answer_again(app: RunningApp, platform: Platform) -> None:
    file = Path(__file__).parent / "traffic" / "smart_tool_session.json"
    bodies = [fill(one["body"], platform) for one in json.loads(file.read_text())["exchanges"]]
    first, with_negative, undone = (app.post("smart_segmentation", b).content for b in bodies)
    assert first == undone
    assert first != with_negative


def test_through_the_proxy_by_session_token(app: RunningApp, platform: Platform) -> None:
    """Contract 8.1: `<server>/net/<session token>/<endpoint>`, as `Session` and the page send."""
    assert app.is_online()
    token = platform.api().task.get_info_by_id(TASK_ID)["meta"]["sessionToken"]
    url = f"{platform.address}/net/{token}/smart_segmentation"
    context = {"positive": [{"x": 160, "y": 120}], "negative": []}
    body = {"context": {**context, "image_id": platform.images["scene0"]}, "state": {}}
    headers = {"x-api-key": OWNER_TOKEN}
    answer = httpx.post(url, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    direct = app.post("smart_segmentation", platform.envelope(body["context"]))
    assert answer.content == direct.content


def test_answer_is_the_tight_mask_cut_to_the_inclusive_crop(
    app: RunningApp, platform: Platform
) -> None:
    x, y = 160, 120
    context = {
        "positive": [{"x": x, "y": y}],
        "negative": [],
        "image_id": platform.images["scene0"],
    }
    state = {"settings": {"use_box": False}}
    whole = mask_of(app.post("smart_segmentation", platform.envelope(context, state)).json())
    rows, columns = np.nonzero(whole)
    nearest = np.argmin((rows - y) ** 2 + (columns - x) ** 2)
    mask_x, mask_y = int(columns[nearest]), int(rows[nearest])
    context["crop"] = [{"x": x, "y": y}, {"x": mask_x, "y": mask_y}]
    cut = mask_of(app.post("smart_segmentation", platform.envelope(context, state)).json())

    expected = np.zeros_like(whole)
    inside = (
        slice(min(y, mask_y), max(y, mask_y) + 1),
        slice(min(x, mask_x), max(x, mask_x) + 1),
    )
    expected[inside] = whole[inside]
    np.testing.assert_array_equal(cut, expected)
    assert 0 < cut.sum() < whole.sum()


def test_mask_without_a_pixel_in_the_crop_is_null(app: RunningApp, platform: Platform) -> None:
    """Contract 7.1-10: the reference answers 500 here."""
    context = {"positive": [], "image_id": platform.images["scene0"]}
    state = {"settings": {"use_box": False}}
    answers = []
    for x, y in ((0, 0), (319, 239), (160, 120), (319, 0)):
        here = {"x": x, "y": y}
        clicked = {**context, "negative": [here], "crop": [here, here]}
        answer = app.post("smart_segmentation", platform.envelope(clicked, state))
        assert answer.status_code == 200, answer.text
        answers.append(answer.json())
    # A negative click on the only pixel of the crop: a model that obeys leaves nothing there.
    assert any(answer["bitmap"] is None and answer["success"] for answer in answers)


def mask_of(answer: dict[str, Any], size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """Put a tight mask back into the image."""
    mask = np.zeros(size, bool)
    tight = sly.Bitmap.base64_2_data(answer["bitmap"])
    assert all(edge.any() for edge in (tight[0], tight[-1], tight[:, 0], tight[:, -1]))
    x, y = answer["origin"]["x"], answer["origin"]["y"]
    mask[y : y + tight.shape[0], x : x + tight.shape[1]] = tight
    return mask
