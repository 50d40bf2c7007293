"""Ask the decoder about many single points at once, and compute only the masks that are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sam2_serving.model.devices import DTYPES
from sam2_serving.model.image import PROMPT_LOGIT_LIMIT, ImageEmbedding, SegmentationModel

Points = npt.NDArray[np.float32]
"""N x 2, (x, y) in pixels of the image that was embedded."""

POINTS_AT_ONCE_ON_CPU = 64
"""About 150 ms of work. Fewer cost as much a point while the cores are free, and several times as
much where torch's threads must wait for cores: each layer ends with such a wait."""
POINTS_AT_ONCE_OF_LARGE = 4
LARGE_NETWORK = 10_000_000
"""Parameters."""


@dataclass(frozen=True)
class PointMasks:
    """K masks before the threshold, on the CPU.

    Attributes:
        logits: K x S x S float32, S a quarter of the network's input size.
        predicted_iou: K float32, 0 to 1.
        points: K x 2, the point that each was asked for.
    """

    logits: npt.NDArray[np.float32]
    predicted_iou: npt.NDArray[np.float32]
    points: Points

    def __len__(self) -> int:
        return len(self.predicted_iou)

    def __getitem__(self, which: slice | npt.NDArray[np.bool_]) -> PointMasks:
        return PointMasks(self.logits[which], self.predicted_iou[which], self.points[which])

    @classmethod
    def of(cls, parts: Sequence[PointMasks]) -> PointMasks:
        """Put one or more together."""
        return cls(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.predicted_iou for part in parts]),
            np.concatenate([part.points for part in parts]),
        )


def points_at_once(model: SegmentationModel) -> int | None:
    """Return how many points may go through the network together; None: any number.

    Decided by the device and the size of the network alone, so that equal requests go through in
    equal batches.
    """
    if model.device.type != "cpu":
        return None
    parameters = sum(weights.numel() for weights in model.network.parameters())
    return POINTS_AT_ONCE_ON_CPU if parameters < LARGE_NETWORK else POINTS_AT_ONCE_OF_LARGE


@torch.inference_mode()
def decode_points(
    model: SegmentationModel,
    embedding: ImageEmbedding,
    points: Points,
    min_predicted_iou: float | None = None,
) -> PointMasks:
    """Return the three masks of every point whose predicted IoU is high enough.

    What the decoder's own `forward` gives, in the same order: by point, then by output. The steps
    are called one by one, because the predicted IoU is known before the maps are
    enlarged, which then happens only for the points that have a mask to show.

    Args:
        model: the network.
        embedding: the image, embedded by `model`.
        points: one or more, each a positive click of its own.
        min_predicted_iou: masks that are not above it are left out; None: all stay.
    """
    answer = _decode_lean if model.lean is not None else _decode
    logits, ious, wanted = answer(model, embedding, points, min_predicted_iou)
    if logits is None:
        return _nothing(model)
    which = wanted.cpu().numpy()
    return PointMasks(
        logits.cpu().numpy(), ious[wanted].cpu().numpy(), points[np.nonzero(which)[0]]
    )


Answer = tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]
"""K x S x S logits (None if K is 0), N x 3 predicted IoUs, and N x 3 bool with K that are true."""


def _decode_lean(
    model: SegmentationModel,
    embedding: ImageEmbedding,
    points: Points,
    min_predicted_iou: float | None,
) -> Answer:
    assert model.lean is not None
    decoder, network = model.lean.decoder, model.lean.network
    side = model.image_side(model.lean, embedding)
    sparse, _ = network.sam_prompt_encoder(
        points=_prompts(model, embedding, points), boxes=None, masks=None
    )
    parts = []
    outputs = decoder.outputs_of_many
    for some in sparse.split(decoder.at_once(side.cells)):
        found = decoder.transform(side.cells, side.first, some, outputs)
        ious = decoder.iou_prediction_head(found.out[:, 0])[:, 1:]
        wanted = _wanted(ious, min_predicted_iou)
        shown = wanted.any(dim=1)
        logits = None
        if shown.any():
            logits = decoder.masks(found.cells[shown], found.out[shown, 1:], side.maps, first=1)
            logits = logits[wanted[shown]]
        parts.append((logits, ious, wanted))
    kept = [logits for logits, _, _ in parts if logits is not None]
    return (
        torch.cat(kept) if kept else None,
        torch.cat([ious for _, ious, _ in parts]),
        torch.cat([wanted for _, _, wanted in parts]),
    )


