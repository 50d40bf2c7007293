"""The SDK's own clients, unmodified: `Session` and `ModelAPI` (contract, section 2.2)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import supervisely as sly
import yaml
from live import OWNER_TOKEN, DrawnObject, Platform, RunningApp
from pictures import CLIP
from supervisely.convert.image.sly.sly_image_helper import get_meta_from_annotation
from supervisely.nn.inference import Session, SessionJSON
from supervisely.nn.model.model_api import ModelAPI

from sam2_serving.workspace.settings import TASK_ID

SIZE = (240, 320)
RAW = {"mode": "raw", "points_per_side": 6, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}


@pytest.fixture(autouse=True)
def no_long_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients look once a second; they may look more often."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.05)))


def url_of(app: RunningApp) -> str:
    return f"http://127.0.0.1:{app.port}"


def session(
    app: RunningApp, platform: Platform, settings: dict[str, Any], kind: Any = Session
) -> Any:
    return kind(platform.api(), session_url=url_of(app), inference_settings=settings)


@pytest.fixture(scope="module", params=["by address", "by task"])
def model(request: pytest.FixtureRequest, app: RunningApp, platform: Platform) -> ModelAPI:
    if request.param == "by address":
        return ModelAPI(api=platform.api(), url=url_of(app))
    connected: ModelAPI = platform.api().nn.connect(TASK_ID)
    return connected


def box_settings(drawn: DrawnObject, **more: Any) -> dict[str, Any]:
    a, b = drawn.crop
    return {"mode": "bbox", "bbox_coordinates": [a["y"], a["x"], b["y"], b["x"]], **more}


def settings_of(mode: str, drawn: DrawnObject) -> dict[str, Any]:
    point = {"point_coordinates": [[drawn.click["x"], drawn.click["y"]]], "point_labels": [1]}
    return {
        "raw": RAW,
        "points": {"mode": "points", **point},
        "bbox": box_settings(drawn, bbox_class_name="car"),
        "combined": box_settings(drawn, bbox_class_name="car") | point | {"mode": "combined"},
    }[mode]


CLASS_NAMES = {
    "raw": "object_mask", "points": "object_mask", "bbox": "car_mask", "combined": "car_mask",
}  # fmt: skip


def best(annotation: sly.Annotation, truth: np.ndarray) -> float:
    def iou(label: sly.Label) -> float:
        mask = np.zeros(SIZE, np.uint8)
        label.geometry.draw(mask, 1)
        return float(np.count_nonzero(truth & (mask > 0)) / np.count_nonzero(truth | (mask > 0)))

    return max(iou(label) for label in annotation.labels)


def same(one: sly.Annotation, other: sly.Annotation) -> bool:
    return bool(one.to_json()["objects"] == other.to_json()["objects"])


# Session


@pytest.mark.parametrize("mode", CLASS_NAMES)
def test_session_for_an_image(app: RunningApp, platform: Platform, mode: str) -> None:
    drawn = platform.objects["scene1"]
    client = session(app, platform, settings_of(mode, drawn))
    annotation = client.inference_image_id(platform.images["scene1"])
    assert annotation.img_size == SIZE
    assert best(annotation, drawn.mask) > 0.5
    assert {label.obj_class.name for label in annotation.labels} == {CLASS_NAMES[mode]}


def test_session_takes_every_setting_that_is_offered(app: RunningApp, platform: Platform) -> None:
    client = session(app, platform, {})
    client.update_inference_settings(**client.get_default_inference_settings(), classes=None)
    client.update_inference_settings(**RAW)
    assert client.inference_image_id(platform.images["scene0"]).labels
    assert client.get_human_readable_info()["Batch inference support"] is True


@pytest.mark.parametrize("mode", CLASS_NAMES)
def test_session_for_many_images(app: RunningApp, platform: Platform, mode: str) -> None:
    client = session(app, platform, settings_of(mode, platform.objects["scene0"]))
    ids = [platform.images[name] for name in ("scene0", "scene1", "scene2")]
    now = client.inference_image_ids(ids)
    iterator = client.inference_image_ids_async(ids)
    assert len(iterator) == 3
    later = list(iterator)
    assert [one.image_id for one in later] == ids
    assert [one.image_name for one in later] == ["scene0.png", "scene1.png", "scene2.png"]
    meta = client.get_model_meta()
    for one, other in zip(now, later, strict=True):
        own = get_meta_from_annotation(other.annotation, meta)
        assert same(one, sly.Annotation.from_json(other.annotation, own))


@pytest.mark.parametrize("mode", CLASS_NAMES)
def test_session_for_files(
    app: RunningApp, platform: Platform, media_folder: Path, mode: str
) -> None:
    client = session(app, platform, settings_of(mode, platform.objects["scene0"]))
    files = [str(media_folder / "open" / f"scene{number}.png") for number in (0, 1)]
    by_id = client.inference_image_id(platform.images["scene0"])
    assert same(client.inference_image_path(files[0]), by_id)
    many = client.inference_image_paths(files)
    assert len(many) == 2
    assert same(many[0], client.inference_image_ids([platform.images["scene0"]])[0])


def test_session_for_a_picture_of_the_platform_and_of_elsewhere(
    app: RunningApp, platform: Platform
) -> None:
    client = session(app, platform, box_settings(platform.objects["scene0"]), SessionJSON)
    for address in (
        "http://127.0.0.1:9/x.png",
        "http://localhost:1/x.png",
        f"http://127.0.0.1:{app.port}/x.png",
        "file:///etc/passwd",
        "http://[::1",
        f"{platform.address}@127.0.0.1:9/x.png",
    ):
        state = {"image_url": address, "settings": client.inference_settings}
        answer = app.post("inference_image_url", {"state": state})
        assert answer.status_code in (400, 403), (address, answer.text)
    assert (
        "SAM2_SERVING_IMAGE_URL_HOSTS"
        in app.post(
            "inference_image_url", {"state": {"image_url": "http://127.0.0.1:9/x.png"}}
        ).json()["message"]
    )
    view = f"{platform.address}/workspace/api/images/{platform.images['scene0']}/view"
    by_url = client.inference_image_url(view)
    by_id = client.inference_image_id(platform.images["scene0"])
    assert by_url["annotation"] == by_id["annotation"]
    nothing = {"image_url": f"{platform.address}/nothing.png"}
    assert app.post("inference_image_url", {"state": nothing}).status_code == 404


def test_session_for_a_video(app: RunningApp, platform: Platform) -> None:
    client = session(app, platform, {"mode": "points", "point_coordinates": [[5, 5]]})
    clip = platform.others["clip"]
    now = client.inference_video_id(clip, start_frame_index=2, frames_count=3)
    iterator = client.inference_video_id_async(clip, start_frame_index=2, frames_count=3)
    assert len(iterator) == 3
    later = list(iterator)
    assert len(now) == len(later) == 3
    assert now[0].img_size == np.asarray(CLIP.frames[0]).shape[:2]


def test_session_is_told_what_went_wrong_after_it_got_the_rest(
    app: RunningApp, platform: Platform
) -> None:
    client = session(app, platform, box_settings(platform.objects["scene0"]))
    ids = [platform.images["scene0"], 987654, platform.images["scene1"]]
    iterator = client.inference_image_ids_async(ids)
    assert [next(iterator).image_id, next(iterator).image_id] == [ids[0], ids[2]]
    with pytest.raises(RuntimeError, match="1 of 3 have no prediction: image 987654"):
        next(iterator)


def test_session_stops(app: RunningApp, platform: Platform) -> None:
    slow = RAW | {"points_per_side": 12}
    client = session(app, platform, slow)
    iterator = client.inference_image_ids_async([platform.images["scene0"]] * 50)
    next(iterator)
    uuid = client._async_inference_uuid
    client.stop_async_inference()
    assert list(iterator) == []
    state = app.post("get_inference_progress", {"state": {"inference_request_uuid": uuid}}).json()
    assert state["stopped"] is True


# The labeling apps, through the platform's proxy


def connected(platform: Platform) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask what both apps ask first; returns the session's description and its settings."""
    info = platform.send("get_session_info", {})
    assert info["app_name"].startswith("Serve Segment Anything")
    assert info["task type"] == "promptable segmentation"
    meta = sly.ProjectMeta.from_json(platform.send("get_output_classes_and_tags", {}))
    assert [one.name for one in meta.obj_classes] == ["object_mask"]
    text = platform.send("get_custom_inference_settings", {})["settings"]
    settings: dict[str, Any] = yaml.safe_load(text)
    assert settings["replace_masks"] is False
    return info, settings


