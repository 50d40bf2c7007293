"""Meta's own image predictor, driven with the calls that our answers stand for."""

from __future__ import annotations

import copy
from dataclasses import replace

import cv2
import numpy as np
import torch

from sam2_serving.model import ImageEmbedding, Prediction, Prompts, SegmentationModel
from sam2_serving.model.upstream import upstream_predictor


class Peer:
    """`SAM2ImagePredictor` over the same network, with the platform's two-pass rule on top.

    The rule and the mask prompt are written anew here, from the design and not from our code.
    """

    def __init__(self, model: SegmentationModel, image: np.ndarray) -> None:
        self.predictor = upstream_predictor(model.network)
        self.predictor.set_image(image)
        self.side = model.input_size // 4

    def segment(self, prompts: Prompts, refine: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (bool HxW, low-resolution logits)."""
        points = [(p.x, p.y) for p in prompts.points]
        labels = [int(p.positive) for p in prompts.points]
        box = None if prompts.box is None else list(prompts.box)
        if prompts.mask is not None:
            return self.predict(points, labels, box, self.mask_prompt(prompts.mask))
        if refine == "single":
            return self.predict(points, labels, box)
        if 1 in labels:
            first = labels.index(1)
            guess = self.predict([points[first]], [1], box)
        elif box is not None:
            guess = self.predict([], [], box)
        else:
            return self.predict(points, labels, box)
        if len(points) == (1 in labels):
            return guess
        return self.predict(points, labels, box, guess[1])

    def mask_prompt(self, mask: np.ndarray) -> np.ndarray:
        """+10 inside, -10 outside, linear where the mask covers a cell in part."""
        grown = cv2.resize(mask.astype(np.float32), np.maximum(mask.shape[::-1], self.side))
        share = cv2.resize(grown, (self.side, self.side), interpolation=cv2.INTER_AREA)
        return (10 * (2 * share - 1))[None]

    def predict(
        self,
        points: list[tuple[float, float]],
        labels: list[int],
        box: list[float] | None,
        mask_input: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        one_click_alone = len(points) == 1 and box is None and mask_input is None
        masks, ious, logits = self.predictor.predict(
            np.array(points) if points else None,
            np.array(labels) if points else None,
            None if box is None else np.array(box),
            mask_input,
            multimask_output=one_click_alone,
        )
        best = int(np.argmax(ious))
        return masks[best].astype(bool), logits[best : best + 1]


def clamped(prediction: Prediction) -> np.ndarray:
    """Upstream returns logits within +-32."""
    return prediction.logits.clamp(-32, 32).numpy()


def exact_logits(
    model: SegmentationModel, embedding: ImageEmbedding, prompts: Prompts
) -> np.ndarray:
    """Return the logits of both passes, clamped as upstream's, by upstream's decoder in float64."""
    network = copy.deepcopy(model.network).double()
    encode = model.network.sam_prompt_encoder

    def decode(asked: Prompts, guess: torch.Tensor | None) -> torch.Tensor:
        sparse, dense = encode(model.sparse_prompts(asked, embedding.image_size), None, None)
        if guess is not None:
            dense = network.sam_prompt_encoder.mask_downscaling(guess.clamp(-32, 32))
        logits, ious, _, _ = network.sam_mask_decoder(
            embedding.features.double(),
            encode.get_dense_pe().double(),
            sparse.double(),
            dense.double(),
            multimask_output=asked.is_ambiguous and guess is None,
            repeat_image=False,
            high_res_features=[level.double() for level in embedding.high_res],
        )
        best = int(ious[0].argmax())
        return logits[:, best : best + 1]

    with torch.inference_mode():
        first = prompts.first_pass()
        found = decode(first, None)
        if first != prompts:
            found = decode(prompts, found)
    return found[0].clamp(-32, 32).numpy()


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


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether masks agree within IoU 0.999; a pixel on the edge may fall either way in each.

    Rounding differs by 1e-5 of a logit, and in a mask of less than 1000 pixels one is more than
    0.001: a whole IoU would ask such masks to be equal bit by bit.
    """
    return np.count_nonzero(a ^ b) <= max(1, 0.001 * np.count_nonzero(a | b))
