"""A fast number format, or compiled code, is used only after it was seen to agree.

A format is held against float32, code against the same format without it. The verdict is kept on
disk: the check costs a few encodes, once per weights, device, number format, input size, code and
torch version.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch

from sam2_serving.masks.boxes import Box
from sam2_serving.model.image import SegmentationModel, segment
from sam2_serving.model.prompts import Point, Prompts

MEAN_IOU_NEEDED = 0.99
LOWEST_IOU_NEEDED = 0.95
SAME_MEAN_IOU, SAME_LOWEST_IOU = 0.999, 0.99
"""Of ways to compute in float32, which differ in the last bits only."""


@dataclass(frozen=True)
class Verdict:
    """How well masks that are made in two ways agree on 16 fixed prompts."""

    mean_iou: float
    lowest_iou: float

    @property
    def agrees(self) -> bool:
        """Tell whether the fast format may serve."""
        return self.mean_iou >= MEAN_IOU_NEEDED and self.lowest_iou >= LOWEST_IOU_NEEDED

    @property
    def same(self) -> bool:
        """Tell whether the two are one up to rounding."""
        return self.mean_iou >= SAME_MEAN_IOU and self.lowest_iou >= SAME_LOWEST_IOU


def remembered_verdict(
    fast: SegmentationModel, folder: Path, measure: Callable[[], Verdict]
) -> Verdict:
    """Return the verdict kept in `folder`, or measure and keep it.

    A folder that cannot be written costs a measurement at every load, nothing else.
    """
    file = folder / f"{_conditions(fast)}.json"
    verdict = _read(file) or measure()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{uuid4().hex}.tmp")
        draft.write_text(json.dumps(asdict(verdict)))
        os.replace(draft, file)
    except OSError:
        pass
    return verdict


def _read(file: Path) -> Verdict | None:
    """Return the verdict in a file; None if it is missing or damaged."""
    try:
        content = json.loads(file.read_text())
        ious = [float(content[name]) for name in ("mean_iou", "lowest_iou")]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Verdict(*ious) if all(0 <= iou <= 1 for iou in ious) else None


def _conditions(model: SegmentationModel) -> str:
    device = (
        torch.cuda.get_device_name(model.device)
        if model.device.type == "cuda"
        else f"{platform.machine()}-{torch.backends.cpu.get_cpu_capability()}"
    )
    size, software = f"{model.input_size}px", f"torch-{torch.__version__}"
    code = () if model.compiled is None else (f"compiled-{model.compiled.digest[:16]}",)
    parts = (model.fingerprint[:16], device, model.dtype, size, software, *code)
    return "_".join("".join(c if c.isalnum() or c in ".-" else "-" for c in p) for p in parts)


def measure_agreement(fast: SegmentationModel, exact: SegmentationModel) -> Verdict:
    """Compare masks of two models of the same weights on 16 fixed prompts over two drawings."""
    ious: list[float] = []
    for picture in (example_picture(), _wavy_picture()):
        quick, slow = fast.embed(picture), exact.embed(picture)
        for prompts in _fixed_prompts():
            mask = fast.to_mask(segment(fast, quick, prompts), quick.image_size)
            truth = exact.to_mask(segment(exact, slow, prompts), slow.image_size)
            union = np.count_nonzero(mask | truth)
            ious.append(np.count_nonzero(mask & truth) / union if union else 1.0)
    return Verdict(float(np.mean(ious)), float(np.min(ious)))


def _fixed_prompts() -> list[Prompts]:
    clicks = [Point(100, 90), Point(200, 170), Point(60, 180)]
    boxes = [Box(50, 40, 150, 140), Box(140, 110, 260, 230)]
    return [
        *(Prompts(points=(click,)) for click in clicks),
        *(Prompts(box=box) for box in boxes),
        Prompts(points=(clicks[0], Point(200, 170, positive=False))),
        Prompts(points=(clicks[0],), box=boxes[0]),
        Prompts(points=(clicks[1], Point(230, 120, positive=False)), box=boxes[1]),
    ]


def example_picture() -> npt.NDArray[np.uint8]:
    """Three shaded discs, 240 x 320."""
    y, x = np.mgrid[:240, :320]
    picture = np.stack([x * 0.3 + 40, y * 0.4 + 60, 140 - x * 0.2], axis=2)
    for centre_x, centre_y, radius, color in (
        (100, 90, 45, (220, 60, 50)),
        (200, 170, 55, (40, 180, 90)),
        (60, 180, 30, (240, 220, 60)),
    ):
        distance = np.hypot(x - centre_x, y - centre_y)
        inside = distance < radius
        picture[inside] = np.array(color) * (1 - 0.4 * distance[inside] / radius)[:, None]
    discs: npt.NDArray[np.uint8] = picture.astype(np.uint8)
    return discs


def _wavy_picture() -> npt.NDArray[np.uint8]:
    """The same discs under a wavy pattern, so that edges are not all sharp."""
    y, x = np.mgrid[:240, :320]
    wave = 20 * np.sin(x / 9 + 2 * np.sin(y / 21))
    stripes: npt.NDArray[np.uint8] = np.clip(example_picture() + wave[..., None], 0, 255).astype(
        np.uint8
    )
    return stripes
