"""Auto Track: geometries in, geometries out, and nothing is stored."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
from pictures import CLIP, CLIP_FRAMES, CLIP_OBJECTS
from timeline import KINDS, geometry_of, iou, mask_of, truth

from sam2_serving.masks import tight_box


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_track_api_keeps_places(timeline, direction):
    start = 0 if direction == "forward" else CLIP_FRAMES - 1
    geometries = [
        {"type": kind, "data": geometry_of(CLIP.masks[start, CLIP_OBJECTS[place]], kind)}
        for place, kind in enumerate(KINDS)
    ]
    geometries.insert(1, {"type": "point", "data": {"points": {}}})
    context = {
        "videoId": timeline.video,
        "frameIndex": start,
        "frames": 4,
        "direction": direction,
        "input_geometries": geometries,
    }
    # by address, and not by task: without a `state`
    body = timeline.platform.envelope(context)
    del body["state"]
    rows = timeline.app.post("track-api", body).json()
    assert len(rows) == 4
    for away, row in enumerate(rows, 1):
        assert row[1] is None
        frame = start + away if direction == "forward" else start - away
        for place, one in enumerate([row[0], *row[2:]]):
            assert one["type"] == KINDS[place]
            found = mask_of(KINDS[place], one["data"])
            assert iou(found, truth(place, frame, KINDS[place])) > 0.5
    assert rows == timeline.app.post("track-api", body).json()


def test_track_api_files_is_track_api_on_the_same_pixels(timeline):
    geometries = [{"type": "bitmap", "data": geometry_of(CLIP.masks[0, CLIP_OBJECTS[0]], "bitmap")}]
    files = [
        ("files", (f"../{n}.png", io.BytesIO(cv2.imencode(".png", frame[..., ::-1])[1].tobytes())))
        for n, frame in enumerate(np.asarray(CLIP.frames)[:4])
    ]
    settings = {"frame_index": 0, "frames": 3, "input_geometries": geometries}
    answer = timeline.app.client.post(
        "/track-api-files", files=files, data={"settings": json.dumps(settings)}
    )
    assert answer.status_code == 200, answer.text
    # `num_frames` is part of what the tracker is told, so it is compared loosely with the video
    context = timeline.context(0, 3, input_geometries=geometries)
    rows = timeline.platform.send("track-api", context)
    for one, other in zip(answer.json(), rows, strict=True):
        assert iou(mask_of("bitmap", one[0]["data"]), mask_of("bitmap", other[0]["data"])) > 0.95


def test_the_mask_that_is_drawn_is_the_prompt(timeline):
    """Not clicks that lie in the figure, nor points drawn by chance: a pixel more is seen."""
    mask = CLIP.masks[0, CLIP_OBJECTS[0]]
    box = tight_box(mask)
    half = mask.copy()
    half[:, int(box.x0 + box.x1) // 2 :] = False
    rows = []
    for drawn in (mask, mask, half):
        context = timeline.context(
            0, 2, input_geometries=[{"type": "bitmap", "data": geometry_of(drawn, "bitmap")}]
        )
        rows.append(timeline.platform.send("track-api", context))
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]
