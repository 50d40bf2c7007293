"""Automatic masks are those of Meta's own generator: same weights, same pixels, same settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache

import cv2
import numpy as np
import pytest
from networks import nano, tiny_with_random_weights
from peer import iou
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from skimage import data

from sam2_serving.model import (
    AutomaticSettings,
    FoundMask,
    automatic,
    find_all,
)
from sam2_serving.model.network import feature_sizes
from sam2_serving.scenes import draw_scene

FEWEST, MOST = 20, 200
"""A comparison of fewer masks proves little; of more, that nothing was filtered."""
SAME_IOU, SAME_SHARE = 0.99, 0.99
LOOSE = AutomaticSettings(
    points_per_side=16, pred_iou_thresh=0.5, stability_score_thresh=0.5, box_nms_thresh=0.9
)
"""Nano is trained on 64 x 64 logits: its masks are less stable than those of large networks."""


@dataclass(frozen=True)
class Case:
    """What both sides are asked."""

    image: str
    settings: AutomaticSettings
    model: str = "nano"


CASES = {
    "scene": Case("scene", LOOSE),
    "crops": Case("scene", replace(LOOSE, crop_n_layers=1, points_per_side=9)),
    "refined": Case("scene", replace(LOOSE, points_per_side=8, use_m2m=True)),
}
LONG_CASES = {
    "photograph": Case("photograph", LOOSE),
    "two layers of crops": Case(
        "photograph",
        replace(
            LOOSE,
            points_per_side=10,
            points_per_batch=5,
            crop_n_layers=2,
            crop_n_points_downscale_factor=2,
            crop_overlap_ratio=0.2,
            crop_nms_thresh=0.6,
        ),
    ),
    "32 points": Case("scene", replace(LOOSE, points_per_side=32)),
    "32 points, photograph": Case("photograph", replace(LOOSE, points_per_side=32)),
    "crops as they come": Case("photograph", replace(LOOSE, points_per_side=32, crop_n_layers=1)),
    "tiny": Case(
        "photograph",
        AutomaticSettings(
            points_per_side=8,
            pred_iou_thresh=0.49,
            stability_score_thresh=0.2,
            box_nms_thresh=1.0,  # random masks reach from edge to edge: all boxes are alike
        ),
        "tiny",
    ),
}


MODELS = {"nano": nano, "tiny": tiny_with_random_weights}


@cache
def image_of(name: str) -> np.ndarray:
    if name == "photograph":
        return np.ascontiguousarray(data.coffee()[::2, ::2])
    return draw_scene(3, size=(240, 180), difficulty="hard").image


@cache
def upstream(case: Case) -> list[dict]:
    """Return what Meta's generator finds."""
    network = MODELS[case.model]().network
    generator = SAM2AutomaticMaskGenerator(network, **asdict(case.settings))
    generator.predictor._bb_feat_sizes = feature_sizes(network)
    return generator.generate(image_of(case.image))


def ours(case: Case) -> list[FoundMask]:
    return list(find_all(MODELS[case.model](), image_of(case.image), case.settings))


def share_found(masks: list[np.ndarray], among: list[np.ndarray]) -> float:
    """Return the share of masks that are also among the others."""
    found = [max((iou(mask, other) for other in among), default=0.0) for mask in masks]
    return float(np.mean(np.array(found) >= SAME_IOU)) if found else 1.0


def difference(found: list[FoundMask], records: list[dict]) -> str:
    """Return what differs, both ways; empty if nothing does."""
    mine = [one.mask() for one in found]
    theirs = [record["segmentation"] for record in records]
    missed, invented = 1 - share_found(theirs, mine), 1 - share_found(mine, theirs)
    if max(missed, invented) > 1 - SAME_SHARE:
        return f"{missed:.1%} of {len(theirs)} missed, {invented:.1%} of {len(mine)} invented"
    if abs(len(mine) - len(theirs)) > (1 - SAME_SHARE) * len(theirs):
        return f"{len(mine)} masks, not {len(theirs)}"  # some come twice
    return ""


def check(case: Case) -> None:
    records = upstream(case)
    assert FEWEST <= len(records) <= MOST, "choose other thresholds"
    found = ours(case)
    assert difference(found, records) == ""
    check_fields(found, records)


