"""Editing a figure: the mask it began with, through every click and restart, or an error."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from failing import FailingPlatform
from live import OWNER_TOKEN, DrawnObject, Platform, RunningApp
from pictures import shapes_of
from test_deploying import deploy
from test_permissions import MEMBER
from test_sources import SOURCES
from test_traffic import mask_of

from sam2_serving.masks import encode_bitmap

LATER = {"positive": [{"x": 160, "y": 120}], "negative": [{"x": 10, "y": 10}]}


@pytest.fixture
def drawn(platform: Platform) -> DrawnObject:
    platform.workspace.counts.reset()
    return platform.objects["scene0"]


def inline(mask: np.ndarray, pair: bool = False) -> dict[str, Any]:
    encoded = encode_bitmap(mask)
    assert encoded is not None
    (x, y), data = encoded
    return {"data": data, "origin": [x, y] if pair else {"x": x, "y": y}}


def click(app: RunningApp, platform: Platform, **context: Any) -> Any:
    source = {"image_id": platform.images["scene0"]}
    if any(key in context for key in ("video", "volume", "image_hash", "pcd_related_image_id")):
        source = {}
    first = {"positive": LATER["positive"], "negative": []}
    return app.post("smart_segmentation", platform.envelope({**source, **first, **context}))


def edits_folder(app: RunningApp) -> Path:
    return Path(app.environment["SAM2_SERVING_DATA_DIR"]) / "edits"


def test_mask_matters_and_both_forms_are_one(
    app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    plain = click(app, platform)
    edited = click(app, platform, init_figure=True, local_figure_id="1", mask=inline(drawn.mask))
    again = click(
        app, platform, init_figure=True, localFigureId="2", mask=inline(drawn.mask, pair=True)
    )
    assert edited.status_code == 200, edited.text
    assert edited.content == again.content
    assert edited.content != plain.content


def test_inline_mask_wins_and_calls_nobody(
    app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    alone = click(app, platform, init_figure=True, local_figure_id="1", mask=inline(drawn.mask))
    platform.workspace.counts.reset()
    figure_id = platform.figures["rectangle"]
    both = click(app, platform, init_figure=True, figure_id=figure_id, mask=inline(drawn.mask))
    assert both.content == alone.content
    assert platform.count("annotations.info") == 0


def test_forgotten_edit_is_an_error_never_another_mask(
    app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    figure_id = platform.figures["rectangle"]
    key = {"local_figure_id": "forgotten", "figure_id": figure_id}
    begun = click(app, platform, **key, init_figure=True, mask=inline(drawn.mask))
    assert begun.status_code == 200
    shutil.rmtree(edits_folder(app))
    for body in ({}, LATER):
        lost = click(app, platform, **key, **body)
        assert lost.status_code == 409
        assert "start the edit again" in lost.json()["error"]
    assert click(app, platform, **key, init_figure=True, mask=inline(drawn.mask)).content == (
        begun.content
    )


def test_damaged_memory_is_an_error(
    app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    key = {"local_figure_id": "damaged"}
    click(app, platform, **key, init_figure=True, mask=inline(drawn.mask))
    for file in edits_folder(app).iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    assert click(app, platform, **key, **LATER).status_code == 409


@pytest.mark.parametrize("shape", ["mask", "polygon", "rectangle"])
def test_figure_of_an_older_client_is_fetched_once(
    shape: str, app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    expected = np.zeros((240, 320), np.uint8)
    shapes_of(drawn.mask)[shape].draw(expected, 1)
    key = {"figure_id": platform.figures[shape]}
    begun = click(app, platform, **key, init_figure=True)
    assert begun.status_code == 200, begun.text
    assert begun.content == click(app, platform, mask=inline(expected > 0)).content
    assert platform.count("annotations.info") == 1
    later = click(app, platform, **key, **LATER)
    assert later.content == click(app, platform, mask=inline(expected > 0), **LATER).content
    assert platform.count("annotations.info") == 1


def test_figure_of_an_older_client_is_fetched_again_if_forgotten(
    app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    key = {"figure_id": platform.figures["polygon"]}
    click(app, platform, **key, init_figure=True)
    later = click(app, platform, **key, **LATER)
    shutil.rmtree(edits_folder(app))
    assert click(app, platform, **key, **LATER).content == later.content
    assert platform.count("annotations.info") == 2


def test_figures_that_cannot_be_edited(app: RunningApp, platform: Platform) -> None:
    without_area = click(app, platform, figure_id=platform.figures["point"], init_figure=True)
    assert without_area.status_code == 422
    assert "no area" in without_area.json()["error"]
    gone = click(app, platform, figure_id=999_999, init_figure=True)
    assert gone.status_code == 404
    nameless = click(app, platform, init_figure=True)
    assert nameless.status_code == 400
    on_a_frame = click(app, platform, **SOURCES["frame"](platform), figure_id=1, init_figure=True)
    assert on_a_frame.status_code == 400
    later = click(app, platform, **SOURCES["frame"](platform), figure_id=1)
    assert later.status_code == 409


@pytest.mark.parametrize(
    "origin", [[3.5, 4], [True, 2], ["3", 4], [1], [1, 2, 3], {"x": 1}, {"x": 1.5, "y": 2}, 5, None]
)
def test_origin_is_two_whole_numbers(
    origin: Any, app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    answer = click(app, platform, mask={"data": drawn.bitmap, "origin": origin})
    assert answer.status_code == 400
    body = answer.json()
    assert (body["origin"], body["bitmap"], body["success"]) == (None, None, False)
    assert "origin" in body["error"]


@pytest.mark.parametrize("data", ["", "eJw=", "no base64!", "AAAA", 5, None])
def test_malformed_mask(data: Any, app: RunningApp, platform: Platform) -> None:
    answer = click(app, platform, mask={"data": data, "origin": [1, 2]}, init_figure=True)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_mask_is_clipped_to_the_image(app: RunningApp, platform: Platform) -> None:
    inside = np.zeros((240, 320), bool)
    inside[:50, :70] = True
    data = inline(np.ones((90, 110), bool))["data"]
    sticking_out = click(app, platform, mask={"data": data, "origin": [-40, -40]})
    assert sticking_out.status_code == 200, sticking_out.text
    assert sticking_out.content == click(app, platform, mask=inline(inside)).content


def test_mask_outside_the_image_is_an_error(
    app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    """Ignoring it would answer an edit with a mask made without the figure."""
    answer = click(app, platform, mask={"data": drawn.bitmap, "origin": [5000, 5000]})
    assert answer.status_code == 400
    assert "no pixel inside the image" in answer.json()["error"]


def test_edit_without_a_click_is_the_figure_itself(
    app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    none = {"positive": [], "negative": [], "local_figure_id": "no click"}
    begun = click(app, platform, **none, init_figure=True, mask=inline(drawn.mask))
    np.testing.assert_array_equal(mask_of(begun.json()), drawn.mask)
    whole = click(app, platform, **LATER, mask=inline(drawn.mask))
    assert click(app, platform, **LATER, local_figure_id="no click").content == whole.content


def test_edits_of_others_are_not_found(
    app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    """Keyed by user, figure, image and first prompt: what is not this edit's is not used."""
    store = platform.workspace.store
    store.put_member("member", MEMBER, [platform.datasets["open"], platform.datasets["closed"]])
    key = {"local_figure_id": "mine"}
    click(app, platform, **key, init_figure=True, mask=inline(drawn.mask))
    context = {**LATER, **key, "image_id": platform.images["scene0"]}
    other_user = app.post("smart_segmentation", {**platform.envelope(context), "api_token": MEMBER})
    other_figure = click(app, platform, **LATER, local_figure_id="yours")
    other_image = click(app, platform, **LATER, **key, image_id=platform.images["scene1"])
    other_first = click(app, platform, **key, positive=[{"x": 5, "y": 5}])
    for answer in (other_user, other_figure, other_image, other_first):
        assert answer.status_code == 409, answer.text


