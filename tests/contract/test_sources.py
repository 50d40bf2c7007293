"""Every source of the Smart Tool: the right pixels and rights, keys that never collide."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import supervisely as sly
from live import Platform, RunningApp
from pictures import KINDS
from test_deploying import deploy
from test_permissions import MEMBER, STRANGER

AXIAL = {"x": 0, "y": 0, "z": 1}


def frame(platform: Platform, index: int = 0) -> dict[str, Any]:
    return {"video": {"video_id": platform.others["video"], "frame_index": index}}


def slice_of(platform: Platform, index: int = 0, **changed: Any) -> dict[str, Any]:
    wanted = {
        "volume_id": platform.others["volume"],
        "slice_index": index,
        "normal": AXIAL,
        "window_center": 1000.5,
        "window_width": 4000,
    }
    return {"volume": {**wanted, **changed}}


def by_hash(platform: Platform, name: str = "scene0") -> dict[str, Any]:
    entity = platform.workspace.store.entity(platform.images[name])
    assert entity is not None
    return {"image_hash": entity.hash}


def photo(platform: Platform) -> dict[str, Any]:
    return {"pcd_related_image_id": platform.others["photo"]}


def image(platform: Platform, name: str = "scene0") -> dict[str, Any]:
    return {"image_id": platform.images[name]}


SOURCES = {"hash": by_hash, "frame": frame, "slice": slice_of, "photo": photo, "image": image}
DOWNLOADS = {
    "hash": "images.bulk.download-by-hash",
    "frame": "videos.download-frame",
    "slice": "volumes.slices.images.download",
    "photo": "point-clouds.images.download",
    "image": "images.download",
}


def click(app: RunningApp, platform: Platform, source: dict[str, Any], **changed: Any) -> Any:
    context = {"positive": [{"x": 160, "y": 120}], "negative": [], **source}
    return app.post("smart_segmentation", {**platform.envelope(context), **changed})


@pytest.fixture(autouse=True)
def forgetful(app: RunningApp, platform: Platform) -> None:
    platform.workspace.store.put_member("member", MEMBER, [platform.datasets["closed"]])
    platform.workspace.counts.reset()


def test_one_picture_gives_one_mask_from_wherever_it_comes(
    app: RunningApp, platform: Platform
) -> None:
    """No step between the platform and the model loses anything (contract 7.1-29)."""
    for name, source in (
        ("scene0", by_hash(platform)),
        ("scene0", frame(platform, 0)),
        ("scene1", frame(platform, 1)),
        ("scene2", frame(platform, 2)),
        ("scene1", photo(platform)),
        ("scene1", by_hash(platform, "scene1")),
    ):
        answer = click(app, platform, source)
        assert answer.status_code == 200, answer.text
        assert answer.json()["bitmap"] is not None
        assert answer.content == click(app, platform, image(platform, name)).content, source


def test_equal_numbers_of_different_kinds_do_not_collide(
    app: RunningApp, platform: Platform
) -> None:
    """Contract 7.1-4 and 4.4: photo 1 was answered with image 1."""
    number = platform.others["photo"]
    there = {entity.id for entity in platform.workspace.store.entities()}
    assert number in there, "an image has the number of the photo"
    as_image = click(app, platform, {"image_id": number})
    as_photo = click(app, platform, {"pcd_related_image_id": number})
    assert as_image.status_code == as_photo.status_code == 200
    shown = {id: name for name, id in platform.images.items()}[number]
    assert shown != "scene1"
    assert as_photo.content == click(app, platform, image(platform, "scene1")).content
    assert as_photo.content != as_image.content


def test_window_axis_and_index_are_part_of_the_key(app: RunningApp, platform: Platform) -> None:
    """Contract 7.1-3 and 4: another contrast was answered with the old one's features."""
    own = {"window_center": 1001.25, "window_width": 3999}  # nobody else's: none is stored
    wanted = [
        slice_of(platform, **own),
        slice_of(platform, 1, **own),
        slice_of(platform, **{**own, "window_center": -801.25}),
        slice_of(platform, **{**own, "window_width": 299}),
        slice_of(platform, **own, normal={"x": 1, "y": 0, "z": 0}),
    ]
    sent = [click(app, platform, one, **middle(platform, one)) for one in wanted]
    assert [answer.status_code for answer in sent] == [200] * len(wanted), [s.text for s in sent]
    assert platform.count("volumes.slices.images.download") == len(wanted)
    assert len({answer.content for answer in sent}) == len(wanted)


def middle(platform: Platform, source: dict[str, Any]) -> dict[str, Any]:
    """Click a sagittal slice, which is lower than the others, where it has pixels."""
    y = 1 if source["volume"]["normal"]["x"] else 120
    context = {"positive": [{"x": 120, "y": y}], "negative": [], **source}
    return {"context": context}


@pytest.mark.parametrize("kind", SOURCES)
def test_further_clicks_download_nothing(kind: str, app: RunningApp, platform: Platform) -> None:
    source = SOURCES[kind](platform)
    assert click(app, platform, source).status_code == 200
    platform.workspace.counts.reset()
    assert click(app, platform, source).status_code == 200
    assert platform.workspace.counts.read() == {}


