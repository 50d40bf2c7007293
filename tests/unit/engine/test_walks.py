"""Where somebody goes next, by where they have been."""

import pytest

from sam2_serving.engine.walks import MAX_WALKERS, Walks, next_places


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([5], [6, 7]),  # nobody has moved yet: forward
        ([5, 6], [7, 8]),
        ([9, 8], [7, 6]),  # back
        ([5, 6, 40], [41, 42]),  # a jump tells nothing
        ([9, 8, 40], [39, 38]),  # nor does it make forget
        ([8, 40, 2, 90], [91, 92]),  # only jumps
        ([5, 6, 5], [4, 3]),
        ([10, 20, 30], [40, 31]),  # a stride, but perhaps not
        ([30, 20, 10], [0, 11]),
        ([30, 29, 19, 9], [-1, 8]),
        ([5, 7], [8, 9]),
        ([5, 7, 9], [11, 10]),
    ],
)
def test_guesses(places, expected):
    assert next_places(places, 2) == expected


def test_as_many_guesses_as_wanted():
    assert next_places([5], 0) == []
    assert next_places([5, 6], 3) == [7, 8, 9]


def test_stops_are_remembered_for_each_walker_alone():
    walks = Walks()
    for stop in (1, 1, 2):
        walks.stopped_at("a", stop)
    assert walks.stopped_at("b", 9) == (9,)
    assert walks.stopped_at("a", 3) == (1, 2, 3)
    for stop in range(10):
        latest = walks.stopped_at("a", stop)
    assert latest == (6, 7, 8, 9)


def test_who_was_not_seen_for_longest_is_forgotten():
    walks = Walks()
    for walker in range(MAX_WALKERS + 1):
        walks.stopped_at(walker, 1)
    assert walks.stopped_at(0, 2) == (2,)
    assert walks.stopped_at(2, 2) == (1, 2)
