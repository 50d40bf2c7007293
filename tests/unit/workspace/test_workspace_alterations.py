"""Figures that become something else: other shapes of the same pixels, another name or layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import requests
import supervisely as sly
from workspace_film import Film
from workspace_http import Running

from sam2_serving.masks.bitmap import encode_bitmap
from sam2_serving.workspace.conversions import convert, pixels_of

Json = dict[str, Any]
WIDTH, HEIGHT = 33, 21
"""Of the picture `b.bmp`."""


@pytest.fixture
def on(image_ids: dict[str, int]) -> str:
    return f"images/{image_ids['b.bmp']}"


def _change(running: Running, key: str, **what: Any) -> requests.Response:
    return running.page("POST", "/workspace/api/changes", json={"key": key, **what})


def _figures(running: Running, on: str) -> list[Json]:
    found = running.page("GET", f"/workspace/api/{on}/figures").json()
    return [{name: one[name] for name in one if name != "updatedAt"} for one in found]


def _bitmap(mask: npt.NDArray[np.bool_]) -> Json:
    (x, y), data = encode_bitmap(mask)  # type: ignore[misc]
    return {"bitmap": {"origin": [x, y], "data": data}}


def _add(running: Running, on: str, kind: str, geometry: Json, **more: Any) -> int:
    figure = {"on": on, "class_id": 1, "geometry_type": kind, "geometry": geometry, **more}
    answer = _change(running, f"add to {on} {len(_figures(running, on))}", add=[figure])
    assert answer.ok, answer.text
    return int(answer.json()["added"][0])


def _blob(parts: int = 1) -> npt.NDArray[np.bool_]:
    """Parts with ragged edges; the first has a hole, and one pixel sticks out of it."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:12, 3:15] = True
    mask[5:8, 6:10] = False
    mask[12, 7] = mask[4, 15] = True
    for part in range(1, parts):
        mask[15:18, 4 * part : 4 * part + 3] = True
    return mask


def _covered(figure: Json) -> npt.NDArray[np.bool_]:
    return pixels_of(figure["geometryType"], figure["geometry"], (WIDTH, HEIGHT))


@pytest.mark.parametrize("seed", range(20))
def test_a_mask_and_its_polygons_cover_the_same_pixels(seed: int) -> None:
    mask = np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.6
    polygons = convert("bitmap", _bitmap(mask), "polygon", (WIDTH, HEIGHT))
    drawn = [pixels_of("polygon", one, (WIDTH, HEIGHT)) for one in polygons]
    np.testing.assert_array_equal(np.any(drawn, axis=0), mask)


@pytest.mark.parametrize("seed", range(20))
def test_shapes_are_drawn_as_the_sdk_draws_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = np.array((WIDTH, HEIGHT))

    def ring(corners: int) -> list[list[float]]:
        # Some reach outside the picture.
        return ((random.random((corners, 2)) * 1.4 - 0.2) * size).tolist()

    polygon = {"points": {"exterior": ring(6), "interior": [ring(3), ring(4)]}}
    box = {"points": {"exterior": ring(2), "interior": []}}
    for kind, geometry, maker in (
        ("polygon", polygon, sly.Polygon),
        ("rectangle", box, sly.Rectangle),
    ):
        wanted = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        maker.from_json(geometry).draw(wanted, [255, 255, 255])
        np.testing.assert_array_equal(
            pixels_of(kind, geometry, (WIDTH, HEIGHT)), wanted[..., 0] > 0
        )


def test_a_figure_changes_its_shape_and_stays_the_same_figure(workspace: Running, on: str) -> None:
    mask = _blob()
    prompt = {"crop": [[3, 2], [15, 12]], "positive": [], "negative": []}
    first = _add(workspace, on, "bitmap", _bitmap(mask), prompt=prompt, nn_created=True)
    _add(workspace, on, "rectangle", {"points": {"exterior": [[1, 1], [4, 5]], "interior": []}})
    before = _figures(workspace, on)
    answer = _change(workspace, "p", convert=[{"id": first, "to": "polygon"}])
    assert answer.json() == {"key": "p", "done": True, "added": []}
    polygon, box = _figures(workspace, on)
    assert (polygon["id"], polygon["geometryType"]) == (first, "polygon")
    assert polygon["meta"] == before[0]["meta"]
    assert len(polygon["geometry"]["points"]["interior"]) == 1
    np.testing.assert_array_equal(_covered(polygon), mask)

    assert _change(workspace, "m", convert=[{"id": first, "to": "bitmap"}]).ok
    assert _figures(workspace, on)[0]["geometry"] == before[0]["geometry"]
    assert _change(workspace, "b", convert=[{"id": first, "to": "rectangle"}]).ok
    boxed = _figures(workspace, on)
    assert boxed[0]["geometry"]["points"]["exterior"] == [[3, 2], [15, 12]]
    assert _change(workspace, "f", convert=[{"id": box["id"], "to": "bitmap"}]).ok
    filled = np.zeros((HEIGHT, WIDTH), bool)
    filled[1:6, 1:5] = True
    np.testing.assert_array_equal(_covered(_figures(workspace, on)[1]), filled)

    for key in "fbmp":
        assert workspace.page("POST", f"/workspace/api/changes/{key}/undo").ok
    assert _figures(workspace, on) == before
    for key in "pmb":
        assert workspace.page("POST", f"/workspace/api/changes/{key}/redo").ok
    assert _figures(workspace, on) == boxed


