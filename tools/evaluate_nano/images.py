"""Clicks, boxes and corrections on still images, with sam2's own image predictor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from evaluate_nano.heldout import Image, Mask, Object, iou, scenes

TOLERANCES = (8, 16, 24, 32, 48, 64)


@dataclass
class Record:
    """What was measured on one object.

    Attributes:
        size: "small", "medium" or "large".
        ious: IoU by way of asking ("click", "click_oracle", "box", "three", "filled_box",
            "flood_8" ...).
        said: (predicted IoU, true IoU) of the answers to a click, a box and three clicks.
        obeyed: whether each click was obeyed, by kind.
    """

    size: str
    ious: dict[str, float] = field(default_factory=dict)
    said: list[tuple[float, float]] = field(default_factory=list)
    obeyed: dict[str, list[bool]] = field(default_factory=dict)

    def obey(self, kind: str, obeyed: bool) -> None:
        """Note whether a click was obeyed."""
        self.obeyed.setdefault(kind, []).append(bool(obeyed))


def measure(predictor: Any, difficulty: str, objects: int) -> list[Record]:
    """Ask about every object of the held-out scenes."""
    records = []
    for number, scene in enumerate(scenes(difficulty, objects)):
        predictor.set_image(scene[0].image)
        rng = np.random.default_rng(number)
        records += [_record(predictor, thing, rng) for thing in scene]
    return records


def _record(predictor: Any, thing: Object, rng: np.random.Generator) -> Record:
    record = Record(thing.size)
    click = centre_of(thing.mask)
    _by_click(predictor, record, thing.mask, click)
    _by_box(predictor, record, thing.mask, rng)
    record.ious["filled_box"] = iou(_filled_box(thing.mask), thing.mask)
    for tolerance in TOLERANCES:
        found = flood(thing.image, click, tolerance)
        record.ious[f"flood_{tolerance}"] = iou(found, thing.mask)
    return record


def _by_click(predictor: Any, record: Record, mask: Mask, click: tuple[int, int]) -> None:
    points, labels = [click], [1]
    found, said, logits = predictor.predict(np.array(points), np.array(labels))
    best = int(said.argmax())
    answer = found[best] > 0
    record.ious["click"] = iou(answer, mask)
    record.ious["click_oracle"] = max(iou(one > 0, mask) for one in found)
    record.said.append((float(said[best]), record.ious["click"]))
    record.obey("positive, first click", answer[click[1], click[0]])
    previous = logits[best : best + 1]
    for _ in range(2):
        x, y, label = _correction(answer, mask)
        points.append((x, y))
        labels.append(label)
        found, said, previous = predictor.predict(
            np.array(points), np.array(labels), mask_input=previous, multimask_output=False
        )
        answer = found[0] > 0
        kind = "positive, correction" if label else "negative, correction"
        record.obey(kind, answer[y, x] == bool(label))
    record.ious["three"] = iou(answer, mask)
    record.said.append((float(said[0]), record.ious["three"]))


def _by_box(predictor: Any, record: Record, mask: Mask, rng: np.random.Generator) -> None:
    box = box_of(mask)
    found, said, _ = predictor.predict(box=np.array(box), multimask_output=False)
    record.ious["box"] = iou(found[0] > 0, mask)
    record.said.append((float(said[0]), record.ious["box"]))
    free = _filled_box(mask) & ~cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))).astype(bool)
    if free.any():
        flat = np.flatnonzero(free)
        y, x = divmod(int(rng.choice(flat)), mask.shape[1])
        again, _, _ = predictor.predict(
            np.array([(x, y)]), np.array([0]), box=np.array(box), multimask_output=False
        )
        record.obey("negative, in a box", not again[0][y, x] > 0)
        record.obey("outside without the click", not found[0][y, x] > 0)


def centre_of(region: Mask) -> tuple[int, int]:
    """The pixel (x, y) of a region that is farthest from its edge."""
    distance = cv2.distanceTransform(np.pad(region, 1).astype(np.uint8), cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(distance[1:-1, 1:-1].argmax()), region.shape)
    return int(x), int(y)


def _correction(found: Mask, mask: Mask) -> tuple[int, int, int]:
    """The middle of the largest wrong region (of the object where nothing is wrong)."""
    missing, extra = mask & ~found, found & ~mask
    wrong = missing if np.count_nonzero(missing) >= np.count_nonzero(extra) else extra
    if not wrong.any():
        wrong = mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8))
    x, y = centre_of(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))
    return x, y, int(mask[y, x])


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """The exact box (x0, y0, x1, y1) of a mask, exclusive at x1, y1."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def _filled_box(mask: Mask) -> Mask:
    x0, y0, x1, y1 = box_of(mask)
    filled = np.zeros_like(mask)
    filled[y0:y1, x0:x1] = True
    return filled


def flood(image: Image, click: tuple[int, int], tolerance: int) -> Mask:
    """The trivial answer to a click: what is connected to it and of about its colour."""
    height, width = image.shape[:2]
    found = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | (255 << 8) | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY
    smooth = cv2.medianBlur(image, 3)
    cv2.floodFill(smooth, found, click, (0, 0, 0), (tolerance,) * 3, (tolerance,) * 3, flags)
    return np.asarray(found[1:-1, 1:-1] > 0)
