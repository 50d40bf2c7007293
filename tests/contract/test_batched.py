"""Many Smart Tool requests in one: each as if it had been sent alone, an image encoded once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from live import Platform, RunningApp
from test_deploying import deploy

from sam2_serving.masks import decode_bitmap


def contexts(platform: Platform) -> dict[str, dict[str, Any]]:
    """Items as the Batched Smart Tool sends them: a hash, no request_uid."""
    items = {}
    for number, name in enumerate(("scene0", "scene1", "scene0", "scene2")):
        drawn = platform.objects[name]
        clicks = (
            {"positive": [drawn.click], "negative": []}
            if number != 2
            else {
                "positive": [drawn.click],
                "negative": [drawn.click_beside],
            }
        )
        items[str(3 * number)] = {
            "crop": drawn.crop,
            **clicks,
            "image_id": platform.images[name],
            "predict_every_click": True,
        }
    return items


def alone(app: RunningApp, platform: Platform, context: dict[str, Any]) -> dict[str, Any]:
    answer = app.post("smart_segmentation", platform.envelope(context))
    assert answer.status_code == 200, answer.text
    return answer.json()


def mask_of(answer: dict[str, Any]) -> np.ndarray:
    mask = np.zeros((240, 320), bool)
    tight = decode_bitmap(answer["bitmap"])
    x, y = answer["origin"]["x"], answer["origin"]["y"]
    mask[y : y + tight.shape[0], x : x + tight.shape[1]] = tight
    return mask


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    a, b = mask_of(one), mask_of(other)
    return np.count_nonzero(a & b) >= 0.999 * np.count_nonzero(a | b)


def test_batched_keeps_keys_and_gives_what_each_item_gives_alone(
    app: RunningApp, platform: Platform
) -> None:
    items = contexts(platform)
    found = platform.send("smart_segmentation_batched", {"data_to_process": items})
    assert list(found) == list(items)
    for key, context in items.items():
        assert same(found[key], alone(app, platform, context))
    assert found == platform.send("smart_segmentation_batched", {"data_to_process": items})


def test_batch_keeps_order(app: RunningApp, platform: Platform) -> None:
    states = list(contexts(platform).values())
    found = platform.send("smart_segmentation_batch", {"states": states})
    assert len(found) == len(states)
    for answer, context in zip(found, states, strict=True):
        assert same(answer, alone(app, platform, context))
    # Auto Track's probe
    assert platform.send("smart_segmentation_batch", {}) == []


def test_an_answer_does_not_depend_on_its_neighbours(app: RunningApp, platform: Platform) -> None:
    items = contexts(platform)
    whole = platform.send("smart_segmentation_batched", {"data_to_process": items})
    for key, context in items.items():
        one = platform.send("smart_segmentation_batched", {"data_to_process": {"a": context}})
        assert one["a"] == whole[key]


def test_one_bad_item_is_null_and_spoils_no_other(app: RunningApp, platform: Platform) -> None:
    good = contexts(platform)["0"]
    drawn = platform.objects["scene0"]
    bad = {
        "no such image": {**good, "image_id": 999_999},
        "click outside the image": {**good, "positive": [{"x": 5000, "y": 5}]},
        "click outside the crop": {**good, "positive": [drawn.click_outside]},
        "nothing asked": {"positive": [], "negative": [], "image_id": good["image_id"]},
        "no source": {"positive": [drawn.click], "negative": []},
        "not an object": 7,
        "null": None,
        "text": "click",
        "odd crop": {**good, "crop": [{"x": 1}]},
        "huge numbers": {**good, "image_id": 2**60},
        "nested": {**good, "mask": {"data": "x", "origin": [[[]]]}},
    }
    found = platform.send(
        "smart_segmentation_batched", {"data_to_process": {"good": good, **bad, "last": good}}
    )
    assert {key for key, answer in found.items() if answer is not None} == {"good", "last"}
    assert same(found["good"], alone(app, platform, good))
    assert found["good"] == found["last"]


def test_each_image_is_encoded_and_fetched_once(app: RunningApp, platform: Platform) -> None:
    drawn = platform.objects["scene3"]
    items = {
        str(n): {
            "crop": drawn.crop,
            "positive": [],
            "negative": [],
            "image_id": platform.images["scene3"],
        }
        for n in range(20)
    }
    assert deploy(app).status_code == 200  # forgets all embeddings
    newcomer = "newcomer-token-0123456789"  # whose permissions are not known either
    platform.workspace.store.put_member("newcomer", newcomer, None)
    platform.workspace.counts.reset()
    context = {"data_to_process": items}
    found = platform.send("smart_segmentation_batched", context, token=newcomer)
    assert all(answer == found["0"] for answer in found.values())
    assert platform.count("images.download") == 1
    assert platform.count("images.info") == 1
    assert platform.count("tasks.request.direct") == 1, "the app called itself through the platform"


def test_the_batch_is_refused_as_a_whole_without_a_token(
    app: RunningApp, platform: Platform
) -> None:
    body = platform.envelope({"data_to_process": contexts(platform)})
    del body["api_token"]
    assert app.post("smart_segmentation_batched", body).status_code == 401


@pytest.mark.parametrize(
    "context", [{"data_to_process": []}, {"data_to_process": 3}, {"data_to_process": {"a": []}}]
)
def test_odd_bodies(app: RunningApp, platform: Platform, context: dict[str, Any]) -> None:
    answer = app.post("smart_segmentation_batched", platform.envelope(context))
    assert answer.status_code in (200, 400)
    assert answer.status_code == 400 or answer.json() == {"a": None}
