"""Predictions that are stored on the platform: append, replace, iou_merge; whole projects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import supervisely as sly
from live import Platform, RunningApp
from supervisely.nn.inference import Session
from supervisely.nn.model.model_api import ModelAPI

from sam2_serving.masks import decode_bitmap

SIZE = (240, 320)


@pytest.fixture(autouse=True)
def no_long_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients look once a second; they may look more often."""
    import time

    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.05)))


@pytest.fixture
def scene(platform: Platform) -> Iterator[int]:
    """An image with one object of a person's; it is empty again afterwards."""
    image_id = platform.images["scene2"]
    write(platform, image_id, [person(40, 60)])
    yield image_id
    write(platform, image_id, [])


def person(top: int, left: int) -> sly.Label:
    mask = np.ones((50, 60), bool)
    place = sly.Bitmap(mask, sly.PointLocation(top, left))
    return sly.Label(place, sly.ObjClass("by_hand", sly.Bitmap))


def meta(platform: Platform) -> sly.ProjectMeta:
    return sly.ProjectMeta.from_json(platform.api().project.get_meta(project(platform)))


def project(platform: Platform) -> int:
    return int(platform.workspace.store.project_id)


def write(platform: Platform, image_id: int, labels: list[sly.Label]) -> None:
    known = meta(platform)
    for label in labels:
        if known.get_obj_class(label.obj_class.name) is None:
            known = known.add_obj_class(label.obj_class)
            platform.api().project.update_meta(project(platform), known)
    platform.api().annotation.upload_ann(image_id, sly.Annotation(SIZE, labels))


def read(platform: Platform, image_id: int) -> sly.Annotation:
    found = platform.api().annotation.download(image_id)
    return sly.Annotation.from_json(found.annotation, meta(platform))


def names(annotation: sly.Annotation) -> list[str]:
    return sorted(label.obj_class.name for label in annotation.labels)


def box(platform: Platform, name: str = "scene2", **more: Any) -> dict[str, Any]:
    a, b = platform.objects[name].crop
    settings = {"mode": "bbox", "bbox_coordinates": [a["y"], a["x"], b["y"], b["x"]]}
    return settings | {"bbox_class_name": "car"} | more


def model(app: RunningApp, platform: Platform) -> ModelAPI:
    return ModelAPI(api=platform.api(), url=f"http://127.0.0.1:{app.port}")


def test_append_keeps_what_is_there(app: RunningApp, platform: Platform, scene: int) -> None:
    (told,) = model(app, platform).predict(
        image_id=scene, upload_mode="append", settings=box(platform)
    )
    assert told.image_id == scene
    assert told.annotation_json is None
    assert names(read(platform, scene)) == ["by_hand", "car_mask"]
    new = next(one for one in read(platform, scene).labels if one.obj_class.name == "car_mask")
    state = {"image_id": scene, "settings": box(platform)}
    answered = app.post("inference_image_id", platform.envelope({}, state)).json()
    bitmap = answered["annotation"]["objects"][0]["bitmap"]
    assert new.geometry.to_json()["bitmap"]["origin"] == bitmap["origin"]
    assert np.array_equal(new.geometry.data, decode_bitmap(bitmap["data"]))
    stored = platform.api().annotation.download(scene).annotation["objects"]
    flags = {one["classTitle"]: (one["nnCreated"], one["nnUpdated"]) for one in stored}
    assert flags == {"by_hand": (False, False), "car_mask": (True, True)}


def test_replace(app: RunningApp, platform: Platform, scene: int) -> None:
    for _ in range(2):
        model(app, platform).predict(image_id=scene, upload_mode="replace", settings=box(platform))
        assert names(read(platform, scene)) == ["car_mask"]


def test_iou_merge_adds_only_what_is_new(app: RunningApp, platform: Platform, scene: int) -> None:
    api = model(app, platform)
    for _ in range(2):
        api.predict(image_id=scene, upload_mode="iou_merge", settings=box(platform))
        assert names(read(platform, scene)) == ["by_hand", "car_mask"]
    # of another class the same mask is new
    other = box(platform, bbox_class_name="truck")
    api.predict(image_id=scene, upload_mode="iou_merge", settings=other)
    assert names(read(platform, scene)) == ["by_hand", "car_mask", "truck_mask"]


