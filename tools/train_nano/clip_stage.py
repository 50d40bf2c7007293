"""One training step on a short clip: follow objects from the first frame on.

The steps are those of sam2's tracker (condition on memory, decode, remember), but every mask and
the object score stay visible to the losses where the tracker would hide them behind a threshold.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sam2_serving.scenes import Clip, draw_clip
from train_nano.forward import Answer, Window, encode, encode_mask, no_mask, normalised
from train_nano.image_stage import SURE, low_logits
from train_nano.losses import answer_loss
from train_nano.samples import Mask

_ABSENT = -1024.0  # logit of every pixel of an object that is not there, as in sam2
_PRESENCE_WEIGHT = 1.0
_ABSENT_GAIN = 2.0  # frames without the object are fewer than those with it
_CELLS = [(16, 16)]
_LEAST_PIXELS = 40
_LOSING_SHARE = 0.2  # of longer clips, drawn anew up to 6 times until an object gets lost
_SPANS = (0.012, 0.025, 0.025, 0.04, 0.08)  # of a journey, each frame; 0.025 in 40 frames or fewer
_TRIES = 6


@dataclass(frozen=True)
class ClipPlan:
    """What a step on clips is made of.

    Attributes:
        frames: of each clip.
        objects: followed at once, at most.
        hard_share: share of clips drawn by the hard rules.
        told: share of remembered masks that are the true ones.
        cut_share: share of clips that show another film for some frames.
        seeing: whether the image encoder learns from the clips too.
    """

    frames: int
    objects: int
    hard_share: float
    told: float
    cut_share: float = 0.0
    seeing: bool = False


@dataclass(frozen=True)
class Followed:
    """Objects to follow.

    Attributes:
        images: uint8 T x 256 x 256 x 3.
        masks: bool T x N x 256 x 256.
    """

    images: np.ndarray[Any, np.dtype[np.uint8]]
    masks: Mask


def objects_of(clip: Clip) -> Mask:
    """Masks T x N x H x W of whole things (with their parts) that show on the first frame."""
    masks = []
    for whole in np.flatnonzero(clip.parents < 0):
        members = clip.parents == whole
        members[whole] = True
        if np.count_nonzero(clip.masks[0, whole]) >= _LEAST_PIXELS:
            masks.append(np.asarray(clip.masks[:, members].any(axis=1)))
    return np.stack(masks, axis=1) if masks else clip.masks[:, :0]


def draw_followed(rng: np.random.Generator, plan: ClipPlan) -> Followed:
    """Draw a clip, slow or with large steps, and choose objects to follow."""
    hard = rng.random() < plan.hard_share
    span = min(1.0, plan.frames * float(rng.choice(_SPANS)))
    losing = plan.frames > 3 and rng.random() < _LOSING_SHARE
    if losing:
        span = 1.0 if rng.random() < 0.5 else 0.5
    for attempt in itertools.count():
        seed = int(rng.integers(2**31))
        clip = draw_clip(seed, plan.frames, 256, "hard" if hard else "easy", span=span)
        masks = objects_of(clip)
        lost = np.asarray(~masks.any(axis=(2, 3)).all(axis=0))
        if lost.any() or (len(lost) and not (losing and attempt < _TRIES)):
            break
    order = rng.permutation(masks.shape[1])
    order = order[np.argsort(~lost[order], kind="stable")]  # those that get lost come first
    followed = Followed(clip.frames, masks[:, order[: plan.objects]])
    if plan.frames > 3 and rng.random() < plan.cut_share:
        return _with_cut(rng, followed, "hard" if hard else "easy")
    return followed


def _with_cut(rng: np.random.Generator, followed: Followed, difficulty: str) -> Followed:
    """Show another film for one to three frames, without any of the objects, mostly not to the end.

    Cheap lessons in "gone" and "back": journeys alone bring an object back in few clips.
    """
    frames = len(followed.images)
    length = int(rng.integers(1, 4))
    first = int(rng.integers(1, frames - length + (rng.random() < 0.4)))
    cut = slice(first, first + length)
    images, masks = followed.images.copy(), followed.masks.copy()
    images[cut] = draw_clip(int(rng.integers(2**31)), frames, 256, difficulty).frames[cut]
    masks[cut] = False
    return Followed(images, masks)


class Tracker:
    """Follows N objects through encoded frames, one frame at a time."""

    def __init__(self, model: Any, features: list[Tensor], objects: int) -> None:
        """Take frames.

        Args:
            model: the network.
            features: of all T frames, from `encode`.
            objects: N.
        """
        self.model = model
        self.features = features
        self.objects = objects
        self.codes = model.image_encoder.neck.position_encoding(features[2][:1])
        self.outputs: dict[str, dict[int, dict[str, Any]]] = {
            "cond_frame_outputs": {},
            "non_cond_frame_outputs": {},
        }

    def _level(self, number: int, frame: int) -> Tensor:
        return self.features[number][frame : frame + 1].expand(self.objects, -1, -1, -1)

    def _sequence(self, maps: Tensor) -> Tensor:
        return maps.expand(self.objects, -1, -1, -1).flatten(2).permute(2, 0, 1)

    def start(self, masks: Tensor) -> None:
        """Remember true masks bool N x 256 x 256 of frame 0."""
        model = self.model
        coarse = self._level(2, 0)
        fine = [self._level(0, 0), self._level(1, 0)]
        inputs = masks.float().unsqueeze(1)
        pointer = model._use_mask_as_output(coarse, fine, inputs)[5]
        logits = (inputs * 2.0 - 1.0) * SURE
        presence = torch.full((self.objects, 1), SURE, device=masks.device)
        self._remember(0, logits, presence, pointer, "cond_frame_outputs")

    def recall(self, frame: int) -> Tensor:
        """Features of a frame with memory, N x d x 16 x 16."""
        mixed: Tensor = self.model._prepare_memory_conditioned_features(
            frame_idx=frame,
            is_init_cond_frame=False,
            current_vision_feats=[self._sequence(self._level(2, frame))],
            current_vision_pos_embeds=[self._sequence(self.codes)],
            feat_sizes=_CELLS,
            output_dict=self.outputs,
            num_frames=len(self.features[2]),
        )
        return mixed

    def look(self, frame: int) -> tuple[Answer, Tensor]:
        """Answer for the next frame, and its mask tokens."""
        model, mixed = self.model, self.recall(frame)
        empty = mixed.new_zeros(self.objects, 1, 2)
        none = -mixed.new_ones(self.objects, 1, dtype=torch.int32)
        sparse, dense = model.sam_prompt_encoder((empty, none), None, None)
        logits, ious, tokens, presence = model.sam_mask_decoder.predict_masks(
            mixed,
            model.sam_prompt_encoder.get_dense_pe(),
            sparse,
            dense,
            False,
            [self._level(0, frame), self._level(1, frame)],
        )
        return Answer(logits, ious, presence), tokens

    def remember(self, frame: int, answer: Answer, tokens: Tensor, told: Tensor | None) -> None:
        """Remember an answer, or the true masks bool N x 256 x 256 where they are told."""
        choice = answer.ious[:, 1:].argmax(dim=1) + 1
        rows = torch.arange(self.objects, device=choice.device)
        logits = answer.logits[rows, choice].unsqueeze(1)
        presence = answer.presence
        if told is not None:
            logits = low_logits(told)
            presence = told.flatten(1).any(1, keepdim=True).float() * 2.0 * SURE - SURE
        present = (presence > 0.0).float()
        logits = torch.where(present[:, :, None, None] > 0.0, logits, _ABSENT)
        full = F.interpolate(logits, size=(256, 256), mode="bilinear", align_corners=False)
        pointer = self.model.obj_ptr_proj(tokens[rows, choice])
        pointer = present * pointer + (1.0 - present) * self.model.no_obj_ptr
        self._remember(frame, full, presence, pointer, "non_cond_frame_outputs")

    def _remember(
        self, frame: int, masks: Tensor, presence: Tensor, pointer: Tensor, kind: str
    ) -> None:
        memory, codes = self.model._encode_new_memory(
            current_vision_feats=[self._sequence(self._level(2, frame))],
            feat_sizes=_CELLS,
            pred_masks_high_res=masks,
            object_score_logits=presence,
            is_mask_from_pts=False,
        )
        self.outputs[kind][frame] = {
            "maskmem_features": memory,
            "maskmem_pos_enc": codes,
            "obj_ptr": pointer,
        }


def _guide(model: Any, tracker: Tracker, frame: int, truth: Tensor) -> Tensor:
    """How far memory's contribution is from what the true mask would bring as a mask prompt.

    Returns:
        Mean square error in units of the goal's variance.
    """
    sums: list[Tensor] = []
    hook = model.memory_attention.norm.register_forward_pre_hook(lambda _, x: sums.append(x[0]))
    tracker.recall(frame)
    hook.remove()
    plain = tracker.features[2][frame].flatten(1).transpose(0, 1)
    with torch.no_grad():
        goal = encode_mask(model, low_logits(truth)) - no_mask(model)
        goal = goal.flatten(2).transpose(1, 2)
    return (sums[0] - plain - goal).square().mean() / goal.var()


def guide_step(model: Any, rng: np.random.Generator, plan: ClipPlan, clips: int = 3) -> Tensor:
    """Guide loss alone, on the second frames of clips: teaches memory what a mask prompt says."""
    total = torch.zeros((), device=model.device)
    for _ in range(clips):
        followed = draw_followed(rng, plan)
        truth = torch.from_numpy(followed.masks).to(model.device)
        with torch.no_grad():
            features = encode(model, normalised(followed.images), Window())
        tracker = Tracker(model, features, truth.shape[1])
        tracker.start(truth[0])
        total = total + _guide(model, tracker, 1, truth[1])
    return total / clips


def clip_step(model: Any, rng: np.random.Generator, plan: ClipPlan) -> tuple[Tensor, float]:
    """Follow objects through a clip; loss and mean IoU over the frames where they show."""
    followed = draw_followed(rng, plan)
    truth = torch.from_numpy(followed.masks).to(model.device)
    with torch.set_grad_enabled(plan.seeing):
        features = encode(model, normalised(followed.images), Window())
    tracker = Tracker(model, features, truth.shape[1])
    tracker.start(truth[0])
    total = torch.zeros((), device=model.device)
    ious: list[Tensor] = []
    for frame in range(1, plan.frames):
        answer, tokens = tracker.look(frame)
        loss, got = answer_loss(answer, truth[frame], True, 0.3)
        present = truth[frame].flatten(1).any(1)
        seen = F.binary_cross_entropy_with_logits(
            answer.presence[:, 0], present.float(), torch.where(present, 1.0, _ABSENT_GAIN)
        )
        total = total + loss.mean() + _PRESENCE_WEIGHT * seen
        ious.append(got[present])
        told = truth[frame] if rng.random() < plan.told else None
        tracker.remember(frame, answer, tokens, told)
    scores = torch.cat(ious)
    return total / (plan.frames - 1), float(scores.mean()) if len(scores) else float("nan")


@torch.no_grad()
def validate_clips(
    model: Any, difficulty: str, clips: int, frames: int = 16
) -> tuple[float, float]:
    """Follow objects from their true first mask.

    Returns:
        Mean IoU over frames where they show, and share of frames without them that are told so.
    """
    scores: list[float] = []
    absences: list[bool] = []
    for number in range(clips):
        clip = draw_clip(2**31 + number, frames, 256, difficulty)
        truth = torch.from_numpy(objects_of(clip)[:, :4]).to(model.device)
        features = encode(model, normalised(clip.frames), Window())
        tracker = Tracker(model, features, truth.shape[1])
        tracker.start(truth[0])
        for frame in range(1, frames):
            answer, tokens = tracker.look(frame)
            _, got = answer_loss(answer, truth[frame], True, 0.3)
            present = truth[frame].flatten(1).any(1)
            given = answer.presence[:, 0] > 0.0  # else the tracker gives no mask
            scores += (got * given)[present].tolist()
            absences += (~given[~present]).tolist()
            tracker.remember(frame, answer, tokens, None)
    return float(np.mean(scores)), float(np.mean(absences)) if absences else 1.0