def check_fields(found: list[FoundMask], records: list[dict]) -> None:
    by_point: dict[tuple, list[dict]] = {}
    for record in records:
        by_point.setdefault((*record["point_coords"][0], *record["crop_box"]), []).append(record)
    agreeing = 0
    for mine in (one.record() for one in found):
        place = (*mine["point_coords"][0], *mine["crop_box"])
        agreeing += any(agree(mine, other) for other in by_point.get(place, []))
    assert agreeing >= SAME_SHARE * len(found)


def agree(mine: dict, theirs: dict) -> bool:
    return (
        mine.keys() == theirs.keys()
        and np.allclose(mine["bbox"], theirs["bbox"], atol=1)
        and abs(mine["area"] - theirs["area"]) <= 0.01 * theirs["area"]
        and abs(mine["predicted_iou"] - theirs["predicted_iou"]) < 1e-4
        and abs(mine["stability_score"] - theirs["stability_score"]) < 1e-3
    )


@pytest.mark.parametrize("name", CASES)
def test_same_masks_as_upstream(name):
    check(CASES[name])


@pytest.mark.long
@pytest.mark.parametrize("name", LONG_CASES)
def test_same_masks_as_upstream_where_it_takes_longer(name):
    check(LONG_CASES[name])


@pytest.mark.parametrize(
    "case", [CASES["scene"], pytest.param(LONG_CASES["tiny"], marks=pytest.mark.long)]
)
def test_the_comparison_sees_a_grid_that_is_off_by_one_pixel(case, monkeypatch):
    grid = automatic.grid
    monkeypatch.setattr(automatic, "grid", lambda *of: grid(*of) + 1)
    assert difference(ours(case), upstream(case))


def test_the_comparison_sees_duplicates(monkeypatch):
    monkeypatch.setattr(
        automatic, "best_of_duplicates", lambda boxes, scores, overlap: range(len(boxes))
    )
    found = ours(CASES["scene"])
    assert difference(found, upstream(CASES["scene"]))


def test_the_comparison_sees_masks_that_were_cut_by_a_crop(monkeypatch):
    monkeypatch.setattr(automatic, "_is_cut", lambda *_: False)
    assert difference(ours(CASES["crops"]), upstream(CASES["crops"]))


def test_where_nothing_passes_nothing_is_found():
    case = Case("scene", AutomaticSettings(points_per_side=8))
    assert upstream(case) == []
    assert ours(case) == []


@pytest.mark.parametrize("mode", ["binary_mask", "uncompressed_rle", "coco_rle"])
def test_records_have_upstreams_form(mode):
    case = Case("scene", replace(LOOSE, points_per_side=6, output_mode=mode))
    records = [one.record(case.settings.output_mode) for one in ours(case)]
    assert len(records) == len(upstream(case)) > 0
    for mine, theirs in zip(records, upstream(case), strict=True):
        np.testing.assert_equal(mine["segmentation"], theirs["segmentation"])
        for name in ("area", "bbox", "point_coords", "crop_box"):
            assert mine[name] == theirs[name]


def test_small_holes_and_islands_are_removed():
    """Upstream's own way does nothing here; its meaning in plain OpenCV, on upstream's masks."""
    area = 60
    every = replace(LOOSE, points_per_side=8, pred_iou_thresh=0.3, box_nms_thresh=1.0)
    raw = [record["segmentation"] for record in upstream(Case("scene", every))]
    expected = [without_small_regions(mask, area) for mask in raw]
    assert len(raw) >= FEWEST
    assert sum((a != b).any() for a, b in zip(raw, expected, strict=True)) >= 5
    found = ours(Case("scene", replace(every, min_mask_region_area=area)))
    mine = [one.mask() for one in found]
    assert all((a == b).all() for a, b in zip(mine, expected, strict=True))
    assert [one.area for one in found] == [mask.sum() for mask in expected]


def without_small_regions(mask: np.ndarray, area: int) -> np.ndarray:
    """Fill regions of the background, then drop regions of the mask, with fewer pixels."""
    for value in (False, True):
        count, regions, stats, _ = cv2.connectedComponentsWithStats(
            (mask == value).astype(np.uint8), connectivity=8
        )
        sizes = {number: stats[number, cv2.CC_STAT_AREA] for number in range(1, count)}
        largest = max(sizes, key=lambda number: sizes[number], default=None)
        for number, size in sizes.items():
            if size < area and not (value and number == largest):
                mask = np.where(regions == number, not value, mask)
    return mask