def test_window_may_change_while_a_slice_is_edited(
    app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    source = SOURCES["slice"](platform)
    key = {"local_figure_id": "window"}
    click(app, platform, **source, **key, init_figure=True, mask=inline(drawn.mask))
    source["volume"]["window_center"] = 500
    later = click(app, platform, **source, **key, **LATER)
    assert later.status_code == 200, later.text
    assert later.content == click(app, platform, **source, **LATER, mask=inline(drawn.mask)).content


@pytest.mark.parametrize("reason", ["a mask that cannot be read", "no model"])
def test_start_that_fails_leaves_nothing_of_the_edit_before(
    reason: str, app: RunningApp, platform: Platform, drawn: DrawnObject
) -> None:
    """The figure may have been saved in between: the mask of then is another mask."""
    key = {"local_figure_id": f"again {reason}"}
    before = np.roll(drawn.mask, 40, axis=1)
    none = {"positive": [], "negative": []}
    assert click(app, platform, **key, **none, mask=inline(before)).status_code == 200
    if reason == "no model":
        app.post("stop_model")
        failed = click(app, platform, **key, init_figure=True, mask=inline(drawn.mask))
        assert deploy(app).status_code == 200
    else:
        unreadable = {"data": "AAAA", "origin": [0, 0]}
        failed = click(app, platform, **key, init_figure=True, mask=unreadable)
    assert failed.status_code in (400, 503)
    assert click(app, platform, **key, **LATER).status_code == 409


def test_click_that_comes_before_the_first_one_is_answered_waits_for_its_mask(
    app: RunningApp, failing_platform: FailingPlatform, drawn: DrawnObject
) -> None:
    def post(**context: Any) -> Any:
        context = {"image_id": failing_platform.image("info slow"), "negative": [], **context}
        envelope = {"api_token": OWNER_TOKEN, "server_address": failing_platform.address}
        return app.post("smart_segmentation", {**envelope, "context": context})

    key = {"local_figure_id": "impatient"}
    first = {"positive": LATER["positive"], "mask": inline(drawn.mask), "init_figure": True}
    with ThreadPoolExecutor(2) as pool:
        started = pool.submit(post, **key, **first)
        time.sleep(0.3)
        later = pool.submit(post, **key, **LATER)
        assert started.result().status_code == 200, started.result().text
        assert later.result().status_code == 200, later.result().text
    assert later.result().content == post(**LATER, mask=inline(drawn.mask)).content