@pytest.mark.parametrize("geometry", ["polygon", "rectangle"])
@pytest.mark.parametrize("mode", ["append", "replace"])
def test_stored_outlines_are_where_they_were_found(
    app: RunningApp, platform: Platform, scene: int, geometry: str, mode: str
) -> None:
    settings = box(platform, output_geometry=geometry, bbox_class_name=geometry)
    state = {"image_id": scene, "settings": settings}
    answered = app.post("inference_image_id", platform.envelope({}, state)).json()
    model(app, platform).predict(image_id=scene, upload_mode=mode, settings=settings)
    stored = [one for one in read(platform, scene).labels if one.obj_class.name != "by_hand"]
    expected = [one["points"]["exterior"] for one in answered["annotation"]["objects"]]
    assert [one.geometry.to_json()["points"]["exterior"] for one in stored] == expected


def test_a_class_of_another_shape_is_left_alone(
    app: RunningApp, platform: Platform, scene: int
) -> None:
    masks = box(platform, bbox_class_name="two_shapes")
    outlines = masks | {"output_geometry": "polygon"}
    for settings in (masks, outlines):
        model(app, platform).predict(image_id=scene, upload_mode="append", settings=settings)
    assert {"two_shapes_mask", "two_shapes_mask_nn"} <= set(names(read(platform, scene)))
    boxes = masks | {"output_geometry": "rectangle"}
    with pytest.raises(RuntimeError, match="another class name"):
        model(app, platform).predict(image_id=scene, upload_mode="append", settings=boxes)


def test_many_images_and_a_project_into_itself(app: RunningApp, platform: Platform) -> None:
    ids = [platform.images["scene0"], platform.images["scene1"]]
    before = [len(read(platform, id).labels) for id in ids]
    session = Session(
        platform.api(), session_url=f"http://127.0.0.1:{app.port}",
        inference_settings=box(platform, bbox_class_name="many"),
    )  # fmt: skip
    told = list(session.inference_image_ids_async(ids, output_project_id=project(platform)))
    assert [one.image_id for one in told] == ids
    for id, count in zip(ids, before, strict=True):
        labels = read(platform, id).labels
        assert len(labels) == count + 1
        added = next(one for one in labels if one.obj_class.name == "many_mask")
        platform.workspace.store.remove_figures([added.geometry.sly_id])


def test_all_images_of_a_project(app: RunningApp, platform: Platform) -> None:
    session = Session(
        platform.api(), session_url=f"http://127.0.0.1:{app.port}",
        inference_settings={"mode": "points", "point_coordinates": [[5, 5]]},
    )  # fmt: skip
    datasets = [platform.datasets["open"], platform.datasets["closed"]]
    found = list(session.inference_project_id_async(project(platform), datasets))
    expected = {platform.images[f"scene{number}"] for number in range(4)}
    assert {one.image_id for one in found} == expected
    assert len(found) == len(expected)
    with pytest.raises(RuntimeError, match="no dataset 999"):
        session.inference_project_id_async(project(platform), [999])


def test_what_is_not_stored(app: RunningApp, platform: Platform) -> None:
    image = {"image_id": platform.images["scene0"], "settings": box(platform)}
    for more, status in (
        ({"upload_mode": "create"}, 501),
        ({"output_project_id": 424242}, 501),
        ({"upload_mode": "overwrite"}, 400),
    ):
        answer = app.post("inference_image_id", platform.envelope({}, image | more))
        assert (answer.status_code, answer.json()["success"]) == (status, False)
    video = {"video_id": platform.others["clip"], "upload_mode": "append"}
    assert app.post("inference_video_id", platform.envelope({}, video)).status_code == 400
    stranger = {**platform.envelope({}, image | {"upload_mode": "append"}), "api_token": "nobody"}
    assert app.post("inference_image_id", stranger).status_code == 401
