"""Many figures changed in one step: all or none, undone and redone as one, never twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import requests
from workspace_film import Film
from workspace_http import Running

from sam2_serving.masks.bitmap import encode_bitmap
from sam2_serving.workspace import changes

Json = dict[str, Any]


def _change(running: Running, key: str, **what: Any) -> requests.Response:
    return running.page("POST", "/workspace/api/changes", json={"key": key, **what})


def _box(on: str, class_id: int = 1, **more: Any) -> Json:
    points = {"exterior": [[4, 5], [20, 18]], "interior": []}
    shape = {"geometry_type": "rectangle", "geometry": {"points": points}}
    return {"on": on, "class_id": class_id, **shape, **more}


def _polygon(on: str, class_id: int = 1, **more: Any) -> Json:
    points = {"exterior": [[4, 5], [20, 5], [20, 18]], "interior": [[[15, 7], [17, 7], [17, 9]]]}
    shape = {"geometry_type": "polygon", "geometry": {"points": points}}
    return {"on": on, "class_id": class_id, **shape, **more}


def _mask(on: str, class_id: int = 1, **more: Any) -> Json:
    pixels = np.zeros((40, 33), bool)
    pixels[5:19, 4:20] = True
    origin, data = encode_bitmap(pixels)  # type: ignore[misc]
    geometry = {"bitmap": {"origin": list(origin), "data": data}}
    return {
        "on": on,
        "class_id": class_id,
        "geometry_type": "bitmap",
        "geometry": geometry,
        "nn_created": True,
        **more,
    }


@pytest.fixture
def on(image_ids: dict[str, int]) -> str:
    return f"images/{image_ids['a.png']}"


def _figures(running: Running, on: str) -> list[Json]:
    return list(running.page("GET", f"/workspace/api/{on}/figures").json())


def _shown(figures: list[Json]) -> list[tuple[int, str, int]]:
    return [(one["id"], one["geometryType"], one["classId"]) for one in figures]


def test_boxes_become_polygons_and_are_boxes_again(workspace: Running, on: str) -> None:
    boxes = _change(workspace, "boxes", add=[_box(on), _box(on)]).json()["added"]
    before = _figures(workspace, on)
    assert _shown(before) == [(one, "rectangle", 1) for one in boxes]
    done = _change(workspace, "polygons", remove=boxes, add=[_polygon(on), _mask(on)])
    assert (done.status_code, done.json()["done"]) == (201, True)
    after = _figures(workspace, on)
    assert [one["geometryType"] for one in after] == ["polygon", "bitmap"]
    assert after[0]["geometry"]["points"]["interior"] == [[[15, 7], [17, 7], [17, 9]]]

    # Each way any number of times; an undo that is sent twice is done once.
    for way, figures in (("undo", before), ("undo", before), ("redo", after), ("undo", before)):
        answer = workspace.page("POST", f"/workspace/api/changes/polygons/{way}")
        assert (answer.status_code, answer.json()["done"]) == (200, way == "redo")
        assert _figures(workspace, on) == figures
    assert workspace.page("POST", "/workspace/api/changes/boxes/undo").ok
    assert _figures(workspace, on) == []
    # The class holds any shape now: the platform's clients read and write it as such.
    classes = workspace.page("GET", "/workspace/api/classes").json()
    assert [one["shape"] for one in classes] == ["any"]


def test_the_same_change_is_done_once(workspace: Running, on: str) -> None:
    first = _change(workspace, "k", add=[_mask(on)])
    again = _change(workspace, "k", add=[_mask(on)])
    assert first.json() == again.json()
    assert len(_figures(workspace, on)) == 1


def test_one_wrong_part_changes_nothing(
    workspace: Running, on: str, image_ids: dict[str, int]
) -> None:
    (kept,) = _change(workspace, "box", add=[_box(on)]).json()["added"]
    wide = _box(on)
    wide["geometry"] = {"points": {"exterior": [[0, 0], [500, 5]], "interior": []}}
    wrong: dict[str, tuple[int, Json]] = {
        "add.1: The rectangle reaches outside": (400, {"add": [_mask(on), wide]}),
        "add.1.class_id: there is no class 99": (400, {"add": [_mask(on), _mask(on, 99)]}),
        "add.1.on: 'images/x' is no place": (400, {"add": [_mask(on), _mask("images/x")]}),
        "There is no figure 999": (404, {"remove": [kept, 999]}),
        "There is no image 998": (404, {"add": [_mask("images/998")]}),
        "classify.0.class_id": (400, {"classify": [{"id": kept, "class_id": 99}]}),
        "object_id: only figures of videos": (400, {"add": [_mask(on, object_id=1)]}),
        "add.0.geometry_type": (400, {"add": [{**_mask(on), "geometry_type": "point"}]}),
        "bitmap": (400, {"add": [{**_mask(on), "geometry": {"bitmap": None}}]}),
        "key": (400, {"key": ""}),
    }
    for number, (words, (status, what)) in enumerate(wrong.items()):
        answer = _change(workspace, **{"key": f"wrong-{number}", "remove": [kept], **what})
        assert answer.status_code == status, (words, answer.text)
        assert words in answer.json()["error"]
    assert [one["id"] for one in _figures(workspace, on)] == [kept]
    assert workspace.page("POST", "/workspace/api/changes/wrong-0/undo").status_code == 404


def test_undo_keeps_what_became_of_the_figures(workspace: Running, on: str) -> None:
    """What a person did to the figures meanwhile is gone with them, and comes back with them."""
    added = _change(workspace, "apply", add=[_mask(on), _mask(on), _mask(on)]).json()["added"]
    body = {"title": "dog", "color": "#00FF00"}
    dog = workspace.page("POST", "/workspace/api/classes", json=body).json()["id"]
    _change(workspace, "dog", classify=[{"id": added[1], "class_id": dog}])
    workspace.page("DELETE", f"/workspace/api/figures/{added[0]}")
    present = _figures(workspace, on)
    assert [one["classId"] for one in present] == [dog, 1]
    assert workspace.page("POST", "/workspace/api/changes/apply/undo").ok
    assert _figures(workspace, on) == []
    assert workspace.page("POST", "/workspace/api/changes/apply/redo").ok
    assert _figures(workspace, on) == present
    assert workspace.page("POST", "/workspace/api/changes/dog/undo").ok
    assert [one["classId"] for one in _figures(workspace, on)] == [1, 1]


def test_a_member_changes_and_undoes_only_what_they_may_see(
    workspace: Running, on: str, image_ids: dict[str, int]
) -> None:
    dataset = workspace.api().image.get_info_by_id(image_ids["top.png"]).dataset_id
    token = workspace.member("ann", [dataset])
    (box,) = _change(workspace, "box", add=[_box(on)]).json()["added"]
    asked: list[tuple[str, Json]] = [
        ("changes", {"key": "hers", "add": [_mask(on)]}),
        ("changes", {"key": "hers", "remove": [box]}),
        ("changes", {"key": "box"}),
        ("changes/box/undo", {}),
    ]
    for path, body in asked:
        answer = workspace.page(
            "POST", f"/workspace/api/{path}", json=body, headers={"x-api-key": token}
        )
        assert answer.status_code == 403, (path, answer.text)
    assert [one["id"] for one in _figures(workspace, on)] == [box]


def test_on_a_frame_the_object_gets_the_class(film: Film) -> None:
    running, on = film.running, f"videos/{film.video_id}/frames/3"
    cat, roof = film.class_id("cat"), film.class_id("roof")
    (one,) = _change(running, "a", add=[_mask(on, cat)]).json()["added"]
    thing = _figures(running, on)[0]["objectId"]
    later = f"videos/{film.video_id}/frames/9"
    _change(running, "b", add=[_mask(later, cat, object_id=thing)])
    assert _change(running, "c", classify=[{"id": one, "class_id": roof}]).status_code == 201

    def told() -> tuple[list[int], list[int]]:
        classes = [_figures(running, where)[0]["classId"] for where in (on, later)]
        objects = running.page("GET", f"/workspace/api/videos/{film.video_id}/objects").json()
        return classes, [entry["classId"] for entry in objects]

    assert told() == ([roof, roof], [roof])
    running.page("POST", "/workspace/api/changes/c/undo")
    assert told() == ([cat, cat], [cat])
    other = _change(running, "d", add=[_mask(later, roof, object_id=thing)])
    assert "is of class" in other.json()["error"]


def test_old_changes_are_forgotten(
    workspace: Running, on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "KEPT", 2)
    for key in "abc":
        _change(workspace, key, add=[_box(on)])
    gone = workspace.page("POST", "/workspace/api/changes/a/undo")
    assert gone.status_code == 404
    assert "too old" in gone.json()["error"]
    assert workspace.page("POST", "/workspace/api/changes/b/undo").ok


def test_undo_of_a_deleted_class_is_refused(workspace: Running, on: str) -> None:
    body = {"title": "dog", "color": "#00FF00"}
    dog = workspace.page("POST", "/workspace/api/classes", json=body).json()["id"]
    (box,) = _change(workspace, "box", add=[_box(on, dog)]).json()["added"]
    _change(workspace, "gone", remove=[box])
    api = workspace.api()
    meta = api.project.get_meta(1)
    meta["classes"] = [one for one in meta["classes"] if one["title"] != "dog"]
    api.project.update_meta(1, meta)
    refused = workspace.page("POST", "/workspace/api/changes/gone/undo")
    assert refused.status_code == 400
    assert "class of these figures was deleted" in refused.json()["error"]
