"""A fifth of the platform's answers fail during a job: no figure is lost, and none is twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hard_day import FRAMES, Day, error_of, frames_named, is_final, safe_frame

WAYS = ["error", "hang", "slow", "reset", "broken", "stored_then_broken"]
ROUTES = {
    "all": None,
    "add": ["figures.bulk.add"],
    "list": ["figures.list"],
    "frame": ["videos.download-frame"],
    "notify": ["videos.notify-annotation-tool"],
}


def track_on_a_bad_day(
    day: Day,
    routes: list[str] | None,
    seed: int,
    share: float = 0.2,
    ways: Sequence[str] = WAYS,
    frames: int = FRAMES - 1,
    places: Sequence[int] = (0, 1, 2),
) -> None:
    """Track; check what is stored against what was said."""
    ids = day.draw(0, places)
    objects = [day.object_ids[place] for place in places]
    day.fails(share=share, routes=routes, ways=ways, seed=seed)
    track_id = day.track(0, frames, ids)
    told = day.wait_for_end(track_id)
    failed = day.fine()
    assert sum(failed.values()) > 0, "nothing failed"
    cells = day.cells()  # nothing is there twice
    finals = [one["data"] for one in told if is_final(one)]
    if finals:
        assert cells == {(frame, one) for frame in range(frames + 1) for one in objects}
        assert frames_named(told) >= set(range(1, frames + 1))
        # an answer that got lost makes the app say it again, in the same words
        assert finals == finals[:1] * len(finals)
        assert len(finals) == 1 or failed["stored_then_broken"] or failed["broken"]
        assert not any(one["kind"] == "error" for one in told)
    else:
        safe = safe_frame(error_of(told))
        assert {(frame, one) for frame in range(safe + 1) for one in objects} <= cells


def test_every_figure_of_100_frames_is_stored_once_or_it_is_said_how_far(day: Day) -> None:
    track_on_a_bad_day(day, None, seed=1, places=(1, 2))


@pytest.mark.long
@pytest.mark.parametrize("routes", [name for name in ROUTES if name != "all"])
def test_it_is_so_when_one_route_fails_more_often(day: Day, routes: str) -> None:
    track_on_a_bad_day(day, ROUTES[routes], seed=1, share=0.4, frames=12, places=(1,))


def test_half_a_frame_is_never_tracked_on(day: Day) -> None:
    """Decoders fill up what is missing of a picture without a word."""

    def geometries() -> dict[int, Any]:
        day.wait_for_end(day.track(0, 6, ids))
        return {one["meta"]["frame"]: one["geometry"] for one in day.figures()}

    ids = day.draw(0, (0,))
    right = geometries()
    day.fails(routes=["videos.download-frame"], ways=["stored_then_broken"], share=0.5, seed=1)
    found = geometries()
    assert sum(day.fine().values()) > 0
    assert found == right


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 8))
@pytest.mark.parametrize("routes", ROUTES)
def test_it_is_so_for_other_seeds(day: Day, routes: str, seed: int) -> None:
    track_on_a_bad_day(day, ROUTES[routes], seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", WAYS)
def test_it_is_so_for_each_way_alone(day: Day, way: str, seed: int) -> None:
    track_on_a_bad_day(day, None, seed, ways=[way])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_half_of_all_answers_fail(day: Day, seed: int) -> None:
    track_on_a_bad_day(day, None, seed, share=0.5)