def test_each_part_of_a_mask_becomes_a_polygon(workspace: Running, on: str) -> None:
    mask = _blob(parts=3)
    first = _add(workspace, on, "bitmap", _bitmap(mask), description="ring")
    before = _figures(workspace, on)
    answer = _change(workspace, "p", convert=[{"id": first, "to": "polygon"}]).json()
    assert len(answer["added"]) == 2
    assert "left_out" not in answer
    polygons = _figures(workspace, on)
    assert [one["id"] for one in polygons] == [first, *answer["added"]]
    assert {one["description"] for one in polygons} == {"ring"}
    np.testing.assert_array_equal(np.any([_covered(one) for one in polygons], axis=0), mask)
    assert workspace.page("POST", "/workspace/api/changes/p/undo").ok
    assert _figures(workspace, on) == before


def test_an_object_of_a_video_keeps_its_largest_part(film: Film) -> None:
    on = f"videos/{film.video_id}/frames/2"
    mask = np.zeros((64, 96), bool)
    mask[2:9, 2:9] = mask[12:14, 12:14] = True
    added = {
        "on": on,
        "class_id": film.running.page("GET", "/workspace/api/classes").json()[0]["id"],
        "geometry_type": "bitmap",
        "geometry": _bitmap(mask),
    }
    (figure,) = _change(film.running, "a", add=[added]).json()["added"]
    answer = _change(film.running, "p", convert=[{"id": figure, "to": "polygon"}]).json()
    assert (answer["added"], answer["left_out"]) == ([], 1)
    (polygon,) = _figures(film.running, on)
    assert (polygon["id"], polygon["geometryType"]) == (figure, "polygon")
    assert polygon["geometryMeta"]["bbox"] == [2, 2, 8, 8]


def test_figures_get_names_geometries_and_layers_that_can_be_undone(
    workspace: Running, on: str
) -> None:
    box = {"points": {"exterior": [[1, 1], [4, 5]], "interior": []}}
    wide = {"points": {"exterior": [[1, 1], [9, 5]], "interior": []}}
    one, two, three = (_add(workspace, on, "rectangle", box) for _ in range(3))
    before = _figures(workspace, on)
    what = {
        "describe": [{"id": one, "description": " left wheel "}],
        "reshape": [{"id": two, "geometry_type": "rectangle", "geometry": wide}],
        "order": [three, one],
    }
    assert _change(workspace, "k", **what).ok
    after = _figures(workspace, on)
    # The two share out the layers that they had; the one between them stays where it is.
    assert [figure["id"] for figure in after] == [three, two, one]
    assert after[2]["description"] == "left wheel"
    assert after[1]["geometry"]["points"] == wide["points"]
    assert workspace.page("POST", "/workspace/api/changes/k/undo").ok
    assert _figures(workspace, on) == before
    assert workspace.page("POST", "/workspace/api/changes/k/redo").ok
    assert _figures(workspace, on) == after
    newest = _add(workspace, on, "rectangle", box)
    assert _figures(workspace, on)[-1]["id"] == newest


def test_what_cannot_be_altered_is_refused_in_words(
    workspace: Running, on: str, image_ids: dict[str, int]
) -> None:
    box = {"points": {"exterior": [[1, 1], [4, 5]], "interior": []}}
    wide = {"points": {"exterior": [[1, 1], [WIDTH + 9, 5.5]], "interior": []}}
    elsewhere = _add(workspace, f"images/{image_ids['a.png']}", "rectangle", box)
    figure = _add(workspace, on, "rectangle", box)
    before = _figures(workspace, on)
    reshaped = {"id": figure, "geometry_type": "rectangle", "geometry": wide}
    wrong: dict[str, tuple[int, Json]] = {
        "is a box already": (400, {"convert": [{"id": figure, "to": "rectangle"}]}),
        "convert.0.to": (400, {"convert": [{"id": figure, "to": "point"}]}),
        "There is no figure 999": (404, {"convert": [{"id": 999, "to": "polygon"}]}),
        "reaches outside": (400, {"reshape": [reshaped]}),
        "Only figures of one picture": (404, {"order": [figure, elsewhere]}),
        "describe.0.description": (400, {"describe": [{"id": figure, "description": "x" * 257}]}),
    }
    for number, (words, (status, what)) in enumerate(wrong.items()):
        answer = _change(workspace, f"wrong {number}", **what)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert _figures(workspace, on) == before
