"""Every API route refuses fields that it does not know, and names a field that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel
from workspace_http import Running

from sam2_serving.workspace.api import annotations as whole_annotations
from sam2_serving.workspace.api import (
    classes,
    clouds,
    ecosystem,
    figures,
    files,
    images,
    instance,
    objects,
    projects,
    tasks,
    tracking,
    video_annotations,
    video_tags,
    videos,
    volumes,
)

FAMILIES = (
    *(instance, projects, images, videos, volumes, clouds),
    *(figures, whole_annotations, files, tasks, ecosystem),
    *(classes, objects, tracking, video_annotations, video_tags),
)

GOOD: dict[str, dict[str, Any]] = {
    "instance.version": {},
    "projects.list": {},
    "projects.info": {"id": 1},
    "projects.meta": {"id": 1},
    "projects.meta.update": {
        "id": 1,
        "meta": {"classes": [{"title": "object", "shape": "bitmap", "color": "#FF0000"}]},
    },
    "projects.settings.update": {"id": 1, "settings": {}},
    "datasets.info": {"id": 1},
    "datasets.list": {"projectId": 1},
    "images.download": {"id": 1},
    "images.info": {"id": 1, "forceMetadataForLinks": True},
    "images.list": {"datasetId": 1, "forceMetadataForLinks": True},
    "images.bulk.download": {"datasetId": 1, "imageIds": [1]},
    "images.bulk.download-by-hash": {"hashes": ["x"]},
    "videos.info": {"id": 1, "forceMetadataForLinks": True},
    "videos.list": {"forceMetadataForLinks": True},
    "videos.download": {"id": 1},
    "videos.download-frame": {"videoId": 1, "frame": 0},
    "videos.bulk.download-frame": {"videoId": 1, "frames": [0]},
    "videos.annotations.bulk.info": {"videoIds": [1]},
    "videos.tags.add": {"tagId": 1, "videoId": 1},
    "videos.tags.bulk.add": {"videoId": 1, "tags": [{"tagId": 1}]},
    "videos.tags.remove": {"id": 1},
    "videos.notify-annotation-tool": {
        "type": "videos:tracking-error",
        "data": {"trackId": "x", "error": {"message": ""}},
    },
    "annotation-tool.run-action": {
        "sessionId": "x",
        "action": "figures/setDirectTrackingProgress",
        "payload": {"trackId": "x", "videoId": 1, "type": "error", "error": {"message": ""}},
    },
    "annotation-objects.bulk.add": {"datasetId": 1, "annotationObjects": []},
    "annotation-objects.list": {"datasetId": 1},
    "annotation-objects.info": {"id": 1},
    "advanced.object_classes.list": {"projectId": 1},
    "tags.list": {"projectId": 1},
    "volumes.info": {"id": 1},
    "volumes.list": {},
    "volumes.download": {"id": 1},
    "volumes.slices.images.download": {
        "volumeId": 1,
        "sliceIndex": 0,
        "normal": {"x": 0, "y": 0, "z": 1},
        "windowCenter": 0,
        "windowWidth": 1,
    },
    "point-clouds.info": {"id": 1},
    "point-clouds.list": {"datasetId": 1},
    "point-clouds.download": {"id": 1},
    "point-clouds.images.list": {"datasetId": 1},
    "point-clouds.images.download": {"id": 1},
    "figures.bulk.add": {"entityId": 1, "figures": []},
    "figures.info": {"id": 1, "fields": []},
    "figures.list": {"datasetId": 1, "fields": []},
    "figures.bulk.remove": {"figureIds": [1]},
    "figures.remove": {"id": 1},
    "annotations.info": {
        "imageId": 1,
        "withCustomBigData": False,
        "forceMetadataForLinks": True,
        "integerCoords": False,
    },
    "annotations.bulk.info": {
        "datasetId": 1,
        "imageIds": [1],
        "withCustomBigData": False,
        "integerCoords": False,
    },
    "annotations.bulk.add": {"datasetId": 1, "annotations": []},
    "file-storage.list": {"teamId": 1, "path": "/", "recursive": True},
    "file-storage.download": {"teamId": 1, "path": "/"},
    "file-storage.info": {"id": 1},
    "file-storage.remove": {"teamId": 1, "path": "/"},
    "teams.list": {},
    "teams.info": {"id": 1},
    "workspaces.list": {"teamId": 1},
    "workspaces.info": {"id": 1},
    "agents.available": {"teamId": 1, "withoutPublic": False, "anyStatus": False, "needGPU": True},
    "ecosystem.list": {},
    "ecosystem.info": {},
    "tasks.info": {"id": 1},
    "tasks.list": {"workspaceId": 1},
    "tasks.run.app": {
        "agentId": None,
        "workspaceId": 1,
        "description": "",
        "params": {},
        "logLevel": "info",
        "usersIds": [],
        "appVersion": "",
        "isBranch": False,
        "taskName": "",
        "restartPolicy": "never",
        "proxyKeepUrl": False,
        "advancedSettings": {},
    },
    "tasks.data.get": {"taskId": 1, "fields": []},
    "tasks.data.set": {"taskId": 1, "fields": []},
    "tasks.app-v2.data.set": {"taskId": 1, "payload": {}},
    "tasks.meta.update": {"id": 1},
    "tasks.request.direct": {
        "taskId": 1,
        "command": "x",
        "context": {},
        "state": {},
        "skipResponse": False,
        "timeout": 1,
    },
}
OPEN_ROUTES = {"tasks.meta.update"}
FORM_ROUTES = {"file-storage.bulk.upload"}


def _routes() -> Iterator[APIRoute]:
    for family in FAMILIES:
        yield from (route for route in family.router.routes if isinstance(route, APIRoute))


def test_every_route_is_in_the_table() -> None:
    assert {route.path.strip("/") for route in _routes()} == set(GOOD) | FORM_ROUTES


def test_every_body_cites_the_contract() -> None:
    for route in _routes():
        if route.path.strip("/") in FORM_ROUTES:
            continue
        model = route.body_field.field_info.annotation
        assert issubclass(model, BaseModel)
        assert (
            "Contract " in model.__doc__ or "The SDK's" in model.__doc__ or "SDK" in model.__doc__
        )


@pytest.mark.parametrize("route", sorted(set(GOOD) - OPEN_ROUTES))
def test_an_unknown_field_is_named(lasting: Running, route: str) -> None:
    answer = lasting.post(route, {**GOOD[route], "surprise": 1})
    assert answer.status_code == 400
    assert "surprise" in answer.json()["error"]


@pytest.mark.parametrize(
    ("route", "field"),
    [(route, field) for route, body in sorted(GOOD.items()) for field in body],
)
def test_a_missing_field_is_named(lasting: Running, route: str, field: str) -> None:
    body = {name: value for name, value in GOOD[route].items() if name != field}
    answer = lasting.post(route, body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]


@pytest.mark.parametrize("odd", [None, [], "text", 1, {"id": "1"}, {"id": True}, {"id": 1.5}])
def test_odd_bodies_are_400(lasting: Running, odd: object) -> None:
    assert lasting.post("images.download", odd).status_code == 400


def test_broken_json_is_400(lasting: Running) -> None:
    headers = {"x-api-key": "owner-token-of-the-tests", "content-type": "application/json"}
    path = "/public/api/v3/images.download"
    assert lasting.page("POST", path, data=b"{broken", headers=headers).status_code == 400
    assert lasting.page("POST", path, data=b"\xff\xfe", headers=headers).status_code == 400


@pytest.mark.parametrize(
    "route", ["images.destroy", "images", "", "videos.destroy", "../images.info"]
)
def test_unknown_routes_are_404(lasting: Running, route: str) -> None:
    answer = lasting.post(route, {})
    assert answer.status_code == 404
    assert answer.json()["success"] is False


ODD_VALUES = [
    *(None, True, -1, 0, 10**30, 1.5, 1e300, "", "x" * 10_000, "\ud800", "\x00", "../..", "/"),
    *([], {}, [None], [10**30], ["\ud800"], {"\ud800": 1}, [[[[]]]], {"a": {"b": []}}),
]


@pytest.mark.parametrize("route", sorted(GOOD))
def test_odd_values_are_no_server_error(lasting: Running, route: str) -> None:
    """Whatever stands in a field: a refusal or an answer, never a 500."""
    for field in GOOD[route]:
        for odd in ODD_VALUES:
            answer = lasting.post(route, {**GOOD[route], field: odd})
            # 503: the app is not there, which is all that tasks.request.direct can say here.
            assert answer.status_code < 500 or answer.status_code == 503, (field, odd)


ODD_LABELS = [
    {"bitmap": odd} for odd in (None, {}, {"origin": [0, 0]}, {"origin": [10**30, 0], "data": ""})
] + [
    {"points": {"exterior": odd, "interior": []}}
    for odd in ([], [[]], [[1]], [[1, 2, 3]], [[1e300, 1e300]] * 3, [[0, 0]] * 3, [["a", "b"]])
]


@pytest.mark.parametrize("geometry", ODD_LABELS, ids=str)
@pytest.mark.parametrize("kind", ["bitmap", "polygon", "rectangle", "point", "mesh", ""])
def test_odd_geometries_are_400(lasting: Running, kind: str, geometry: dict[str, Any]) -> None:
    figure = {"classId": 1, "geometryType": kind, "geometry": geometry}
    body = {"entityId": 1, "figures": [figure], "skipBoundsValidation": True}
    answer = lasting.post("figures.bulk.add", body)
    assert answer.status_code == 400
    assert "figures.0" in answer.json()["error"]


def test_far_geometries_are_400(workspace: Running) -> None:
    meta = {"classes": [{"title": "any", "shape": "any", "color": "#FF0000"}]}
    classes = workspace.post("projects.meta.update", {"id": 1, "meta": meta}).json()["classes"]
    for kind in ("polygon", "rectangle", "point"):
        geometry = {"points": {"exterior": [[1e300, 5], [3, 1e300], [1e300, 1e300]]}}
        figure = {"classId": classes[0]["id"], "geometryType": kind, "geometry": geometry}
        body = {"entityId": 1, "figures": [figure], "skipBoundsValidation": True}
        answer = workspace.post("figures.bulk.add", body)
        assert answer.status_code == 400
        assert "pixels away" in answer.json()["error"]


@pytest.mark.parametrize("hole", [[], [[1]], [[1, 2]], [[1, 2, 3]] * 3, [[1e300, 0]] * 3])
def test_odd_holes_are_400(workspace: Running, hole: list[list[float]]) -> None:
    meta = {"classes": [{"title": "roof", "shape": "polygon", "color": "#FF0000"}]}
    classes = workspace.post("projects.meta.update", {"id": 1, "meta": meta}).json()["classes"]
    outline = {"exterior": [[0, 0], [20, 0], [20, 20]], "interior": [hole]}
    figure = {
        "classId": classes[0]["id"],
        "geometryType": "polygon",
        "geometry": {"points": outline},
    }
    answer = workspace.post("figures.bulk.add", {"entityId": 1, "figures": [figure]})
    assert answer.status_code == 400
    outline["interior"] = []
    good = workspace.post("figures.bulk.add", {"entityId": 1, "figures": [figure]})
    assert good.status_code == 200, good.text


@pytest.mark.parametrize("image_id", ["0", "-1", "x", str(10**30), "1.5", "%00"])
def test_odd_ids_in_addresses(lasting: Running, image_id: str) -> None:
    for rest in ("", "/view", "/thumbnail", "/figures"):
        answer = lasting.page("GET", f"/workspace/api/images/{image_id}{rest}")
        assert answer.status_code in (400, 404)
    assert lasting.page("DELETE", f"/workspace/api/figures/{image_id}").status_code in (400, 404)


@pytest.mark.parametrize("content", ["NaN", "Infinity", "1e999", '"\\ud800"', "9" * 30])
def test_what_no_answer_can_hold_is_not_kept(lasting: Running, content: str) -> None:
    """A value that is kept once and breaks every answer after it."""
    body = f'{{"taskId": 1, "fields": [{{"field": "x", "payload": [{content}]}}]}}'
    headers = {"x-api-key": "owner-token-of-the-tests", "content-type": "application/json"}
    path = "/public/api/v3/tasks.data.set"
    refused = lasting.page("POST", path, data=body, headers=headers)
    assert refused.status_code == 400
    assert "fields" in refused.json()["error"]
    assert lasting.post("tasks.data.get", {"taskId": 1, "fields": ["x"]}).json() == {"result": {}}


def test_a_deep_body_is_no_server_error(lasting: Running) -> None:
    headers = {"x-api-key": "owner-token-of-the-tests", "content-type": "application/json"}
    for depth in (500, 900, 100_000):
        body = '{"id": ' + "[" * depth + "]" * depth + "}"
        path = "/public/api/v3/images.download"
        assert lasting.page("POST", path, data=body, headers=headers).status_code == 400
