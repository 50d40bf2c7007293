"""What is easy to get wrong about tracking: jobs side by side, odd figures, early ends."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from live import OWNER_TOKEN
from pictures import CLIP, CLIP_FRAMES, CLIP_OBJECTS
from timeline import KINDS, Timeline, cells_of, geometry_of, is_final

from sam2_serving.app.patience import Patience
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.platform.video import VideoFigures
from sam2_serving.app.tracking.claims import Claims
from sam2_serving.app.tracking.reports import Silence
from sam2_serving.app.tracking.sinks import FoundObject, UploadSink
from sam2_serving.app.tracking.uploads import Uploads
from sam2_serving.engine import CancelToken


def bitmap(place: int, frame: int) -> dict[str, Any]:
    return geometry_of(CLIP.masks[frame, CLIP_OBJECTS[place]], "bitmap")


def test_answers_do_not_depend_on_who_else_asks(timeline):
    """Auto Track sends several requests for one video at once; each counts its objects from 0."""
    contexts = [
        timeline.context(start, 4, input_geometries=[{"type": "bitmap", "data": bitmap(0, start)}])
        for start in (0, 0, 2, 4)
    ]
    alone = [timeline.platform.send("track-api", context) for context in contexts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda c: timeline.platform.send("track-api", c), contexts))
    assert [len(rows) for rows in together] == [4] * 4
    assert together == alone


@pytest.mark.long  # a long clip
def test_who_fetches_results_takes_no_frames_from_what_is_stored(timeline):
    ids = timeline.draw(0)
    track_id = timeline.track(0, CLIP_FRAMES - 1, ids)
    timeline.wait(lambda: timeline.progress(track_id))
    timeline.platform.send("track_async", timeline.inline(0, CLIP_FRAMES - 1))
    assert is_final(timeline.wait_for_end(track_id)[-1])
    assert len({frame for frame, _ in timeline.cells()}) == CLIP_FRAMES


@pytest.mark.parametrize("first", ["rectangle", "bitmap"])
def test_figures_of_one_object_may_be_of_different_kinds(timeline, first):
    kinds = [first, *({"rectangle", "bitmap"} - {first})]
    figures = [
        {
            "objectId": timeline.object_ids[0],
            "geometryType": kind,
            "geometry": geometry_of(CLIP.masks[0, CLIP_OBJECTS[0]], kind),
            "meta": {"frame": 0},
        }
        for kind in kinds
    ]
    body = {"entityId": timeline.video, "figures": figures}
    ids = [one["id"] for one in timeline.platform.api().post("figures.bulk.add", body).json()]
    told = timeline.wait_for_end(timeline.track(0, 3, ids))
    assert is_final(told[-1]), told
    after = [one for one in timeline.figures() if one["meta"]["frame"] > 0]
    assert [one["geometryType"] for one in after] == [first] * 3


def sink_of(timeline: Timeline, frames: range) -> UploadSink:
    caller = Caller(timeline.platform.address, OWNER_TOKEN)
    figures = VideoFigures(
        PlatformClient(5.0), caller, timeline.video, timeline.platform.datasets["open"]
    )
    cancel, track_id = CancelToken(), uuid.uuid4().hex
    stored = figures.all()
    known = [one for one in stored if one.object_id in timeline.object_ids]
    newest = max((one.id for one in stored), default=0)
    uploads = Uploads(figures, known, newest, track_id, Patience(5.0, cancel))
    claim = Claims().claim(timeline.video, track_id, timeline.object_ids, frames)
    return UploadSink(uploads, claim, Silence(), len(frames), cancel, lambda _: None)


def test_where_an_object_is_lost_no_older_mask_of_a_model_stays(timeline):
    for frame in (1, 2, 3):
        timeline.draw(frame, (0,), nnCreated=True, nnUpdated=True)
    timeline.draw(4, (0,))
    sink, object_id = sink_of(timeline, range(1, 5)), timeline.object_ids[0]
    for frame in range(1, 5):
        here = [bitmap(0, frame)] if frame == 1 else []
        sink.put(frame, [FoundObject(object_id, "bitmap", here)])
    sink.finish()
    assert timeline.cells() == [(1, object_id), (4, object_id)]


def test_a_stream_that_came_to_its_end_was_not_cancelled(timeline):
    context = timeline.inline(0, 3)
    answer = timeline.app.post("track_stream", timeline.platform.envelope(context))
    first = json.loads(answer.text.split("\n\n")[0].removeprefix("data: "))
    after = timeline.pop(first["payload"]["inference_request_uuid"])
    assert len(cells_of(after["pending_results"])) == 3 * len(KINDS)
    assert not after["cancel_inference"]


HUGE = 10**400
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    1e300,
    "",
    "x" * 1000,
    "\ud800",
    [],
    [None],
    [[[]]],
    {},
    {"a": {"b": [{}]}},
    {"points": {"exterior": [[10**12, 10**12], [-(10**12), 0], [0, 10**12]], "interior": []}},
    {"points": {"exterior": [[1e300, 1], [2, 2], [3, 1]], "interior": [[]]}},
    {"points": {"exterior": [[1, 1]], "interior": None}},
    {"bitmap": {"origin": [10**30, 5], "data": "eJw="}},
    {"bitmap": {"origin": ["a", None], "data": 7}},
]
ROUTES = (
    "track",
    "track_async",
    "track_stream",
    "track-api",
    "pop_tracking_results",
    "stop_tracking",
    "clear_tracking_results",
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if not isinstance(value, dict | list):
        return [path]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(p for key, one in inner for p in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], odd)
    return copy


@pytest.mark.parametrize("most", [20, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.long  # test_fuzz asks these routes too
def test_whatever_stands_in_a_body_the_answer_is_no_server_error(timeline, route, most):
    context = timeline.inline(0, 1) | {
        "figureIds": [1],
        "input_geometries": [
            {"type": "rectangle", "data": geometry_of(CLIP.masks[0, CLIP_OBJECTS[0]], "rectangle")}
        ],
        "inference_request_uuid": "x",
        "frameRange": [1, 2],
    }
    context["figures"] = context["figures"][2:]
    good = timeline.platform.envelope(
        context, {"settings": {"use_keyframes": True, "max_cond_frames": 4, "polygon_tolerance": 1}}
    )
    random = np.random.default_rng(7)
    everywhere = places(good)
    for at in random.permutation(len(everywhere))[:most]:
        path = everywhere[at]
        for odd in (HUGE, *(ODD[at] for at in random.permutation(len(ODD))[:2])):
            body = json.dumps(replaced(good, path, odd))
            answer = timeline.app.client.post(
                f"/{route}", content=body, headers={"content-type": "application/json"}
            )
            code = answer.status_code
            assert code < 500 or code == 503, (path, odd, answer.text)
