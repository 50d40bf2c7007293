"""Track objects through a video: frames in, masks out, one frame at a time.

Gives what `SAM2VideoPredictor` gives for the same pixels and prompts, and keeps nothing that memory
attention will not read again, so that memory use does not grow with the length of the video.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from sam2_serving.model.frames import EncodedFrame, PreparedFrame, prepare_frame
from sam2_serving.model.heads import Heads
from sam2_serving.model.image import SegmentationModel
from sam2_serving.model.lean_network import FrameSide, LeanParts
from sam2_serving.model.memory import FrameMemory, MemoryLayout, ObjectMemory, Reach, Recall
from sam2_serving.model.parts import Parts, finish, within
from sam2_serving.model.prompts import Prompts
from sam2_serving.model.tracked import Attended, Found, Group, TrackedMask, tracked_masks


class VideoTracker:
    """Tracks any number of objects in one direction.

    Prompt objects with `condition` on any frame, then call `step` for the frames in the order of
    the direction; objects may be prompted again, or join, at any time.

    One thread at a time may use it, and the model with it. Only `prepare` is free of that, and
    `forget`, `has` and `objects` may be called meanwhile.
    """

    def __init__(
        self,
        model: SegmentationModel,
        num_frames: int | None = None,
        reverse: bool = False,
        max_cond_frames: int | None = None,
    ) -> None:
        """Start with no objects.

        Args:
            model: not used by anyone else while a method runs.
            num_frames: length of the video, or None if unknown: then it is taken for long.
            reverse: frames come in descending order.
            max_cond_frames: conditioning frames of an object that are read at once: the nearest
                before, the nearest after, then whichever is nearest. -1: all; None: as the
                network is configured.

        Raises:
            ValueError: `max_cond_frames` is below 2 and not -1.
        """
        self._model = model
        # autocast is upstream's: its attention has the formats of the processor
        self._lean = model.lean if model.dtype == "float32" else None
        self._network = model.network if self._lean is None else self._lean.network
        self._side: tuple[EncodedFrame, FrameSide] | None = None
        self._reach = Reach.of(model.network, num_frames, reverse, max_cond_frames)
        self._layout = MemoryLayout(model.network, self._reach)
        self._objects: dict[Hashable, ObjectMemory] = {}

    @property
    def objects(self) -> tuple[Hashable, ...]:
        """The objects that are tracked, in the order in which they came."""
        return tuple(self._objects)

    def has(self, object_id: Hashable) -> bool:
        """Tell whether an object is tracked."""
        return object_id in self._objects

    def forget(self, object_id: Hashable) -> None:
        """Stop tracking an object, if it is tracked."""
        self._objects.pop(object_id, None)

    def take(self, object_id: Hashable) -> ObjectMemory:
        """Hand an object's memory out, and stop tracking it.

        Raises:
            KeyError: it is not tracked.
        """
        return self._objects.pop(object_id)

    def adopt(self, object_id: Hashable, memory: ObjectMemory) -> None:
        """Go on with an object where another tracker of the same model left it.

        Raises:
            ValueError: that tracker ran in the other direction.
        """
        if memory.reach.step != self._reach.step:
            raise ValueError("What was remembered in one direction is no memory for the other.")
        memory.reach = self._reach
        self._objects[object_id] = memory

    def reads(self, object_id: Hashable, index: int, keyframes: Collection[int]) -> set[int]:
        """Return which keyframes are read when an object is looked for on a frame.

        An object that is conditioned on these (and on those that `step` passes) just before
        `step` is tracked exactly as if it had been conditioned on all keyframes before the first.

        Args:
            object_id: tracked already or not.
            index: of the frame, which is no keyframe.
            keyframes: all frames where a person says what the object is, conditioned or not.
        """
        memory = self._objects.get(object_id)
        known = set(keyframes) if memory is None else {*keyframes, *memory.conditioning}
        return self._reach.read(index, known) & set(keyframes)

    def prepare(self, frame: npt.NDArray[np.uint8]) -> PreparedFrame:
        """Make a frame, uint8 HxWx3 RGB, what `encode` takes.

        Uses nothing of the network or of the objects: safe on any thread, at any time.
        """
        return prepare_frame(frame, self._model.input_size)

    def encode(self, frame: PreparedFrame) -> EncodedFrame:
        """Run the image encoder on what `prepare` of a tracker of this model gave."""
        return finish(self.encode_in_parts(frame))

    def encode_in_parts(self, frame: PreparedFrame) -> Parts[EncodedFrame]:
        """As `encode`, but stop after each block of the backbone: the same bytes come out."""
        return within(self._encode(frame), self._model.arithmetic, self._model.device)

    def _encode(self, frame: PreparedFrame) -> Parts[EncodedFrame]:
        maps = yield from self._model.feature_maps(frame.pixels)
        position = self._network.image_encoder.neck.position_encoding(maps[-1]).to(maps[-1])
        sizes = [(level.shape[-2], level.shape[-1]) for level in maps]
        tokens = [_as_tokens(level) for level in maps]
        return EncodedFrame(tokens, _as_tokens(position), sizes, frame.image_size)

    @torch.inference_mode()
    def condition(
        self, object_id: Hashable, index: int, frame: EncodedFrame, prompts: Prompts
    ) -> TrackedMask:
        """Prompt an object on a frame: by its mask, exactly, or by box and clicks.

        On a frame where it was tracked, this corrects it. Box and clicks are read alone, without
        what was found there before.

        Args:
            object_id: the caller's name for it.
            index: of the frame.
            frame: encoded by a tracker of this model.
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
            [memory] = self._memorise(frame, self._enlarged(heads.low), heads, from_prompts=True)
        self._memory(object_id).condition(index, memory)
        [tracked] = tracked_masks(heads)
        return tracked

    @torch.inference_mode()
    def remember(
        self,
        object_id: Hashable,
        index: int,
        frame: EncodedFrame,
        mask: npt.NDArray[np.bool_],
    ) -> None:
        """Take over a mask that was tracked earlier, when what was remembered then is lost.

        It counts as tracked, not as prompted. A frame with a prompt stays as it is.

        Args:
            object_id: the caller's name for it.
            index: of the frame; frames come in the order of the direction.
            frame: encoded by a tracker of this model.
            mask: bool HxW; empty if the object was not there.
        """
        if self.has(object_id) and index in self._objects[object_id].conditioning:
            return
        with self._model.arithmetic():
            heads = self._given(frame, mask)
            # from its small logits: their soft edges are more like those of a tracked mask
            [memory] = self._memorise(frame, self._enlarged(heads.low), heads, from_prompts=False)
        self._memory(object_id).remember(index, memory)

    def step(
        self, index: int, frame: EncodedFrame, objects: Collection[Hashable] | None = None
    ) -> dict[Hashable, TrackedMask]:
        """Find objects on a frame that follows in the tracker's direction.

        Does what `attend`, `decode` and `memorise` do one after the other; use those where
        something more urgent may come in between.

        Args:
            index: of the frame.
            frame: encoded by a tracker of this model.
            objects: look only for these, as far as they are tracked; None: for all. Those that were
                prompted on this very frame are left out: they have their mask.

        Raises:
            ValueError: nothing is remembered of an object that could be read on this frame.
        """
        found = self.decode(self.attend(index, frame, objects))
        self.memorise(found)
        return found.masks

    @torch.inference_mode()
    def attend(
        self, index: int, frame: EncodedFrame, objects: Collection[Hashable] | None = None
    ) -> Attended:
        """Bring what is remembered to a frame: the first part of `step`, with its arguments."""
        alike: dict[tuple[int, int], list[tuple[Hashable, ObjectMemory, Recall]]]
        alike = defaultdict(list)
        for object_id in self.objects if objects is None else objects:
            memory = self._objects.get(object_id)
            if memory is not None and index not in memory.conditioning:
                recall = memory.recall(index)
                if not recall.spatial:
                    raise ValueError(
                        f"Nothing is known of object {object_id!r} near frame {index}."
                    )
                alike[recall.shape].append((object_id, memory, recall))
        groups, features = [], []
        with self._model.arithmetic():
            for group in alike.values():
                names, memories, recalls = zip(*group, strict=True)
                groups.append(Group(names, memories))
                features.append(self._attend(frame, recalls))
        return Attended(index, frame, tuple(groups), tuple(features))

    @torch.inference_mode()
    def decode(self, attended: Attended) -> Found:
        """Run the mask decoder: the second part of `step`."""
        frame, heads = attended.frame, []
        masks: dict[Hashable, TrackedMask] = {}
        with self._model.arithmetic():
            for group, features in zip(attended.groups, attended.features, strict=True):
                if self._lean is not None:
                    maps = self._side_of(frame, self._lean).fine_maps
                    heads.append(self._lean.heads.find(features, maps))
                else:
                    heads.append(self._decode(frame, features, None, multimask_clicks=0))
                masks |= zip(group.names, tracked_masks(heads[-1]), strict=True)
        return Found(attended.index, frame, masks, attended.groups, tuple(heads))

    @torch.inference_mode()
    def memorise(self, found: Found) -> None:
        """Remember what was found: the last part of `step`, due before the next frame's `attend`.

        Objects that were forgotten since stay so.
        """
        with self._model.arithmetic():
            for group, heads in zip(found.groups, found.heads, strict=True):
                latest = self._memorise(found.frame, heads.high, heads, from_prompts=False)
                for memory, one in zip(group.memories, latest, strict=True):
                    memory.remember(found.index, one)

    def _memory(self, object_id: Hashable) -> ObjectMemory:
        if object_id not in self._objects:
            self._objects[object_id] = ObjectMemory(self._reach)
        return self._objects[object_id]

    def _attend(self, frame: EncodedFrame, recalls: Sequence[Recall]) -> torch.Tensor:
        """Condition a frame's features, B x C x h x w, on B memories that are equally long."""
        batch = len(recalls)
        memory, places, pointer_tokens = self._layout.lay_out(recalls)
        if self._lean is not None:
            begun = self._side_of(frame, self._lean).attention
            fused = self._lean.memory_attention.attend(
                begun, frame.position, memory, places, pointer_tokens
            )
            return _as_map(fused, frame.sizes[-1])
        fused = self._network.memory_attention(
            curr=[frame.maps[-1].expand(-1, batch, -1)],
            curr_pos=[frame.position.expand(-1, batch, -1)],
            memory=memory,
            memory_pos=places,
            num_obj_ptr_tokens=pointer_tokens,
        )
        return _as_map(fused, frame.sizes[-1])

    def _side_of(self, frame: EncodedFrame, lean: LeanParts) -> FrameSide:
        """Return what the objects of a frame share, made once."""
        if self._side is None or self._side[0] is not frame:
            fine, middle = self._fine_maps(frame, 1)
            side = lean.frame_side(frame.maps[-1], frame.position, fine, middle)
            self._side = frame, side
        return self._side[1]

    def _clicked(self, frame: EncodedFrame, prompts: Prompts) -> Heads:
        """Decode box and clicks on a frame without any memory."""
        sparse = self._model.sparse_prompts(prompts, frame.image_size)
        assert sparse is not None
        features = _as_map(frame.maps[-1] + self._network.no_mem_embed, frame.sizes[-1])
        return self._decode(frame, features, sparse, multimask_clicks=sparse[1].shape[1])

    def _given(self, frame: EncodedFrame, mask: npt.NDArray[np.bool_]) -> Heads:
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
        _, _, ious, low, high, pointers, scores = self._network._use_mask_as_output(
            features, self._fine_maps(frame, 1), pixels
        )
        return Heads(low, high, pointers, scores, ious)

    def _decode(
        self,
        frame: EncodedFrame,
        features: torch.Tensor,
        sparse: tuple[torch.Tensor, torch.Tensor] | None,
        multimask_clicks: int,
    ) -> Heads:
        network = self._network
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
        return Heads(low, high, pointers, scores, ious)

    def _memorise(
        self, frame: EncodedFrame, masks: torch.Tensor, heads: Heads, from_prompts: bool
    ) -> list[FrameMemory]:
        """Run the memory encoder, and round to bfloat16 as upstream stores it.

        Args:
            frame: where the masks are.
            masks: B x 1 x S x S logits.
            heads: of the same B objects.
            from_prompts: whether a person made the masks.
        """
        batch = masks.shape[0]
        if self._lean is not None and batch > 1:
            tokens = self._lean.memory_encoder.encode(
                frame.maps[-1], masks, heads.scores, from_prompts
            )
        else:
            features, _ = self._network._encode_new_memory(
                current_vision_feats=[m.expand(-1, batch, -1) for m in frame.maps],
                feat_sizes=frame.sizes,
                pred_masks_high_res=masks,
                object_score_logits=heads.scores,
                is_mask_from_pts=from_prompts,
            )
            tokens = features.flatten(2).transpose(1, 2)
        tokens = tokens.to(torch.bfloat16)
        # copies: an object that is kept must not keep the others of its batch
        return [
            FrameMemory(
                tokens[place : place + 1].clone(memory_format=torch.contiguous_format),
                heads.pointers[place : place + 1].clone(),
            )
            for place in range(batch)
        ]

    def _enlarged(self, low: torch.Tensor) -> torch.Tensor:
        size = (self._model.input_size, self._model.input_size)
        return F.interpolate(low, size, mode="bilinear", align_corners=False)

    @staticmethod
    def _fine_maps(frame: EncodedFrame, batch: int) -> list[torch.Tensor]:
        pairs = zip(frame.maps[:-1], frame.sizes[:-1], strict=True)
        return [_as_map(level, size).expand(batch, -1, -1, -1) for level, size in pairs]


def _as_tokens(maps: torch.Tensor) -> torch.Tensor:
    """B x C x H x W to (HW) x B x C."""
    return maps.flatten(2).permute(2, 0, 1)


def _as_map(tokens: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(HW) x B x C to B x C x H x W."""
    return tokens.permute(1, 2, 0).reshape(tokens.shape[1], tokens.shape[2], *size)
