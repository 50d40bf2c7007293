"""Meta's own image predictor, driven with the calls that our answers stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sam2_serving.model import Prompts, SegmentationModel, upstream_predictor
from sam2_serving.model.prompts import mask_to_logits


class Peer:
    """`SAM2ImagePredictor` over the same network, with the platform's two-pass rule on top."""

    def __init__(self, model: SegmentationModel, image: np.ndarray) -> None:
        self.predictor = upstream_predictor(model.network)
        self.predictor.set_image(image)
        self.side = model.input_size // 4

    def segment(self, prompts: Prompts, refine: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (bool HxW, low-resolution logits)."""
        first = prompts.first_pass()
        if prompts.mask is not None:
            return self.predict(prompts, mask_to_logits(prompts.mask, self.side))
        if refine == "single" or first == prompts:
            return self.predict(prompts)
        return self.predict(prompts, self.predict(first)[1])

    def predict(
        self, prompts: Prompts, mask_input: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        points = np.array([(p.x, p.y) for p in prompts.points]) if prompts.points else None
        labels = np.array([int(p.positive) for p in prompts.points]) if prompts.points else None
        one_click_alone = len(prompts.points) == 1 and prompts.box is None and mask_input is None
        masks, ious, logits = self.predictor.predict(
            points,
            labels,
            None if prompts.box is None else np.array(prompts.box),
            mask_input,
            multimask_output=one_click_alone,
        )
        best = int(np.argmax(ious))
        return masks[best].astype(bool), logits[best : best + 1]


def moved(prompts: Prompts, dx: int = 1, dy: int = 1) -> Prompts:
    """Return the prompts moved by a pixel each way: what a wrong offset would send."""
    box = prompts.box
    return replace(
        prompts,
        points=tuple(p._replace(x=p.x + dx, y=p.y + dy) for p in prompts.points),
        box=None if box is None else type(box)(*np.add(box, (dx, dy, dx, dy)).tolist()),
        mask=None if prompts.mask is None else np.roll(prompts.mask, (dy, dx), (0, 1)),
    )


def iou(a: np.ndarray, b: np.ndarray) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0