SITUATIONS = {
    "nothing selected": ("raw", "object_mask"),
    "points": ("points", "object_mask"),
    "a box": ("bbox", "car_mask"),
    "a box and points": ("combined", "car_mask"),
    "a line": ("points", "river_mask"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nn_image_labeling(app: RunningApp, platform: Platform, situation: str) -> None:
    """Contract 5.3: the settings that were offered, changed, and all of them sent back."""
    _, settings = connected(platform)
    mode, class_name = SITUATIONS[situation]
    drawn, image_id = platform.objects["scene1"], platform.images["scene1"]
    (a, b), click = drawn.crop, drawn.click
    box = {"bbox_coordinates": [a["y"], a["x"], b["y"], b["x"]]}
    points = {"point_coordinates": [[click["x"], click["y"]]], "point_labels": [1]}
    settings |= RAW | {"mode": mode, "input_image_id": image_id}
    settings |= {
        "nothing selected": {},
        "points": points,
        "a box": {**box, "bbox_class_name": "car"},
        "a box and points": {**box, **points, "bbox_class_name": "car"},
        "a line": {**box, **points, "points_class_name": "river_mask", "init_mask": None},
    }[situation]
    state = {"image_id": image_id, "settings": settings}
    if settings.get("bbox_coordinates"):
        state["rectangle"] = sly.Rectangle(a["y"], a["x"], b["y"], b["x"]).to_json()
    found = platform.send("inference_image_id", {}, state)
    assert {one["classTitle"] for one in found["annotation"]["objects"]} == {class_name}
    known = sly.ProjectMeta([sly.ObjClass(class_name, sly.Bitmap)])
    assert best(sly.Annotation.from_json(found["annotation"], known), drawn.mask) > 0.5


def test_apply_nn_to_images(app: RunningApp, platform: Platform) -> None:
    """Contract 5.3: many ids in one request, and what it falls back to."""
    _, settings = connected(platform)
    settings |= RAW | {"mode": "raw", "points_per_side": 4}
    ids = [platform.images[name] for name in ("scene2", "scene0")]
    state = {"dataset_id": platform.datasets["open"], "batch_ids": ids, "settings": settings}
    together = platform.send("inference_batch_ids", {}, state)
    alone = [
        platform.send("inference_image_id", {}, {"image_id": one, "settings": settings})
        for one in ids
    ]
    assert [one["annotation"] for one in together] == [one["annotation"] for one in alone]
    windows = {"windowHeight": 160, "windowWidth": 160, "overlapY": 0, "overlapX": 0}
    settings |= {"inference_mode": "sliding_window", "sliding_window_params": windows}
    asked = {"image_id": ids[0], "settings": settings}
    started = platform.send("inference_image_id_async", {}, asked)
    about = {"inference_request_uuid": started["inference_request_uuid"]}
    deadline = time.monotonic() + 30
    while (progress := platform.send("get_inference_progress", {}, about))["is_inferring"]:
        assert time.monotonic() < deadline, progress
        time.sleep(0.05)
    # it looks for the result there, finds none and asks once more without a job
    assert progress["result"] is False
    by_job = platform.send("pop_inference_results", {}, about)["pending_results"]
    assert [one["annotation"]["objects"] for one in by_job] == [
        platform.send("inference_image_id", {}, asked)["annotation"]["objects"]
    ]
    assert by_job[0]["data"]["slides"]


# ModelAPI


@pytest.mark.parametrize("mode", CLASS_NAMES)
def test_model_for_an_image(model: ModelAPI, platform: Platform, mode: str) -> None:
    drawn = platform.objects["scene1"]
    settings = settings_of(mode, drawn)
    (found,) = model.predict(image_id=platform.images["scene1"], settings=settings)
    assert found.image_id == platform.images["scene1"]
    assert found.name == "scene1.png"
    assert best(found.annotation, drawn.mask) > 0.5
    assert set(found.classes) == {CLASS_NAMES[mode]}
    assert found.masks.shape[1:] == SIZE
    assert len(found.boxes) == len(found.masks)


def test_model_for_files_and_folders(
    model: ModelAPI, platform: Platform, media_folder: Path, tmp_path: Path
) -> None:
    settings = box_settings(platform.objects["scene0"])
    file = media_folder / "open" / "scene0.png"
    # lists of paths and arrays make this client fail before it asks anybody
    (by_id,) = model.predict(image_id=platform.images["scene0"], settings=settings)
    (by_file,) = model.predict(input=str(file), settings=settings)
    assert by_file.annotation_json == by_id.annotation_json
    (tmp_path / "a.png").write_bytes(file.read_bytes())
    (by_folder,) = model.predict(input=str(tmp_path), settings=settings)
    assert by_folder.annotation_json == by_id.annotation_json


def test_model_for_a_video_and_leaving_early(model: ModelAPI, platform: Platform) -> None:
    settings = {"mode": "points", "point_coordinates": [[5, 5]]}
    clip = platform.others["clip"]
    found = model.predict(video_id=clip, start_frame=1, num_frames=3, settings=settings)
    assert [one.frame_index for one in found] == [1, 2, 3]
    assert {one.video_id for one in found} == {clip}
    # the client stops and clears once more at the end of the block
    with model.predict_detached(video_id=clip, num_frames=3, settings=settings) as running:
        assert next(running).frame_index == 0
        assert running.progress()["total"] == 3
    with model.predict_detached(video_id=clip, num_frames=2, settings=settings) as running:
        assert len(list(running)) == 2
        assert running.is_done()


def test_model_for_a_video_file(
    model: ModelAPI,
    platform: Platform,
    media_folder: Path,
    tmp_path: Path,
    app_environment: dict[str, str],
) -> None:
    settings = {"mode": "points", "point_coordinates": [[5, 5]]}
    file = media_folder / "open" / "walk.avi"
    clip = platform.others["clip"]
    asked = {"start_frame": 1, "num_frames": 4, "stride": 2, "settings": settings}
    found = model.predict(input=str(file), **asked)
    assert [one.frame_index for one in found] == [1, 3]
    by_id = model.predict(video_id=clip, **asked)
    # the same pixels, without loss
    for one, other in zip(found, by_id, strict=True):
        assert one.annotation_json == other.annotation_json
    whole = model.predict(input=str(file), end_frame=3, settings=settings)
    assert [one.frame_index for one in whole] == [0, 1, 2]
    damaged = tmp_path / "a.mp4"
    damaged.write_bytes(b"no video")
    with pytest.raises(RuntimeError, match="cannot be read as a video"):
        model.predict(input=str(damaged), settings=settings)
    with pytest.raises(RuntimeError, match="starts at frame 500"):
        model.predict(input=str(file), start_frame=500, settings=settings)
    folder = Path(app_environment["SAM2_SERVING_DATA_DIR"]) / "inference"
    assert list(folder.iterdir()) == [], "a copy of a video is left"


def test_model_is_told_what_went_wrong(model: ModelAPI) -> None:
    with pytest.raises(RuntimeError, match="MediaNotFound: image 987654"):
        model.predict(image_id=987654)


def test_as_the_client_of_a_task_that_has_no_token(app: RunningApp, media_folder: Path) -> None:
    """Files need none: nobody's rights are in question."""
    file = media_folder / "open" / "scene0.png"
    bare = httpx.post(
        f"{url_of(app)}/inference_image",
        files={"files": ("a.png", file.read_bytes())},
        data={"state": '{"settings": {"mode": "points", "point_coordinates": [[5, 5]]}}'},
    )
    assert bare.status_code == 200
    assert bare.json()["name"] == "a.png"
    assert OWNER_TOKEN not in bare.text
