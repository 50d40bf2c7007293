"""Holes, islands and clicked parts, against the plainest way to do the same."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sam2_serving.masks import Box
from sam2_serving.masks.cleanup import Cleanup, drop_islands, fill_holes, keep_clicked_parts

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))
RING = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0],
        [0, 1, 0, 0, 1, 0, 1],
        [0, 1, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    bool,
)
"""A ring with a hole of two pixels, and an island of one."""


def parts(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Return the connected parts, found by walking from pixel to pixel; corners connect."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        part, edge = set(), deque([left.pop()])
        while edge:
            y, x = edge.popleft()
            part.add((y, x))
            for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    edge.append(near)
        found.append(part)
    return found


@settings(max_examples=150, deadline=None)
@given(MASKS, st.integers(0, 30))
def test_every_small_part_of_the_background_is_filled(mask, area):
    expected = mask.copy()
    for part in parts(~mask) if mask.any() else []:
        if len(part) < area:
            expected[tuple(np.array(list(part)).T)] = True
    np.testing.assert_array_equal(fill_holes(mask, area), expected)


@settings(max_examples=150, deadline=None)
@given(MASKS, st.integers(0, 30))
def test_what_reaches_the_edge_is_no_hole(mask, area):
    height, width = mask.shape
    expected = mask.copy()
    for part in parts(~mask):
        inside = all(0 < y < height - 1 and 0 < x < width - 1 for y, x in part)
        if len(part) < area and inside:
            expected[tuple(np.array(list(part)).T)] = True
    np.testing.assert_array_equal(fill_holes(mask, area, enclosed=True), expected)
    np.testing.assert_array_equal(Cleanup(hole_area=area).apply(mask), expected)


@settings(max_examples=150, deadline=None)
@given(MASKS, st.integers(0, 30))
def test_every_small_part_but_the_largest_is_dropped(mask, area):
    cleaned = drop_islands(mask, area)
    before, after = parts(mask), parts(cleaned)
    large = [part for part in before if len(part) >= area]
    if large or not before:
        assert sorted(map(sorted, after)) == sorted(map(sorted, large))
    else:
        assert [len(part) for part in after] == [max(map(len, before))]
        assert not (cleaned & ~mask).any()


@settings(max_examples=150, deadline=None)
@given(MASKS, st.lists(st.tuples(st.floats(-2, 16), st.floats(-2, 16)), max_size=3))
def test_only_clicked_parts_stay(mask, clicks):
    height, width = mask.shape
    pixels = {(int(y), int(x)) for x, y in clicks if 0 <= x < width and 0 <= y < height}
    clicked = [part for part in parts(mask) if part & pixels]
    expected = mask.copy()
    if clicked:
        expected[:] = False
        for part in clicked:
            expected[tuple(np.array(list(part)).T)] = True
    np.testing.assert_array_equal(keep_clicked_parts(mask, clicks), expected)


@pytest.mark.parametrize("turns", range(4))
def test_what_lies_beside_the_mask_is_not_small_because_little_of_it_is_looked_at(turns):
    half = np.zeros((10, 8), bool)
    half[6:] = True
    turned = np.rot90(half, turns)
    np.testing.assert_array_equal(fill_holes(turned, 20), turned)
    assert fill_holes(turned, 49).all()


def test_nothing_is_done_unless_it_is_asked_for():
    assert Cleanup().apply(RING) is RING
    assert fill_holes(RING, 2) is RING, "the hole is as large as the area: it is not below it"
    assert drop_islands(RING, 1) is RING


def test_all_steps_together():
    cleaned = Cleanup(hole_area=3, island_area=0, keep_clicked=True).apply(RING, [(2, 2)])
    assert cleaned.sum() == 12, "the filled hole holds the click"
    assert not cleaned[2, 6]
    assert Cleanup(island_area=2).apply(RING).sum() == 10
    assert Cleanup(largest_only=True).apply(RING).sum() == 10
    assert Cleanup(hole_area=2**31 - 1).apply(RING).sum() == 13, "the background is no hole"


def test_a_mask_is_cut_after_its_holes_are_filled_and_before_its_parts_are_counted():
    right = Box(3, 0, 7, 5)
    # half of the hole and half of the ring are left, and the island
    assert Cleanup().apply(RING, within=right).sum() == 6
    assert Cleanup(hole_area=3).apply(RING, within=right).sum() == 7
    rings = np.hstack([RING[:, :6], RING[:, ::-1]])
    near = Box(0, 0, 9, 5)
    assert Cleanup(largest_only=True).apply(rings, within=near).sum() == 10
    assert not Cleanup(island_area=9).apply(rings, within=near)[:, 6:].any()
    assert Cleanup(keep_clicked=True).apply(rings, [(1, 1)], within=near).sum() == 10


@pytest.mark.parametrize("area", [0, 5])
def test_an_empty_mask_stays_empty(area):
    empty = np.zeros((4, 4), bool)
    assert not Cleanup(area, area, keep_clicked=True).apply(empty, [(1, 1)]).any()