def test_first_click_downloads_once(app: RunningApp, platform: Platform) -> None:
    sources = {kind: make(platform) for kind, make in SOURCES.items()}
    assert deploy(app).status_code == 200  # forgets all embeddings
    for kind, source in sources.items():
        platform.workspace.counts.reset()
        with ThreadPoolExecutor(4) as pool:
            codes = [
                one.status_code
                for one in pool.map(lambda _, source=source: click(app, platform, source), "abcd")
            ]
        assert codes == [200] * 4
        downloads = platform.count(DOWNLOADS[kind])
        assert downloads <= 2, f"{kind}: one, or two if the second came in between"


@pytest.mark.parametrize("kind", SOURCES)
def test_rights_are_those_of_the_caller(kind: str, app: RunningApp, platform: Platform) -> None:
    """A stored embedding does not answer those who may not see the picture."""
    source = SOURCES[kind](platform)
    assert click(app, platform, source).status_code == 200
    assert click(app, platform, source, api_token=MEMBER).status_code == 403
    assert click(app, platform, source, api_token=STRANGER).status_code == 401


@pytest.mark.parametrize(
    "source",
    [
        {"video": {"video_id": 99999, "frame_index": 0}},
        {
            "volume": {
                "volume_id": 99999,
                "slice_index": 0,
                "normal": AXIAL,
                "window_center": 0,
                "window_width": 1,
            }
        },
        {"pcd_related_image_id": 99999},
        {"image_hash": base64.b64encode(hashlib.sha256(b"?").digest()).decode()},
        {"image_id": 99999},
    ],
)
def test_what_is_not_there_is_a_404(
    source: dict[str, Any], app: RunningApp, platform: Platform
) -> None:
    answer = click(app, platform, source)
    assert answer.status_code == 404, answer.text
    assert len(answer.json()["error"].split()) > 3


def test_frames_and_slices_past_the_end(app: RunningApp, platform: Platform) -> None:
    past = click(app, platform, frame(platform, 3))
    assert past.status_code == 400
    assert "0 to 2" in past.json()["error"]
    below = click(app, platform, slice_of(platform, 3))
    assert below.status_code == 400
    assert "0 to 2" in below.json()["error"]
    assert platform.count("videos.download-frame") == 0
    assert platform.count("volumes.slices.images.download") == 0


@pytest.mark.parametrize("image_hash", ["abc", "....", "AAAA", "é"])
def test_hash_that_is_none(image_hash: str, app: RunningApp, platform: Platform) -> None:
    answer = click(app, platform, {"image_hash": image_hash})
    assert answer.status_code == 400
    assert "SHA-256" in answer.json()["error"]
    assert platform.workspace.counts.read() == {}


@pytest.mark.parametrize("kind", SOURCES)
def test_click_outside_the_picture(kind: str, app: RunningApp, platform: Platform) -> None:
    source = SOURCES[kind](platform)
    context = {"positive": [{"x": 320, "y": 10}], "negative": [], **source}
    answer = click(app, platform, {}, context=context)
    assert answer.status_code == 400
    assert "320 x 240" in answer.json()["error"]


def test_order_of_sources_is_the_platforms(app: RunningApp, platform: Platform) -> None:
    """Contract 3.1: image_id, image_hash, volume, video, photo."""
    order = [
        (image(platform, "scene2"), image(platform, "scene2")),
        (by_hash(platform, "scene1"), image(platform, "scene1")),
        (slice_of(platform), slice_of(platform)),
        (frame(platform, 2), image(platform, "scene2")),
        (photo(platform), image(platform, "scene1")),
    ]
    for first in range(len(order)):
        together = {key: value for one, _ in order[first:] for key, value in one.items()}
        alone = click(app, platform, order[first][1])
        assert click(app, platform, together).content == alone.content


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_every_kind(kind: str, app: RunningApp, platform: Platform) -> None:
    """By id and by hash, clicked in the first pixel and, where there is one, in the middle."""
    entity = platform.workspace.store.entity(platform.images[kind])
    assert entity is not None
    for source in ({"image_id": entity.id}, {"image_hash": entity.hash}):
        for x, y in ((0, 0), (entity.width // 2, entity.height // 2)):
            context = {"positive": [{"x": x, "y": y}], "negative": [], **source}
            answer = click(app, platform, {}, context=context)
            assert answer.status_code == 200, answer.text
            found = answer.json()
            if found["bitmap"] is not None:
                height, width = sly.Bitmap.base64_2_data(found["bitmap"]).shape
                assert found["origin"]["x"] + width <= entity.width
                assert found["origin"]["y"] + height <= entity.height


def test_gray_and_16_bit_are_what_they_show(app: RunningApp, platform: Platform) -> None:
    """Contract 7.1-29: values keep their high byte, so these three show the same."""
    gray, deep, alpha = (
        click(app, platform, image(platform, kind)).content
        for kind in ("gray", "gray 16 bit", "gray alpha")
    )
    assert gray == deep == alpha
