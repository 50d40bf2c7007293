"""What clients may set for automatic masks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]

_LIMITS: dict[str, tuple[float, float]] = {
    "points_per_side": (1, 256),
    "points_per_batch": (1, 1024),
    "pred_iou_thresh": (0, 1),
    "stability_score_thresh": (0, 1),
    "stability_score_offset": (0, 100),
    "box_nms_thresh": (0, 1),
    "crop_n_layers": (0, 4),
    "crop_nms_thresh": (0, 1),
    "crop_overlap_ratio": (0, 0.95),
    "crop_n_points_downscale_factor": (1, 256),
    "min_mask_region_area": (0, 2**31 - 1),
}


@dataclass(frozen=True)
class AutomaticSettings:
    """What to ask and what to keep; names, meanings and defaults of Meta's generator.

    Attributes:
        points_per_side: points along one side of the grid over the image.
        points_per_batch: points that go through the model together, at most (see `points_at_once`).
        pred_iou_thresh: masks whose predicted IoU is not above it are dropped.
        stability_score_thresh: masks whose stability is below it are dropped.
        stability_score_offset: how far the threshold moves when stability is measured, in logits.
        box_nms_thresh: of masks whose boxes overlap more (IoU), the one of the higher predicted
            IoU stays.
        crop_n_layers: look again at crops; layer i has 4^i of them.
        crop_nms_thresh: as `box_nms_thresh`, between crops: the mask of the smaller crop stays.
        crop_overlap_ratio: overlap of neighbours, as a share of the image's shorter side.
        crop_n_points_downscale_factor: the grid of layer i has points_per_side / this^i points.
        min_mask_region_area: holes and islands of fewer pixels are removed, before duplicates are.
        output_mode: form of the mask in `FoundMask.record`.
        use_m2m: refine every mask once with itself as the prompt.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.8
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    output_mode: OutputMode = "binary_mask"
    use_m2m: bool = False

    def __post_init__(self) -> None:
        """Check every field; a ValueError names the one that is wrong."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _LIMITS:
                _check_number(field.name, value, whole=isinstance(field.default, int))
        if self.output_mode not in get_args(OutputMode):
            known = ", ".join(get_args(OutputMode))
            raise ValueError(f"output_mode must be one of {known}, not {self.output_mode!r}.")
        if not isinstance(self.use_m2m, bool):
            raise ValueError(f"use_m2m must be true or false, not {self.use_m2m!r}.")
        if self.points_on_layer(self.crop_n_layers) < 1:
            raise ValueError(
                "crop_n_points_downscale_factor is too large: "
                f"layer {self.crop_n_layers} is left without points."
            )

    def points_on_layer(self, layer: int) -> int:
        """Return the points along one side of the grid over a crop."""
        return int(self.points_per_side / self.crop_n_points_downscale_factor**layer)


def _check_number(name: str, value: object, whole: bool) -> None:
    low, high = _LIMITS[name]
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = "whole number" if whole else "number"
        raise ValueError(f"{name} must be a {kind} from {low:g} to {high:g}, not {value!r}.")
