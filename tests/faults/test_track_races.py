"""Jobs and people at work on the same objects at once: never two figures where one belongs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hard_day import Day, is_final, is_last


def on_frame(day: Day, frame: int) -> list[dict[str, Any]]:
    return [one for one in day.figures() if one["meta"]["frame"] == frame]


@pytest.mark.long
def test_two_jobs_of_the_same_objects_at_once(day: Day) -> None:
    ids = day.draw(0, (0,))
    for turn in range(10):
        together = threading.Barrier(2)

        def start(together: threading.Barrier = together) -> str:
            together.wait()
            return day.track(0, 2, ids)

        with ThreadPoolExecutor(2) as pool:
            jobs = [job.result() for job in [pool.submit(start) for _ in range(2)]]
        for job in jobs:
            told = day.wait_for_end(job)
            assert is_final(told[-1]), told[-1]
        assert day.cells() == {(frame, day.object_ids[0]) for frame in range(3)}, turn
        assert len(day.figures()) == 3, turn


@pytest.mark.parametrize(
    "way", [pytest.param("hang", marks=pytest.mark.long), "stored_then_broken"]
)
def test_a_job_is_superseded_while_its_upload_fails(day: Day, way: str) -> None:
    ids = day.draw(0, (0,))
    old = day.track(0, 12, ids)
    day.wait_for_progress(old, 2)
    day.fails(routes=["figures.bulk.add"], ways=[way], hang_s=2)
    calls = day.wait(lambda: day.workspace.faults.read()["calls"])
    new = day.track(0, 12, ids, trackId=old)
    day.wait(lambda: day.workspace.faults.read()["calls"] > calls)
    day.fine()
    told = day.wait_for_end(new)
    assert sum(map(is_last, told)) == 1, told[-3:]
    assert is_final(told[-1])
    assert day.cells() == {(frame, day.object_ids[0]) for frame in range(13)}
    assert len(day.figures()) == 13


def test_what_a_person_draws_ahead_stays_alone(day: Day) -> None:
    track_id = day.track(0, 12, day.draw(0, (0,)))
    day.wait_for_progress(track_id)
    drawn = day.draw(11, (0,))
    assert is_final(day.wait_for_end(track_id)[-1])
    assert [one["id"] for one in on_frame(day, 11)] == drawn
    assert day.cells() == {(frame, day.object_ids[0]) for frame in range(13)}


def test_what_a_person_draws_between_look_and_store_stays_alone(day: Day) -> None:
    """On the frame that is being stored, and ahead; what is there is removed in between."""
    ids = day.draw(0, (0,))
    day.draw(1, (0,), nnCreated=True, nnUpdated=True)
    day.fails(routes=["figures.bulk.remove"], ways=["slow"], slow_s=0.5)
    track_id = day.track(0, 8, ids)
    day.wait(lambda: day.workspace.faults.read()["calls"])
    drawn = [day.draw(frame, (0,)) for frame in (1, 7)]
    assert is_final(day.wait_for_end(track_id)[-1])
    assert [[one["id"] for one in on_frame(day, frame)] for frame in (1, 7)] == drawn
    assert len(day.figures()) == 9


def save(day: Day, method: str, place: str) -> int:
    """Save the mask of the first object as the page does; returns the figure's id."""
    bitmap = day.geometry(0, 0)["bitmap"]
    x, y = bitmap["origin"]
    body = {
        "class_id": day.class_id,
        "object_id": day.object_ids[0],
        "origin": {"x": x, "y": y},
        "bitmap": bitmap["data"],
    }
    url = f"{day.address}/workspace/api/{place}"
    answer = httpx.request(method, url, json=body)
    assert answer.status_code in (200, 201), answer.text
    return int(answer.json()["id"])


def test_a_models_figure_that_a_person_changes_ahead_stays(day: Day) -> None:
    start = day.draw(0, (0,))
    day.draw(11, (0,), nnCreated=True, nnUpdated=True)
    [before] = on_frame(day, 11)
    track_id = day.track(0, 12, start)
    day.wait_for_progress(track_id)
    save(day, "PUT", f"figures/{before['id']}")
    assert is_final(day.wait_for_end(track_id)[-1])
    [after] = on_frame(day, 11)
    assert (after["id"], after["nnUpdated"]) == (before["id"], False)


@pytest.mark.parametrize("route", ["figures.bulk.add", "figures.bulk.remove"])
def test_what_a_person_does_while_the_platform_fails_stays(day: Day, route: str) -> None:
    """Between two attempts to store a frame: by then the app has seen what was there before."""
    start = day.draw(0, (0,))
    day.draw(1, (0,), nnCreated=True, nnUpdated=True)
    [old] = on_frame(day, 1)
    day.fails(routes=[route], ways=["error"])
    track_id = day.track(0, 2, start)
    day.wait(lambda: day.workspace.faults.read()["calls"])
    if route == "figures.bulk.add":
        kept = save(day, "POST", f"videos/{day.video}/frames/1/figures")
    else:
        kept = save(day, "PUT", f"figures/{old['id']}")
    day.fine()
    assert is_final(day.wait_for_end(track_id)[-1])
    assert [one["id"] for one in on_frame(day, 1)] == [kept]