def _wanted(ious: torch.Tensor, least: float | None) -> torch.Tensor:
    return torch.ones_like(ious, dtype=torch.bool) if least is None else ious > least


def _decode(
    model: SegmentationModel,
    embedding: ImageEmbedding,
    points: Points,
    min_predicted_iou: float | None,
) -> Answer:
    decoder = model.network.sam_mask_decoder
    dtype = model.decoder_dtype
    fine, middle, features = (
        level.to(DTYPES[dtype]) for level in (*embedding.high_res, embedding.features)
    )
    with model.arithmetic(dtype):
        sparse, dense = model.network.sam_prompt_encoder(
            points=_prompts(model, embedding, points), boxes=None, masks=None
        )
        outputs = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        if decoder.pred_obj_scores:
            outputs.insert(0, decoder.obj_score_token.weight)
        asked = torch.cat(outputs).expand(len(points), -1, -1)
        image = (features + dense[:1]).expand(len(points), -1, -1, -1)
        places = model.network.sam_prompt_encoder.get_dense_pe().expand_as(image)
        tokens, maps = decoder.transformer(image, places, torch.cat([asked, sparse], dim=1))
        tokens = tokens[:, int(decoder.pred_obj_scores) :]
        ious = decoder.iou_prediction_head(tokens[:, 0])[:, 1:].float()
        wanted = _wanted(ious, min_predicted_iou)
        some = wanted.any(dim=1)
        if not some.any():
            return None, ious, wanted
        low = image.shape[-1]
        maps = maps[some].transpose(1, 2).unflatten(2, (low, low))
        enlarge, normalize, activate, enlarge_more, activate_more = decoder.output_upscaling
        maps = activate(normalize(enlarge(maps) + middle))
        maps = activate_more(enlarge_more(maps) + fine).flatten(2)
        weights = [
            head(tokens[some, 1 + output])
            for output, head in enumerate(decoder.output_hypernetworks_mlps)
            if output > 0  # the first is the mask for prompts that leave no choice
        ]
        logits = (torch.stack(weights, dim=1) @ maps)[wanted[some]].float()
        return logits.unflatten(1, (4 * low, 4 * low)), ious, wanted


@torch.inference_mode()
def refine_masks(
    model: SegmentationModel, embedding: ImageEmbedding, masks: PointMasks
) -> PointMasks:
    """Ask once more for each mask, with its point and itself as the prompt.

    Returns:
        as many masks, in the same order.
    """
    guesses = torch.from_numpy(masks.logits)[:, None].to(model.device)
    guesses = guesses.clamp(-PROMPT_LOGIT_LIMIT, PROMPT_LOGIT_LIMIT)
    asked = _prompts(model, embedding, masks.points)
    logits, ious = model.decode(embedding, asked, guesses, multimask=False)
    return PointMasks(logits[:, 0].cpu().numpy(), ious[:, 0].cpu().numpy(), masks.points)


def _nothing(model: SegmentationModel) -> PointMasks:
    side = model.input_size // 4
    return PointMasks(
        np.zeros((0, side, side), np.float32), np.zeros(0, np.float32), np.zeros((0, 2), np.float32)
    )


def _prompts(
    model: SegmentationModel, embedding: ImageEmbedding, points: Points
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (N x 1 x 2 network pixels, N x 1 labels)."""
    height, width = embedding.image_size
    scaled = torch.tensor(points, dtype=torch.float32, device=model.device)
    scaled[:, 0] /= width
    scaled[:, 1] /= height
    labels = torch.ones((len(points), 1), dtype=torch.int32, device=model.device)
    return (scaled * model.input_size)[:, None], labels
