"""Track objects through a video: frames in, masks out, one frame at a time.

Gives what `SAM2VideoPredictor` gives for the same pixels and prompts, and keeps nothing that memory
attention will not read again, so that memory use does not grow with the length of the video.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from sam2_serving.model.image import PIXEL_MEAN, PIXEL_STD, SegmentationModel
from sam2_serving.model.memory import FrameMemory, ObjectMemory, Recall, attention_input
from sam2_serving.model.prompts import Prompts


@dataclass(frozen=True)
class EncodedFrame:
    """A frame's features, shared by all its objects.

    Attributes:
        maps: per level, finest first: (HW) x 1 x C.
        positions: their position encodings, alike.
        sizes: (height, width) of each level.
        image_size: (height, width) of the frame in pixels.
    """

    maps: list[torch.Tensor]
    positions: list[torch.Tensor]
    sizes: list[tuple[int, int]]
    image_size: tuple[int, int]


@dataclass(frozen=True)
class TrackedMask:
    """One object on one frame.

    Attributes:
        logits: 1 x S/4 x S/4 float32.
        object_score: logit; below zero the object is not there.
        predicted_iou: the network's estimate of the mask's quality; 1 for a mask prompt.
    """

    logits: torch.Tensor
    object_score: float
    predicted_iou: float

    def mask(self, image_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Resize bilinearly to (height, width) and threshold: bool HxW."""
        logits = F.interpolate(self.logits[None], image_size, mode="bilinear", align_corners=False)
        mask: npt.NDArray[np.bool_] = (logits[0, 0] > 0).cpu().numpy()
        return mask


@dataclass(frozen=True)
class _Heads:
    """What the mask decoder gives for B objects."""

    low: torch.Tensor
    high: torch.Tensor
    pointers: torch.Tensor
    scores: torch.Tensor
    ious: torch.Tensor


