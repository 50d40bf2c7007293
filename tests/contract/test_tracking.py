"""Track on the timeline: figures are stored on the platform, and the timeline is told."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from pictures import CLIP, CLIP_FRAMES, CLIP_OBJECTS
from timeline import KINDS, geometry_of, iou, is_final, mask_of, truth


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_track_stores_every_figure_once_and_reports(timeline, direction):
    start = 0 if direction == "forward" else CLIP_FRAMES - 1
    ids = timeline.draw(start)
    told = timeline.wait_for_end(timeline.track(start, 8, ids, direction=direction))
    frames = [start + (1 if direction == "forward" else -1) * away for away in range(1, 9)]
    wanted = {(frame, one) for frame in (start, *frames) for one in timeline.object_ids}
    assert set(timeline.cells()) == wanted
    found: dict[tuple[int, int], np.ndarray] = {}
    for one in timeline.figures():
        place, frame = timeline.object_ids.index(one["objectId"]), one["meta"]["frame"]
        assert one["geometryType"] == KINDS[place]
        assert (one["nnCreated"], one["nnUpdated"]) == (frame != start, frame != start)
        mask = mask_of(KINDS[place], one["geometry"])
        found[frame, place] = found.get((frame, place), False) | mask
    for place, kind in enumerate(KINDS):
        assert np.mean([iou(found[f, place], truth(place, f, kind)) for f in frames]) > 0.5
    progress = [one.data for one in told if one.kind == "progress"]
    counts = [one["progress"]["current"] for one in progress]
    assert counts == sorted(set(counts)), "progress goes back, or says a thing twice"
    assert sum(map(is_final, told)) == 1
    assert all(one["frameRange"][0] <= one["frameRange"][1] for one in progress)
    assert {
        f for one in progress for f in range(one["frameRange"][0], one["frameRange"][1] + 1)
    } <= set(frames)


def test_track_is_clipped_to_the_video(timeline):
    ids = timeline.draw(CLIP_FRAMES - 3, (0,))
    told = timeline.wait_for_end(timeline.track(CLIP_FRAMES - 3, 50, ids))
    assert told[-1].data["progress"] == {"current": 2, "total": 2}
    assert timeline.cells()[-1][0] == CLIP_FRAMES - 1
    last = timeline.draw(CLIP_FRAMES - 1, (0,))
    told = timeline.wait_for_end(timeline.track(CLIP_FRAMES - 1, 5, last))
    assert "last one" in told[-1].data["error"]["message"]


def test_a_persons_figures_stay_and_a_models_are_replaced(timeline):
    ids = timeline.draw(0, (0,))
    timeline.draw(3, (0,))
    timeline.draw(5, (0,), nnCreated=True, nnUpdated=True)
    before = {one["meta"]["frame"]: one["id"] for one in timeline.figures()}
    timeline.wait_for_end(timeline.track(0, 7, ids))
    after = {one["meta"]["frame"]: one["id"] for one in timeline.figures()}
    assert sorted(after) == list(range(8))
    assert len(timeline.cells()) == 8
    assert after[3] == before[3]
    assert after[5] != before[5]


def test_three_extensions_and_a_retrack_in_the_middle(timeline):
    ids = timeline.draw(0)
    for start in (0, 3, 6, 9):
        here = (
            ids
            if start == 0
            else [one["id"] for one in timeline.figures() if one["meta"]["frame"] == start]
        )
        timeline.wait_for_end(timeline.track(start, 3, here))
    whole = timeline.figures()
    assert timeline.cells() == sorted((f, o) for f in range(13) for o in timeline.object_ids)
    # a person corrects object 0 on frame 6, and tracks it anew from there
    wrong = next(
        one
        for one in whole
        if one["meta"]["frame"] == 6 and one["objectId"] == timeline.object_ids[0]
    )
    timeline.platform.api().post("figures.bulk.remove", {"figureIds": [wrong["id"]]})
    timeline.wait_for_end(timeline.track(6, 6, timeline.draw(6, (0,))))
    assert timeline.cells() == sorted((f, o) for f in range(13) for o in timeline.object_ids)
    old, new = ids_by_cell(whole), ids_by_cell(timeline.figures())
    changed = {cell for cell in old if old[cell] != new[cell]}
    assert changed == {(f, timeline.object_ids[0]) for f in range(6, 13)}


def test_a_keyframe_that_cannot_be_read_is_left_alone_and_ends_nothing(timeline):
    ids = timeline.draw(0, (0,))
    outside = {"bitmap": {**geometry_of(CLIP.masks[3, CLIP_OBJECTS[0]], "bitmap")["bitmap"]}}
    outside["bitmap"]["origin"] = [5000, 5000]
    figure = {
        "objectId": timeline.object_ids[0],
        "geometryType": "bitmap",
        "geometry": outside,
        "meta": {"frame": 3},
    }
    body = {"entityId": timeline.video, "figures": [figure], "skipBoundsValidation": True}
    timeline.platform.api().post("figures.bulk.add", body)
    told = timeline.wait_for_end(timeline.track(0, 6, ids))
    assert is_final(told[-1])
    frames = [one["meta"]["frame"] for one in timeline.figures()]
    assert sorted(frames) == list(range(7))


def ids_by_cell(figures: list[dict[str, Any]]) -> dict[tuple[int, int], set[int]]:
    found: dict[tuple[int, int], set[int]] = {}
    for one in figures:
        found.setdefault((one["meta"]["frame"], one["objectId"]), set()).add(one["id"])
    return found


@pytest.mark.parametrize("place", range(3), ids=KINDS)
def test_extensions_give_what_one_long_track_gives(timeline, platform, app, place):
    ids = timeline.draw(0, (place,))
    timeline.wait_for_end(timeline.track(0, 5, ids))
    here = [one["id"] for one in timeline.figures() if one["meta"]["frame"] == 5]
    timeline.wait_for_end(timeline.track(5, 5, here))
    in_parts = {o["meta"]["frame"]: o["geometry"] for o in timeline.figures()}
    again = timeline.draw(0, (place,))[0]
    for one in timeline.figures():
        if one["id"] != again:
            platform.api().post("figures.bulk.remove", {"figureIds": [one["id"]]})
    timeline.wait_for_end(timeline.track(0, 10, [again]))
    at_once = {o["meta"]["frame"]: o["geometry"] for o in timeline.figures()}
    assert in_parts == at_once


def test_stop_is_obeyed_within_a_frame(timeline):
    ids = timeline.draw(0)
    track_id = timeline.track(0, CLIP_FRAMES - 1, ids)
    timeline.wait(lambda: timeline.progress(track_id))
    timeline.platform.workspace.tracks.ask_to_stop(track_id)
    asked_at = len(timeline.progress(track_id))
    before = None
    while (now := (timeline.progress(track_id), timeline.cells())) != before:
        before = now
        time.sleep(1)  # however slow the machine is, the last figures are there in the end
    told = timeline.progress(track_id)
    assert len(told) <= asked_at + 1, "it went on after it was told to stop"
    last_told = told[-1]["frameRange"][1]
    assert last_told < CLIP_FRAMES - 1
    assert max(frame for frame, _ in timeline.cells()) == last_told


def test_a_newer_request_takes_over_the_frames_it_covers(timeline):
    ids = timeline.draw(0)
    first = timeline.track(0, CLIP_FRAMES - 1, ids)
    timeline.wait(lambda: timeline.progress(first))
    second = timeline.track(0, CLIP_FRAMES - 1, ids)
    assert is_final(timeline.wait_for_end(second)[-1])
    time.sleep(0.5)
    assert len({frame for frame, _ in timeline.cells()}) == CLIP_FRAMES
    told = timeline.platform.told(first)
    assert len(told) < CLIP_FRAMES


def test_what_cannot_be_tracked_is_named_and_the_others_are_tracked(timeline):
    ids = timeline.draw(0, (0,))
    point = {
        "objectId": timeline.object_ids[1],
        "geometryType": "point",
        "geometry": {"points": {"exterior": [[30, 30]], "interior": []}},
        "meta": {"frame": 0},
    }
    body = {"entityId": timeline.video, "figures": [point]}
    [one] = timeline.platform.api().post("figures.bulk.add", body).json()
    told = timeline.wait_for_end(timeline.track(0, 3, [*ids, one["id"], 987654]))
    warnings = [one.data["message"] for one in told if one.kind == "warning"]
    assert any(f"Figure {one['id']}" in text and "point" in text for text in warnings)
    assert any("987654" in text for text in warnings)
    assert is_final(told[-1])
    assert len(timeline.cells()) == 5


def test_nothing_to_track_is_an_error_that_says_why(timeline):
    [figure] = timeline.draw(4, (0,))
    told = timeline.wait_for_end(timeline.track(0, 3, [figure]))
    assert f"Figure {figure} is on frame 4" in told[-1].data["error"]["message"]
