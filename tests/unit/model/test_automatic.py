"""Settings, grids, crops and found masks."""

from __future__ import annotations

import itertools
from dataclasses import fields
from inspect import signature

import numpy as np
import pytest
import torch
import yaml
from pycocotools import mask as coco
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from torchvision.ops import box_iou, nms

from sam2_serving.masks import Box, decode_rle, encode_rle
from sam2_serving.model import AutomaticSettings, FoundMask, duplicates
from sam2_serving.model.automatic import find_crops, grid
from sam2_serving.model.duplicates import best_of_duplicates, found_before
from sam2_serving.model.found_mask import run_lengths
from sam2_serving.pretrained import REPOSITORY

WRONG = {
    "points_per_side": [0, 257, 3.5, "32", True, None],
    "points_per_batch": [0, 5000],
    "pred_iou_thresh": [-0.1, 1.1, "high", float("nan"), True],
    "stability_score_thresh": [1.5],
    "stability_score_offset": [-1],
    "box_nms_thresh": [2],
    "crop_n_layers": [-1, 5, 1.0],
    "crop_nms_thresh": [-1],
    "crop_overlap_ratio": [1.0],
    "crop_n_points_downscale_factor": [0, 1.5],
    "min_mask_region_area": [-1, 0.5],
    "output_mode": ["png", None],
    "use_m2m": [1, "yes"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_setting_is_refused_by_its_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} "):
        AutomaticSettings(**{name: value})


def test_every_setting_has_wrong_values_here():
    assert {field.name for field in fields(AutomaticSettings)} == WRONG.keys()


def test_a_grid_that_shrinks_to_nothing_is_refused():
    AutomaticSettings(points_per_side=4, crop_n_layers=2, crop_n_points_downscale_factor=2)
    with pytest.raises(ValueError, match="crop_n_points_downscale_factor"):
        AutomaticSettings(points_per_side=4, crop_n_layers=2, crop_n_points_downscale_factor=3)


def test_clients_are_offered_the_defaults_of_metas_generator():
    offered = yaml.safe_load((REPOSITORY / "serve/inference_settings.yaml").read_text())
    names = [field.name for field in fields(AutomaticSettings)]
    settings = AutomaticSettings(**{name: offered[name] for name in names})
    assert settings.crop_overlap_ratio == pytest.approx(512 / 1500, abs=0.005)
    theirs = signature(SAM2AutomaticMaskGenerator).parameters
    for name in set(names) - {"crop_overlap_ratio"}:
        assert getattr(settings, name) == getattr(AutomaticSettings(), name) == theirs[name].default


def test_duplicates_of_many_are_looked_for_in_little_memory(monkeypatch):
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 50, (90, 2)).tolist()
    boxes = [Box(x, y, x + 20, y + 10) for x, y in corners]
    at_once = found_before(boxes[:50], boxes[50:], 0.6)
    assert 0 < sum(at_once) < 50
    monkeypatch.setattr(duplicates, "PAIRS_AT_ONCE", 100)
    assert found_before(boxes[:50], boxes[50:], 0.6) == at_once


def test_points_are_in_the_middle_of_their_cells_row_by_row():
    assert grid(2, (30, 100)).tolist() == [[25, 7.5], [75, 7.5], [25, 22.5], [75, 22.5]]


def test_small_crops_come_first_and_cover_the_image():
    crops = find_crops((60, 101), AutomaticSettings(crop_n_layers=2))
    assert [crop.layer for crop in crops] == [2] * 16 + [1] * 4 + [0]
    for layer in range(3):
        seen = np.zeros((60, 101), int)
        for crop in crops:
            if crop.layer == layer:
                seen[crop.box.y0 : crop.box.y1, crop.box.x0 : crop.box.x1] += 1
        assert seen.all()


def test_crops_of_the_smallest_image_are_not_empty():
    assert all(min(c.size) > 0 for c in find_crops((1, 2), AutomaticSettings(crop_n_layers=4)))


def test_duplicates():
    same = [Box(0, 0, 11, 11), Box(0, 0, 11, 10), Box(20, 0, 31, 11)]
    assert best_of_duplicates(same, [0.5, 0.6, 0.4], 0.7) == [1, 2]
    assert best_of_duplicates(same, [0.0, 0.0, 0.0], 0.7) == [0, 2], "the earlier of equals"
    assert best_of_duplicates(same, [0.5, 0.6, 0.4], 1.0) == [1, 0, 2]
    assert best_of_duplicates([], [], 0.7) == []
    assert found_before(same, same[:1], 0.7) == [True, True, False]
    assert found_before(same, [], 0.7) == [False] * 3
    assert found_before([], same, 0.7) == []


def test_duplicates_are_those_of_torchvision():
    """Where many overlaps lie at the threshold, and scores are equal; boxes without area, too."""
    rng = np.random.default_rng(3)
    for size, max_overlap in itertools.product((3, 12, 300), (0, 0.1, 0.25, 0.5, 0.7, 1)):
        low = rng.integers(0, 3 * size, (400, 2))
        boxes = [Box(*one) for one in np.hstack([low, low + rng.integers(1, size, low.shape)])]
        scores = rng.integers(0, 40, 400) / 40
        corners = torch.tensor(boxes, dtype=torch.float32) - torch.tensor([0, 0, 1, 1])
        theirs = nms(corners, torch.tensor(scores, dtype=torch.float32), max_overlap).tolist()
        assert best_of_duplicates(boxes, scores, max_overlap) == theirs
        before = (box_iou(corners, corners[theirs[::2]]).double() > max_overlap).any(dim=1)
        assert (
            found_before(boxes, [boxes[at] for at in theirs[::2]], max_overlap) == before.tolist()
        )


@pytest.mark.parametrize("seed", range(4))
def test_a_found_mask_is_the_same_in_every_form(seed):
    rng = np.random.default_rng(seed)
    size, box = (40, 60), Box(5, 7, 25, 37) if seed else Box(0, 0, 60, 40)
    pixels = rng.random((int(box.y1 - box.y0), int(box.x1 - box.x0))) < 0.5
    expected = np.zeros(size, bool)
    expected[box.y0 : box.y1, box.x0 : box.x1] = pixels
    found = FoundMask(
        size, box, encode_rle(pixels), int(pixels.sum()), 0.9, 0.95, (3, 4), Box(0, 0, 60, 40)
    )
    np.testing.assert_array_equal(found.part(), pixels)
    np.testing.assert_array_equal(found.mask(), expected)
    np.testing.assert_array_equal(decode_rle(found.rle()), expected)
    runs = found.record("uncompressed_rle")["segmentation"]
    assert runs["counts"] == run_lengths(expected)
    np.testing.assert_array_equal(coco.decode(coco.frPyObjects(runs, *size)), expected)
    assert coco.area(dict(found.record("coco_rle")["segmentation"])) == found.area
