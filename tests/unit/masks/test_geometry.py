import numpy as np
import pytest

from sam2_serving.masks import Box, decode_rle, draw_overlay, encode_rle


def test_inclusive_corners_come_in_any_order():
    assert Box.from_inclusive(19, 29, 10, 20) == Box(10, 20, 20, 30)


def test_a_box_of_one_pixel_holds_that_pixel_only():
    box = Box.from_inclusive(5, 7, 5, 7)
    assert box.contains(5, 7)
    assert not box.contains(6, 7)
    assert not box.contains(5, 8)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        (Box(-5, -5, 3, 2), Box(0, 0, 3, 2)),
        (Box(2, 3, 99, 99), Box(2, 3, 20, 10)),
        (Box(20, 0, 30, 5), None),
        (Box(-9, 0, 0, 5), None),
    ],
)
def test_clipped_to_an_image_of_10_rows_and_20_columns(box, kept):
    assert box.clipped(10, 20) == kept


def test_cut_keeps_only_the_inside():
    mask = np.ones((10, 20), bool)
    cut = Box(18, 8, 25, 25).cut(mask)
    assert cut.sum() == 4
    assert cut[8:, 18:].all()
    assert mask.all(), "the mask that came in must stay as it was"


def test_rle_round_trip():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    code = encode_rle(mask)
    assert code["size"] == [5, 7]
    assert isinstance(code["counts"], str)
    np.testing.assert_array_equal(decode_rle(code), mask)


def test_overlay_changes_the_mask_and_leaves_the_rest():
    image = np.full((20, 20, 3), 100, np.uint8)
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    drawn = draw_overlay(image, mask)
    assert (drawn[mask] != 100).any(axis=1).all()
    assert (drawn[~mask] == 100).all()
    assert (image == 100).all()
