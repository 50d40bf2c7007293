"""What nano is told about its answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train_nano.forward import Answer, Prompt

_PIXEL_WEIGHT = 4.0
_REST = 0.2  # weight of the alternatives where the single mask is the answer
_CLICK_WEIGHT = 0.6
_FAR_GAIN = 3.0  # a stray island moves the box of a mask, however small it is
_FAR_CELLS = 4  # from the object on, in cells of two pixels
_NEGATIVE_GAIN = 2.0  # a click on what does not belong must weigh against all that looks alike
_PRESENCE_WEIGHT = 0.2
_CONFIDENCE_WEIGHT = 2.0


def shrink(masks: Tensor) -> Tensor:
    """Masks P x H x W as soft targets P x H/2 x W/2: the share of each cell that is covered."""
    return F.avg_pool2d(masks.float().unsqueeze(1), 2).squeeze(1)


def true_ious(logits: Tensor, masks: Tensor) -> Tensor:
    """IoU at full resolution of each predicted mask, P x M.

    Args:
        logits: P x M x h x w.
        masks: bool P x H x W.
    """
    with torch.no_grad():
        full = F.interpolate(logits, size=masks.shape[-2:], mode="bilinear", align_corners=False)
        found, truth = full > 0.0, masks.unsqueeze(1)
        both = (found & truth).flatten(2).sum(-1).float()
        either = (found | truth).flatten(2).sum(-1).float()
        return both / either.clamp_min(1.0)


def mask_loss(logits: Tensor, soft: Tensor) -> Tensor:
    """Cross-entropy and Dice loss of each mask, P x M.

    Logits are enlarged before they are judged, as they are before a user sees them: where an edge
    runs through a cell of stride 4 is said by how sure the cells beside it are. Pixels away from
    the object count more.

    Args:
        logits: P x M x h x w.
        soft: targets P x 2h x 2w.
    """
    logits = F.interpolate(logits, size=soft.shape[-2:], mode="bilinear", align_corners=False)
    target = soft.unsqueeze(1).expand_as(logits)
    near = F.max_pool2d(soft.unsqueeze(1), 2 * _FAR_CELLS + 1, stride=1, padding=_FAR_CELLS)
    weight = torch.where(near > 0.0, 1.0, _FAR_GAIN)
    pixels = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight
    pixels = pixels.flatten(2)
    chance = logits.sigmoid().flatten(2)
    goal = target.flatten(2)
    overlap = (chance * goal).sum(-1)
    dice = 1.0 - (2.0 * overlap + 1.0) / (chance.sum(-1) + goal.sum(-1) + 1.0)
    return _PIXEL_WEIGHT * pixels.mean(-1) + dice


def answer_loss(
    answer: Answer, masks: Tensor, alternatives: bool, alike: float
) -> tuple[Tensor, Tensor]:
    """Loss of an answer and the IoU of what a user would get, both for each prompt.

    A prompt whose true mask is empty (a click on the background) has no right mask: only its
    predicted IoU and object score are told to be 0.

    Args:
        answer: of P prompts.
        masks: bool P x H x W, the truth.
        alternatives: whether the three alternatives are in play (a single click).
        alike: 1 teaches all alternatives the same, 0 only the best of them. Where only the best
            is taught, the three learn to be right about something whatever is clicked.
    """
    soft = shrink(masks)
    present = masks.flatten(1).any(1).float()
    each = mask_loss(answer.logits, soft)
    single, others = each[:, 0], each[:, 1:]
    if alternatives:
        best = (1.0 - alike) * others.min(dim=1).values + alike * others.mean(dim=1)
        loss = best + 0.5 * single
    else:
        loss = single + _REST * others.mean(dim=1)
    ious = true_ious(answer.logits, masks)
    confidence = F.smooth_l1_loss(answer.ious, ious, beta=0.05, reduction="none").mean(dim=1)
    presence = F.binary_cross_entropy_with_logits(answer.presence[:, 0], present, reduction="none")
    total = loss * present + _CONFIDENCE_WEIGHT * confidence + _PRESENCE_WEIGHT * presence
    got = ious[:, 0]
    if alternatives:
        choice = answer.ious[:, 1:].argmax(dim=1, keepdim=True) + 1
        got = ious.gather(1, choice)[:, 0]
    return total, got


def click_loss(logits: Tensor, prompt: Prompt, side: int, weight: Tensor) -> Tensor:
    """How far the masks are from obeying their clicks, for each prompt.

    Args:
        logits: P x M x h x w.
        prompt: the clicks (corners of boxes are passed over).
        side: of the window, in pixels.
        weight: P, 0 where a prompt does not count.
    """
    if prompt.coords.shape[1] == 0:
        return torch.zeros_like(weight)
    grid = (prompt.coords + 0.5) * (2.0 / side) - 1.0
    at = F.grid_sample(logits, grid.unsqueeze(1), align_corners=False, padding_mode="border")
    at = at[:, :, 0]  # P x M x K
    clicks = ((prompt.labels == 0) | (prompt.labels == 1)).float().unsqueeze(1).expand_as(at)
    wanted = (prompt.labels == 1).float().unsqueeze(1).expand_as(at)
    error = F.binary_cross_entropy_with_logits(at, wanted, reduction="none") * clicks
    error = error * torch.where(wanted > 0.0, 1.0, _NEGATIVE_GAIN)
    return _CLICK_WEIGHT * weight * error.sum(-1).mean(-1) / clicks.sum(-1).mean(-1).clamp_min(1.0)
