"""Objects, figures and tags of videos, as the SDK's client adds, lists and removes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import requests
import supervisely as sly
from supervisely.annotation.label import LabelingStatus
from supervisely.video_annotation.key_id_map import KeyIdMap
from workspace_film import Film, bitmap_of, figure_on


def _annotation(film: Film) -> sly.VideoAnnotation:
    """Three objects of three geometry types, on some frames; a tag on some."""
    mask = np.zeros((64, 96), bool)
    mask[10:30, 20:50] = True
    mask[15:20, 30:35] = False
    ring = [sly.PointLocation(*point) for point in ((2, 2), (2, 60), (40, 60), (40, 2))]
    hole = [sly.PointLocation(*point) for point in ((10, 10), (10, 20), (20, 20))]
    shapes = {
        "cat": sly.Bitmap(mask),
        "roof": sly.Polygon(ring, [hole]),
        "car": sly.Rectangle(3, 4, 20, 30),
    }
    objects = {title: sly.VideoObject(film.meta.get_obj_class(title)) for title in shapes}
    frames = [
        sly.Frame(
            index,
            [sly.VideoFigure(objects[title], shapes[title], index) for title in titles],
        )
        for index, titles in ((0, ("cat", "roof")), (7, ("cat", "car")), (44, ("roof",)))
    ]
    tag = sly.VideoTag(film.meta.get_tag_meta("review"), frame_range=[3, 9])
    return sly.VideoAnnotation(
        (64, 96),
        45,
        sly.VideoObjectCollection(list(objects.values())),
        sly.FrameCollection(frames),
        sly.VideoTagCollection([tag]),
    )


def test_an_annotation_comes_back_as_it_went(film: Film) -> None:
    sent = _annotation(film)
    film.api.video.annotation.append(film.video_id, sent, KeyIdMap())
    got = sly.VideoAnnotation.from_json(
        film.api.video.annotation.download(film.video_id), film.meta, KeyIdMap()
    )
    assert (got.img_size, got.frames_count) == ((64, 96), 45)
    assert [one.obj_class.name for one in got.objects] == ["cat", "roof", "car"]
    assert [frame.index for frame in got.frames] == [0, 7, 44]

    def shapes(annotation: sly.VideoAnnotation) -> list[tuple[int, str, Any]]:
        return [
            (one.frame_index, one.parent_object.obj_class.name, one.geometry.to_json())
            for one in annotation.figures
        ]

    plain = [
        (index, name, {key: shape[key] for key in ("bitmap", "points") if key in shape})
        for index, name, shape in shapes(sent)
    ]
    assert [
        (index, name, {key: shape[key] for key in ("bitmap", "points") if key in shape})
        for index, name, shape in shapes(got)
    ] == plain
    (tag,) = got.tags
    assert (tag.name, tag.frame_range) == ("review", [3, 9])
    counted = film.api.video.object.get_list(film.dataset_id)
    assert [one.class_id for one in counted] == [
        film.class_id(title) for title in ("cat", "roof", "car")
    ]
    again = film.api.video.object.get_info_by_id(counted[1].id)
    assert again == counted[1]


def test_created_one_by_one(film: Film) -> None:
    thing = film.object_of("cat")
    ids = [
        film.api.video.figure.create(
            film.video_id, thing, frame, bitmap_of(), "bitmap", track_id="run-1", status=status
        )
        for frame, status in (
            (3, LabelingStatus.AUTO), (4, LabelingStatus.MANUAL), (5, LabelingStatus.CORRECTED)
        )
    ]  # fmt: skip
    raw = film.listed(("id", "in", ids))
    assert [(one["nnCreated"], one["nnUpdated"]) for one in raw] == [
        (True, True), (False, False), (True, False)
    ]  # fmt: skip
    assert [one["meta"]["frame"] for one in raw] == [3, 4, 5]
    assert {(one["objectId"], one["trackId"]) for one in raw} == {(thing, "run-1")}
    info = film.api.video.figure.get_info_by_id(ids[1])
    assert (info.object_id, info.frame_index, info.entity_id) == (thing, 4, film.video_id)
    assert info.geometry["bitmap"] == bitmap_of()["bitmap"]
    known = film.api.video.figure.get_by_ids(film.dataset_id, ids[::-1])
    assert [one.id for one in known] == ids[::-1]
    by_video = film.api.video.figure.download(film.dataset_id, [film.video_id])
    assert [one.id for one in by_video[film.video_id]] == ids
    bare = film.api.video.figure.download(film.dataset_id, [film.video_id], skip_geometry=True)
    assert [one.geometry for one in bare[film.video_id]] == [None] * 3
    film.api.video.figure.remove_batch(ids[:1])
    assert film.running.post("figures.remove", {"id": ids[1]}).status_code == 200
    assert [one["id"] for one in film.listed()] == ids[2:]


def test_filters_and_pages(film: Film) -> None:
    first, second = film.object_of("cat"), film.object_of("cat")
    figures = [figure_on(thing, frame) for frame in range(10) for thing in (first, second)]
    assert film.add(*figures).status_code == 200

    def frames(*conditions: tuple[str, str, object], **more: object) -> list[int]:
        return [one["meta"]["frame"] for one in film.listed(*conditions, **more)]

    assert frames(("objectId", "=", second)) == list(range(10))
    assert frames(("startFrame", ">=", 3), ("endFrame", "<=", 4)) == [3, 3, 4, 4]
    between = (("objectId", "in", [first]), ("startFrame", ">=", 8))
    assert frames(*between) == [8, 9]
    assert frames(("entityId", "in", [film.video_id + 1])) == []
    assert frames(("id", "in", list(range(10**5, 2 * 10**5)))) == []
    assert frames(sort_order="desc", per_page=3, page=2) == [8, 7, 7]
    whole = film.api.video.figure.get_list_all_pages(
        "figures.list", {"datasetId": film.dataset_id, "fields": ["id"], "per_page": 7}
    )
    assert len({one.id for one in whole}) == 20
    for wrong in (
        {"field": "objectId", "operator": ">=", "value": 1},
        {"field": "startFrame", "operator": "<=", "value": 1},
        {"field": "id", "operator": "in", "value": ["1"]},
        {"field": "frame", "operator": "=", "value": 1},
    ):
        body = {"datasetId": film.dataset_id, "fields": [], "filter": [wrong]}
        refused = film.running.post("figures.list", body)
        assert refused.status_code == 400
        assert refused.json()["error"].startswith("filter.")


def test_one_wrong_figure_saves_none(film: Film) -> None:
    thing, roof = film.object_of("cat"), film.object_of("roof")
    good = figure_on(thing, 0)
    wrong = {
        "meta.frame": figure_on(thing, 45),
        "meta.frame: say": {**good, "meta": {}},
        "objectId": figure_on(thing + 99, 1),
        "geometryType": figure_on(roof, 1),
        "classId": figure_on(thing, 1, classId=film.class_id("roof")),
    }
    for field, figure in wrong.items():
        refused = film.add(good, figure)
        assert refused.status_code == 400, field
        assert refused.json()["error"].startswith(f"figures.1.{field}")
    assert film.listed() == []
    assert film.add(good, figure_on(thing, 44)).json() == [
        {"id": one["id"]} for one in film.listed()
    ]


def test_a_figure_of_an_image_has_no_object(film: Film) -> None:
    image = film.api.image.get_list(project_id=1)[0]
    figure = {**figure_on(film.object_of("cat"), 0), "classId": film.class_id("cat")}
    body = {"entityId": image.id, "figures": [figure]}
    refused = film.running.post("figures.bulk.add", body)
    assert refused.status_code == 400
    assert "no objectId" in refused.json()["error"]


def test_tags_on_frames(film: Film) -> None:
    review, kind = (film.meta.get_tag_meta(name) for name in ("review", "kind"))
    film.api.video.tag.add_tag(review.sly_id, film.video_id, frame_range=[5, 10])
    film.api.video.tag.add(film.video_id, sly.VideoTag(kind, "b"))
    first, second = film.api.video.tag.download_list(film.video_id, film.meta)
    assert (first.name, first.value, first.frame_range) == ("review", None, [5, 10])
    assert (second.name, second.value, second.frame_range) == ("kind", "b", None)
    assert [one["tagId"] for one in film.api.video.get_list(film.dataset_id)[0].tags] == [
        review.sly_id,
        kind.sly_id,
    ]
    film.api.video.tag.remove_from_video(first.sly_id)
    assert [one.name for one in film.api.video.tag.download_list(film.video_id, film.meta)] == [
        "kind"
    ]
    for more, field in (
        ({"frameRange": [5, 45]}, "frameRange"),
        ({"frameRange": [6, 5]}, "frameRange"),
        ({"value": "x"}, "value"),
        ({"tagId": 99}, "tagId"),
    ):
        body = {"tagId": review.sly_id, "videoId": film.video_id, **more}
        refused = film.running.post("videos.tags.add", body)
        assert refused.status_code == 400
        assert refused.json()["error"].startswith(field)
    with pytest.raises(requests.HTTPError) as used:
        film.api.project.update_meta(1, film.meta.delete_tag_meta("kind"))
    assert "'kind' is used" in used.value.response.json()["error"]
    film.api.project.update_meta(1, film.meta.delete_tag_meta("review"))


def test_a_class_of_objects_cannot_go(film: Film) -> None:
    film.object_of("roof")
    with pytest.raises(requests.HTTPError) as used:
        film.api.project.update_meta(1, film.meta.delete_obj_class("roof"))
    assert "'roof' is used by objects" in used.value.response.json()["error"]


def test_a_member_of_another_dataset(film: Film) -> None:
    thing = film.object_of("cat")
    (figure,) = film.add(figure_on(thing, 0)).json()
    cats = film.api.dataset.get_info_by_name(1, "cats")
    token = film.running.member("of-cats", [cats.id])
    notice = {"trackId": "t", "videoId": film.video_id, "frameRange": [0, 1]}
    progress = {**notice, "progress": {"current": 0, "total": 1}}
    calls: dict[str, dict[str, Any]] = {
        "figures.bulk.add": {"entityId": film.video_id, "figures": [figure_on(thing, 1)]},
        "figures.list": {"datasetId": film.dataset_id, "fields": []},
        "figures.remove": {"id": figure["id"]},
        "annotation-objects.bulk.add": {
            "datasetId": film.dataset_id,
            "annotationObjects": [{"classId": film.class_id("cat"), "entityId": film.video_id}],
        },
        "annotation-objects.list": {"datasetId": film.dataset_id},
        "annotation-objects.info": {"id": thing},
        "videos.annotations.bulk.info": {"videoIds": [film.video_id]},
        "videos.tags.add": {"tagId": 1, "videoId": film.video_id},
        "videos.notify-annotation-tool": {
            "type": "videos:fetch-figures-in-range",
            "data": progress,
        },
        "annotation-tool.run-action": {
            "sessionId": "x",
            "action": "figures/setDirectTrackingProgress",
            "payload": progress,
        },
    }
    for route, body in calls.items():
        assert film.running.post(route, body, token).status_code == 403, route
    elsewhere = {"classId": film.class_id("cat"), "entityId": film.video_id}
    body = {"datasetId": cats.id, "annotationObjects": [elsewhere]}
    assert film.running.post("annotation-objects.bulk.add", body, token).status_code == 400
    assert len(film.listed()) == 1
