"""The page's own routes for frames, slices and photos: pictures, figures, edits."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from workspace_gallery import FRAMES, Ids, ids_of, make_gallery, slice_of
from workspace_http import Running, Settings, serving

from sam2_serving.masks.bitmap import decode_bitmap, encode_bitmap
from sam2_serving.workspace import create_workspace


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Iterator[Running]:
    """A gallery that a test may change."""
    app = create_workspace(settings(folder=make_gallery(tmp_path / "gallery")))
    with serving(app) as url:
        yield Running(url, app)


def _mask(side: int, left: int = 3) -> dict[str, object]:
    mask = np.zeros((40, 40), bool)
    mask[5 : 5 + side, left : left + side] = True
    (x, y), data = encode_bitmap(mask)  # type: ignore[misc]
    return {"class_id": 1, "origin": {"x": x, "y": y}, "bitmap": data}


def _places(ids: Ids) -> dict[str, str]:
    return {
        "frame": f"videos/{ids.clip}/frames/12",
        "slice": f"volumes/{ids.volume}/slices/coronal/30",
        "photo": f"photos/{ids.photo}",
    }


def test_what_the_page_lists(gallery: Running, ids: Ids) -> None:
    datasets = gallery.page("GET", "/workspace/api/media").json()["datasets"]
    by_name = {one["name"]: one for one in datasets}
    clip, lossy = by_name["films"]["videos"]
    assert (clip["kind"], clip["frames"], clip["fps"]) == ("video", 45, 25.0)
    assert lossy["name"] == "lossy.mp4"
    (volume,) = by_name["scans"]["volumes"]
    assert volume["planes"]["coronal"] == {"width": 96, "height": 48, "slices": 80}
    assert volume["window"]["min"] < volume["window"]["center"] < volume["window"]["max"]
    (photo,) = by_name["street/pointcloud"]["photos"]
    assert (photo["kind"], photo["name"], photo["cloud"]) == ("photo", "front.png", "a.pcd")
    for medium in (clip, volume, photo, by_name["albums"]["images"][0]):
        thumbnail = gallery.page("GET", medium["thumbnail"])
        assert Image.open(io.BytesIO(thumbnail.content)).format == "JPEG"


def test_pictures_of_places(gallery: Running, ids: Ids) -> None:
    frame = gallery.page("GET", f"/workspace/api/videos/{ids.clip}/frames/12/view")
    shown = np.asarray(Image.open(io.BytesIO(frame.content)).convert("RGB"))
    assert np.abs(shown.astype(int) - FRAMES[12]).mean() < 6
    path = f"/workspace/api/volumes/{ids.volume}/slices/axial/20/view?center=300&width=900"
    cut = gallery.page("GET", path)
    shown = np.asarray(Image.open(io.BytesIO(cut.content)))
    np.testing.assert_array_equal(shown, slice_of("axial", 20, 300, 900))
    photo = gallery.page("GET", f"/workspace/api/photos/{ids.photo}/view")
    assert Image.open(io.BytesIO(photo.content)).size == (60, 40)


@pytest.mark.parametrize("place", ["frame", "slice", "photo"])
def test_save_list_edit_delete(own: Running, place: str) -> None:
    path = f"/workspace/api/{_places(ids_of(own))[place]}/figures"
    saved = own.page("POST", path, json=_mask(10))
    assert saved.status_code == 201
    (figure,) = own.page("GET", path).json()
    assert figure == saved.json()
    assert (figure["objectId"] is None) == (place == "photo")

    prompt = {"positive": [[4, 6]], "negative": []}
    body = {**_mask(20, left=8), "prompt": prompt}
    edited = own.page("PUT", f"/workspace/api/figures/{figure['id']}", json=body)
    assert edited.status_code == 200
    (after,) = own.page("GET", path).json()
    assert after["id"] == figure["id"]
    assert (after["objectId"], after["createdAt"]) == (figure["objectId"], figure["createdAt"])
    assert after["geometry"]["bitmap"]["origin"] == [8, 5]
    assert decode_bitmap(after["geometry"]["bitmap"]["data"]).sum() == 400
    assert after["area"] == "400"
    assert after["meta"] == {**figure["meta"], "smartToolInput": prompt}
    assert (after["nnCreated"], after["nnUpdated"]) == (True, False)

    assert own.page("DELETE", f"/workspace/api/figures/{figure['id']}").ok
    assert own.page("GET", path).json() == []
    gone = own.page("PUT", f"/workspace/api/figures/{figure['id']}", json=body)
    assert gone.status_code == 404


def test_figures_stay_on_their_own_place(own: Running) -> None:
    ids = ids_of(own)
    for frame in (3, 3, 12):
        path = f"/workspace/api/videos/{ids.clip}/frames/{frame}/figures"
        own.page("POST", path, json=_mask(10))
    counts = {
        frame: len(
            own.page("GET", f"/workspace/api/videos/{ids.clip}/frames/{frame}/figures").json()
        )
        for frame in (2, 3, 12)
    }
    assert counts == {2: 0, 3: 2, 12: 1}
    places = own.page("GET", f"/workspace/api/videos/{ids.clip}/places").json()
    assert places == {"frame:3": 2, "frame:12": 1}
    plane = f"/workspace/api/volumes/{ids.volume}/slices/axial/7/figures"
    figure = own.page("POST", plane, json=_mask(10)).json()
    assert figure["meta"] == {"sliceIndex": 7, "normal": {"x": 0, "y": 0, "z": 1}}
    places = own.page("GET", f"/workspace/api/volumes/{ids.volume}/places").json()
    assert places == {"axial:7": 1}
    listed = {
        one["name"]: one for one in own.page("GET", "/workspace/api/media").json()["datasets"]
    }
    assert [one["figures"] for one in listed["films"]["videos"]] == [3, 0]
    # The images' own API knows nothing of them.
    images = own.api().image.get_list(project_id=1)
    assert sum(image.labels_count for image in images) == 0


def test_an_object_on_two_frames(own: Running) -> None:
    ids = ids_of(own)
    base = f"/workspace/api/videos/{ids.clip}/frames"
    first = own.page("POST", f"{base}/0/figures", json=_mask(10)).json()
    body = {**_mask(10), "object_id": first["objectId"]}
    second = own.page("POST", f"{base}/1/figures", json=body).json()
    third = own.page("POST", f"{base}/1/figures", json=_mask(10)).json()
    assert second["objectId"] == first["objectId"] != third["objectId"]

    own.page("POST", "/workspace/api/classes", json={"title": "other", "color": "#000000"})
    wrong = {
        "class_id": own.page(
            "PUT", f"/workspace/api/figures/{first['id']}", json={**_mask(9), "class_id": 2}
        ),
        "object_id": own.page(
            "POST", f"/workspace/api/videos/{ids.lossy}/frames/0/figures", json=body
        ),
    }
    for field, answer in wrong.items():
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(field)
    photo = own.page("POST", f"/workspace/api/photos/{ids.photo}/figures", json=body)
    assert photo.status_code == 400


def test_an_image_is_edited_too(workspace: Running, image_ids: dict[str, int]) -> None:
    path = f"/workspace/api/images/{image_ids['a.png']}/figures"
    saved = workspace.page("POST", path, json=_mask(10)).json()
    edited = workspace.page("PUT", f"/workspace/api/figures/{saved['id']}", json=_mask(15))
    assert (edited.json()["id"], edited.json()["area"]) == (saved["id"], "225")
    outside = {**_mask(10), "origin": {"x": 55, "y": 0}}
    refused = workspace.page("PUT", f"/workspace/api/figures/{saved['id']}", json=outside)
    assert refused.status_code == 400
    (kept,) = workspace.page("GET", path).json()
    assert kept["area"] == "225"


ODD_PLACES = [
    ("videos/{clip}/frames/45", 404), ("videos/{clip}/frames/-1", 400),
    ("videos/{clip}/frames/x", 400), ("videos/{volume}/frames/0", 404),
    ("volumes/{volume}/slices/axial/48", 404), ("volumes/{volume}/slices/diagonal/0", 404),
    ("volumes/{clip}/slices/axial/0", 404), ("photos/999", 404),
]  # fmt: skip


@pytest.mark.parametrize(("place", "status"), ODD_PLACES)
def test_places_that_are_not_there(gallery: Running, ids: Ids, place: str, status: int) -> None:
    path = place.format(clip=ids.clip, volume=ids.volume)
    window = "?center=0&width=1"
    for rest in ("figures", f"view{window}"):
        answer = gallery.page("GET", f"/workspace/api/{path}/{rest}")
        assert answer.status_code == status, rest
    assert (
        gallery.page("POST", f"/workspace/api/{path}/figures", json=_mask(5)).status_code == status
    )


@pytest.mark.parametrize("window", ["", "?center=1", "?center=0&width=0", "?center=nan&width=1"])
def test_a_slice_needs_a_window(gallery: Running, ids: Ids, window: str) -> None:
    path = f"/workspace/api/volumes/{ids.volume}/slices/axial/0/view{window}"
    assert gallery.page("GET", path).status_code == 400


def test_a_member_without_right(gallery: Running, ids: Ids) -> None:
    albums = gallery.api().dataset.get_info_by_name(1, "albums")
    headers = {"x-api-key": gallery.member("of-albums", [albums.id])}
    listed = gallery.page("GET", "/workspace/api/media", headers=headers).json()["datasets"]
    assert [one["name"] for one in listed] == ["albums"]
    for path in _places(ids).values():
        for rest in ("figures", "view?center=0&width=1"):
            url = f"/workspace/api/{path}/{rest}"
            assert gallery.page("GET", url, headers=headers).status_code == 403


def test_a_medium_is_done_until_it_is_not(own: Running) -> None:
    ids = ids_of(own)
    datasets = own.page("GET", "/workspace/api/media").json()["datasets"]
    image = next(one for dataset in datasets for one in dataset["images"])["id"]
    marked = {"videos": ids.clip, "volumes": ids.volume, "photos": ids.photo, "images": image}

    def done() -> set[tuple[str, int]]:
        listed = own.page("GET", "/workspace/api/media").json()["datasets"]
        return {
            (kinds, one["id"])
            for dataset in listed
            for kinds in marked
            for one in dataset[kinds]
            if one["done"]
        }

    for value in (True, True, False):
        for kinds, number in marked.items():
            path = f"/workspace/api/{kinds}/{number}/done"
            assert own.page("PUT", path, json={"done": value}).ok
        assert done() == (set(marked.items()) if value else set())
    for path, status in (
        ("images/999/done", 404),
        ("photos/999/done", 404),
        ("clouds/1/done", 400),
    ):
        assert own.page("PUT", f"/workspace/api/{path}", json={"done": True}).status_code == status
    odd = own.page("PUT", f"/workspace/api/images/{image}/done", json={"done": "perhaps"})
    assert odd.status_code == 400
