"""Classes: added, renamed, recoloured, put in order, deleted with their figures, and undone."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from workspace_film import Film
from workspace_http import Running

Json = dict[str, Any]
BOX = {"points": {"exterior": [[4, 5], [20, 18]], "interior": []}}


@pytest.fixture
def on(image_ids: dict[str, int]) -> str:
    return f"images/{image_ids['a.png']}"


def _classes(running: Running) -> list[Json]:
    return list(running.page("GET", "/workspace/api/classes").json())


def _titles(running: Running) -> list[str]:
    return [one["title"] for one in _classes(running)]


def _new(running: Running, title: str, key: str = "") -> int:
    body = {"title": title, "color": "#112233", "key": key or f"new {title}"}
    answer = running.page("POST", "/workspace/api/classes", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def _alter(running: Running, class_id: int, key: str, **news: str) -> requests.Response:
    return running.page("PUT", f"/workspace/api/classes/{class_id}", json={"key": key, **news})


def _delete(running: Running, class_id: int, key: str, figures: int = 0) -> requests.Response:
    query = {"key": key, "figures": figures}
    return running.page("DELETE", f"/workspace/api/classes/{class_id}", params=query)


def _walk(running: Running, key: str, way: str) -> requests.Response:
    return running.page("POST", f"/workspace/api/changes/{key}/{way}")


def _box(running: Running, on: str, class_id: int) -> int:
    figure = {"on": on, "class_id": class_id, "geometry_type": "rectangle", "geometry": BOX}
    body = {"key": f"box {on} {class_id}", "add": [figure]}
    answer = running.page("POST", "/workspace/api/changes", json=body)
    assert answer.ok, answer.text
    return int(answer.json()["added"][0])


def test_a_class_is_renamed_recoloured_and_put_in_order(workspace: Running) -> None:
    first = _classes(workspace)[0]
    cat, dog = _new(workspace, "cat"), _new(workspace, "dog")
    assert _alter(workspace, cat, "rename", title=" tiger ").ok
    assert _alter(workspace, cat, "paint", color="#abcdef").ok
    order = {"key": "order", "ids": [dog, first["id"], cat]}
    for _ in range(2):  # the same change is done once
        assert workspace.page("PUT", "/workspace/api/classes/order", json=order).ok
    assert _titles(workspace) == ["dog", first["title"], "tiger"]
    assert _classes(workspace)[2]["color"] == "#ABCDEF"
    cow = _new(workspace, "cow")
    assert _new(workspace, "cow") == cow  # sent again, because no answer came
    assert _classes(workspace)[-1]["id"] == cow

    for key in ("new cow", "order", "paint", "rename", "new dog", "new cat"):
        assert _walk(workspace, key, "undo").ok, key
    assert _classes(workspace) == [first]
    for key in ("new cat", "new dog", "rename", "paint", "order"):
        assert _walk(workspace, key, "redo").ok, key
    assert [one["id"] for one in _classes(workspace)] == [dog, first["id"], cat]


def test_a_class_goes_and_comes_back_with_its_figures(workspace: Running, on: str) -> None:
    cat = _new(workspace, "cat")
    kept = _box(workspace, on, _classes(workspace)[0]["id"])
    figure = _box(workspace, on, cat)
    before = workspace.page("GET", f"/workspace/api/{on}/figures").json()
    uses = workspace.page("GET", f"/workspace/api/classes/{cat}/uses").json()
    assert uses == {"figures": 1, "objects": 0, "media": 1}
    refused = _delete(workspace, cat, "gone")
    assert (refused.status_code, "has 1 figures" in refused.text) == (400, True)
    assert _delete(workspace, cat, "gone", figures=1).ok
    assert "cat" not in _titles(workspace)
    left = workspace.page("GET", f"/workspace/api/{on}/figures").json()
    assert [one["id"] for one in left] == [kept]
    assert _walk(workspace, "gone", "undo").ok
    assert workspace.page("GET", f"/workspace/api/{on}/figures").json() == before
    assert [one["id"] for one in before] == [kept, figure]
    assert _walk(workspace, "gone", "redo").ok
    assert "cat" not in _titles(workspace)


def test_objects_of_videos_go_and_come_back_with_their_class(film: Film) -> None:
    on = f"videos/{film.video_id}/frames/3"
    cat = _new(film.running, "a new kind")
    _box(film.running, on, cat)
    before = film.running.page("GET", f"/workspace/api/{on}/figures").json()
    assert _delete(film.running, cat, "gone", figures=1).ok
    objects = f"/workspace/api/videos/{film.video_id}/objects"
    assert film.running.page("GET", objects).json() == []
    assert _walk(film.running, "gone", "undo").ok
    assert film.running.page("GET", f"/workspace/api/{on}/figures").json() == before
    (thing,) = film.running.page("GET", objects).json()
    assert thing["id"] == before[0]["objectId"]


def test_what_cannot_be_is_refused_in_words(workspace: Running, on: str) -> None:
    first = _classes(workspace)[0]["id"]
    cat, dog = _new(workspace, "cat"), _new(workspace, "dog")
    order = {"key": "o", "ids": [cat, dog]}
    for words, status, answer in (
        ("There is a class 'dog' already", 400, _alter(workspace, cat, "r", title="dog")),
        ("color", 400, _alter(workspace, cat, "r", color="red")),
        ("There is no class 99", 404, _alter(workspace, 99, "r", title="x")),
        ("There is no class 99", 404, _delete(workspace, 99, "d")),
        (
            "came or went",
            404,
            workspace.page("PUT", "/workspace/api/classes/order", json=order),
        ),
    ):
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
    # Undone while it is used: the class would take figures with it that nobody asked about.
    _box(workspace, on, cat)
    undone = _walk(workspace, "new cat", "undo")
    assert (undone.status_code, "is used" in undone.text) == (400, True)
    # A name that was given to another class meanwhile.
    assert _alter(workspace, dog, "r", title="wolf").ok
    _new(workspace, "dog", key="another dog")
    undone = _walk(workspace, "r", "undo")
    assert (undone.status_code, "of this name" in undone.text) == (400, True)
    assert [one["id"] for one in _classes(workspace)][:3] == [first, cat, dog]
