"""Outlines give masks back, with their holes and parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from sam2_serving.masks import find_polygons
from sam2_serving.scenes import draw_scene


def drawn(mask: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """Draw as the platform does: each polygon is a figure of its own, all of one object."""
    whole = np.zeros_like(mask)
    for polygon in find_polygons(mask, tolerance):
        whole |= polygon.draw(*mask.shape)
    return whole


@given(arrays(bool, (9, 11)))
def test_outlines_without_tolerance_give_any_mask_back(mask):
    assert np.array_equal(drawn(mask), mask)
    for polygon in find_polygons(mask):
        assert all(len(outline) >= 3 for outline in (polygon.exterior, *polygon.holes))


def test_an_island_in_a_hole_is_a_part_of_its_own():
    mask = np.ones((20, 20), bool)
    mask[5:15, 5:15] = False
    mask[8:12, 8:12] = True
    parts = find_polygons(mask)
    assert [len(part.holes) for part in parts] == [1, 0]
    assert np.array_equal(parts[0].draw(20, 20) | parts[1].draw(20, 20), mask)


def test_a_hole_round_a_pixel_that_touches_the_part_at_a_corner_leaves_it_there():
    mask = np.ones((7, 7), bool)
    mask[2:5, 2:5] = False
    mask[4, 4] = mask[3, 3] = True  # (3, 3) touches (4, 4), which touches the part
    mask[4, 3] = mask[3, 4] = False
    assert np.array_equal(drawn(mask), mask)
    closed = np.ones((8, 8), bool)
    closed[1:6, 1:6] = False
    closed[2:5, 2:5] = closed[5, 5] = True
    closed[3, 3] = False
    assert np.array_equal(drawn(closed), closed)


@pytest.mark.parametrize("tolerance", [1.0, 2.0])
def test_a_tolerance_saves_corners_and_moves_the_edge_no_farther(tolerance):
    mask = draw_scene(3, size=(320, 240)).masks[0]
    exact, fewer = find_polygons(mask), find_polygons(mask, tolerance)
    assert len(fewer[0].exterior) < len(exact[0].exterior)
    wrong = drawn(mask, tolerance) ^ mask
    # what is wrong lies within the tolerance (and the pixel's own half diagonal) of the edge
    edge = np.argwhere(mask ^ np.roll(mask, 1, 0) | mask ^ np.roll(mask, 1, 1))
    for y, x in np.argwhere(wrong):
        assert np.hypot(*(edge - (y, x)).T).min() <= tolerance + 1.5


def test_nothing_has_no_outline():
    assert find_polygons(np.zeros((4, 4), bool)) == []