class VideoTracker:
    """Tracks any number of objects in one direction. Not thread-safe.

    Prompt objects with `condition` on any frame, then call `step` for the frames in the order of
    the direction; objects may be prompted again, or join, at any time.
    """

    def __init__(
        self, model: SegmentationModel, num_frames: int | None = None, reverse: bool = False
    ) -> None:
        """Start with no objects.

        Args:
            model: not used by anyone else while a method runs.
            num_frames: length of the video, or None if unknown: then it is taken for long.
            reverse: frames come in descending order.
        """
        self._model = model
        self._num_frames = num_frames
        self._reverse = reverse
        self._objects: dict[Hashable, ObjectMemory] = {}
        self._position_encoding: torch.Tensor | None = None

    def prepare(self, frame: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Resize a frame as upstream's video loader does (PIL, bicubic), and normalise it.

        Args:
            frame: uint8 HxWx3, RGB.

        Returns:
            1 x 3 x S x S float32 on the CPU. Uses nothing of the network: safe on any thread.
        """
        side = self._model.input_size
        resized = np.asarray(Image.fromarray(frame).resize((side, side))) / 255.0
        pixels = torch.from_numpy(resized).permute(2, 0, 1).float()
        mean, std = (torch.tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
        return ((pixels - mean) / std)[None]

    @torch.inference_mode()
    def encode(self, frame: npt.NDArray[np.uint8]) -> EncodedFrame:
        """Run the image encoder on a frame (uint8 HxWx3, RGB)."""
        network = self._model.network
        with self._model.arithmetic():
            features = network.forward_image(self.prepare(frame).to(self._model.device))
            _, maps, positions, sizes = network._prepare_backbone_features(features)
        return EncodedFrame(maps, positions, sizes, (frame.shape[0], frame.shape[1]))

    @torch.inference_mode()
    def condition(
        self, object_id: Hashable, index: int, frame: EncodedFrame, prompts: Prompts
    ) -> TrackedMask:
        """Prompt an object on a frame: by its mask, exactly, or by box and clicks.

        Args:
            object_id: the caller's name for it.
            index: of the frame.
            frame: encoded by this tracker.
            prompts: not empty; a mask is taken as it is, and then nothing else counts.

        Raises:
            ValueError: there is no prompt.
        """
        if prompts.is_empty:
            raise ValueError("There is nothing to track: give a mask, a box or a click.")
        with self._model.arithmetic():
            heads = (
                self._clicked(frame, prompts)
                if prompts.mask is None
                else self._given(frame, prompts.mask)
            )
            # upstream remembers a prompted mask as people see it: from its small logits, binary
            side = self._model.input_size
            seen = F.interpolate(heads.low, (side, side), mode="bilinear", align_corners=False)
            features = self._memorise(frame, seen, heads.scores, from_prompts=True)
        memory = self._objects.get(object_id)
        if memory is None:
            memory = ObjectMemory(self._model.network, self._num_frames)
            self._objects[object_id] = memory
        memory.condition(index, FrameMemory(features, heads.pointers))
        return _tracked(heads, 0)

    @torch.inference_mode()
    def step(self, index: int, frame: EncodedFrame) -> dict[Hashable, TrackedMask]:
        """Find all objects on a frame that follows in the tracker's direction.

        Objects that were prompted on this very frame are left out: they have their mask.
        """
        groups: dict[tuple[int, int], list[tuple[Hashable, Recall]]] = defaultdict(list)
        for object_id, memory in self._objects.items():
            if index not in memory.conditioning:
                recall = memory.recall(index, self._reverse)
                groups[recall.shape].append((object_id, recall))
        found: dict[Hashable, TrackedMask] = {}
        with self._model.arithmetic():
            for group in groups.values():
                found |= self._track(index, frame, group)
        return found

    def forget(self, object_id: Hashable) -> None:
        """Stop tracking an object."""
        self._objects.pop(object_id, None)

    def _track(
        self, index: int, frame: EncodedFrame, group: list[tuple[Hashable, Recall]]
    ) -> dict[Hashable, TrackedMask]:
        """Track objects whose memories are equally long, together."""
        network, batch = self._model.network, len(group)
        assert self._position_encoding is not None
        longest = self._objects[group[0][0]].max_pointers
        memory, places, pointer_tokens = attention_input(
            network, [recall for _, recall in group], self._position_encoding, longest
        )
        fused = network.memory_attention(
            curr=[frame.maps[-1].expand(-1, batch, -1)],
            curr_pos=[frame.positions[-1].expand(-1, batch, -1)],
            memory=memory,
            memory_pos=places,
            num_obj_ptr_tokens=pointer_tokens,
        )
        heads = self._decode(frame, _as_map(fused, frame.sizes[-1]), None, multimask_clicks=0)
        features = self._memorise(frame, heads.high, heads.scores, from_prompts=False)
        for place, (object_id, _) in enumerate(group):
            one = slice(place, place + 1)
            self._objects[object_id].remember(
                index, FrameMemory(features[one].clone(), heads.pointers[one].clone())
            )
        return {object_id: _tracked(heads, place) for place, (object_id, _) in enumerate(group)}

    def _clicked(self, frame: EncodedFrame, prompts: Prompts) -> _Heads:
        """Decode box and clicks on a frame without any memory."""
        sparse = self._model.sparse_prompts(prompts, frame.image_size)
        assert sparse is not None
        features = _as_map(frame.maps[-1] + self._model.network.no_mem_embed, frame.sizes[-1])
        return self._decode(frame, features, sparse, multimask_clicks=sparse[1].shape[1])

    def _given(self, frame: EncodedFrame, mask: npt.NDArray[np.bool_]) -> _Heads:
        """Take a mask as the answer."""
        side = self._model.input_size
        pixels = torch.from_numpy(mask)[None, None].float().to(self._model.device)
        if mask.shape != (side, side):
            size = (side, side)
            pixels = F.interpolate(
                pixels, size, mode="bilinear", align_corners=False, antialias=True
            )
            pixels = (pixels >= 0.5).float()
        features = _as_map(frame.maps[-1], frame.sizes[-1])
        _, _, ious, low, high, pointers, scores = self._model.network._use_mask_as_output(
            features, self._fine_maps(frame, 1), pixels
        )
        return _Heads(low, high, pointers, scores, ious)

    def _decode(
        self,
        frame: EncodedFrame,
        features: torch.Tensor,
        sparse: tuple[torch.Tensor, torch.Tensor] | None,
        multimask_clicks: int,
    ) -> _Heads:
        network = self._model.network
        points = None if sparse is None else {"point_coords": sparse[0], "point_labels": sparse[1]}
        fewest, most = network.multimask_min_pt_num, network.multimask_max_pt_num
        multimask = network.multimask_output_in_sam and fewest <= multimask_clicks <= most
        if points is None:
            multimask = multimask and network.multimask_output_for_tracking
        _, _, ious, low, high, pointers, scores = network._forward_sam_heads(
            backbone_features=features,
            point_inputs=points,
            high_res_features=self._fine_maps(frame, features.shape[0]),
            multimask_output=multimask,
        )
        return _Heads(low, high, pointers, scores, ious)

    def _memorise(
        self, frame: EncodedFrame, masks: torch.Tensor, scores: torch.Tensor, from_prompts: bool
    ) -> torch.Tensor:
        """Run the memory encoder; B x M x H x W, rounded to bfloat16 as upstream stores it."""
        batch = masks.shape[0]
        features, encodings = self._model.network._encode_new_memory(
            current_vision_feats=[m.expand(-1, batch, -1) for m in frame.maps],
            feat_sizes=frame.sizes,
            pred_masks_high_res=masks,
            object_score_logits=scores,
            is_mask_from_pts=from_prompts,
        )
        if self._position_encoding is None:
            self._position_encoding = encodings[-1][:1].clone()
        remembered: torch.Tensor = features.to(torch.bfloat16)
        return remembered

    @staticmethod
    def _fine_maps(frame: EncodedFrame, batch: int) -> list[torch.Tensor]:
        pairs = zip(frame.maps[:-1], frame.sizes[:-1], strict=True)
        return [_as_map(level, size).expand(batch, -1, -1, -1) for level, size in pairs]


def _as_map(tokens: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(HW) x B x C to B x C x H x W."""
    return tokens.permute(1, 2, 0).reshape(tokens.shape[1], tokens.shape[2], *size)


def _tracked(heads: _Heads, place: int) -> TrackedMask:
    return TrackedMask(
        logits=heads.low[place].float(),
        object_score=float(heads.scores[place]),
        predicted_iou=float(heads.ious[place].max()),
    )
