"""What the tracker remembers of an object, and which of it memory attention reads again.

The rules are those of `SAM2Base._prepare_memory_conditioned_features`; here they work on a bounded
memory, and for several objects at once whose memories are equally long.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import get_1d_sine_pe, select_closest_cond_frames


@dataclass(frozen=True)
class FrameMemory:
    """What is kept of one object on one frame.

    Attributes:
        features: 1 x M x H x W bfloat16, the memory encoder's output.
        pointer: 1 x C, the object pointer.
    """

    features: torch.Tensor
    pointer: torch.Tensor


@dataclass(frozen=True)
class Recall:
    """What one object's memory attention reads on one frame.

    Attributes:
        spatial: (temporal position, memory): 0 for a conditioning frame, else 1 (oldest) up to
            `num_maskmem - 1` (the frame before).
        pointers: (frames away in the direction of time, memory).
    """

    spatial: list[tuple[int, FrameMemory]]
    pointers: list[tuple[int, FrameMemory]]

    @property
    def shape(self) -> tuple[int, int]:
        """Objects of equal shape can go through the network together."""
        return len(self.spatial), len(self.pointers)


class ObjectMemory:
    """All conditioning frames of an object, and as many of the latest others as are read again."""

    def __init__(self, network: SAM2Base, num_frames: int | None) -> None:
        """Make an empty memory.

        Args:
            network: its configuration decides how much is kept.
            num_frames: length of the video; it scales the pointers' time encoding. None: long.
        """
        self._network = network
        self._num_frames = num_frames
        most = int(network.max_obj_ptrs_in_encoder)
        self.max_pointers = most if num_frames is None else min(num_frames, most)
        self.conditioning: dict[int, FrameMemory] = {}
        self.recent: OrderedDict[int, FrameMemory] = OrderedDict()

    def condition(self, frame: int, memory: FrameMemory) -> None:
        """Keep a frame with a human prompt for good."""
        self.recent.pop(frame, None)
        self.conditioning[frame] = memory

    def remember(self, frame: int, memory: FrameMemory) -> None:
        """Keep a tracked frame for as long as it is read again."""
        self.recent[frame] = memory
        while len(self.recent) > max(self._network.num_maskmem, self.max_pointers) - 1:
            self.recent.popitem(last=False)

    def recall(self, frame: int, reverse: bool) -> Recall:
        """Return what is read on `frame` when time runs forward or in reverse."""
        network = self._network
        step = -1 if reverse else 1
        chosen, others = select_closest_cond_frames(
            frame, self.conditioning, network.max_cond_frames_in_attn
        )

        def found(index: int) -> FrameMemory | None:
            return self.recent.get(index) or others.get(index)

        spatial = [(0, memory) for memory in chosen.values()]
        for position in range(1, network.num_maskmem):
            memory = found(frame - step * (network.num_maskmem - position))
            if memory is not None:
                spatial.append((position, memory))

        past_only = network.only_obj_ptrs_in_the_past_for_eval
        pointers = [
            ((frame - t) * step if network.use_signed_tpos_enc_to_obj_ptrs else abs(frame - t), m)
            for t, m in chosen.items()
            if not past_only or (frame - t) * step >= 0
        ]
        for away in range(1, self.max_pointers):
            memory = found(frame - step * away)
            if memory is not None:
                pointers.append((away, memory))
        return Recall(spatial, pointers)


def attention_input(
    network: SAM2Base, recalls: list[Recall], position_encoding: torch.Tensor, max_pointers: int
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Lay out the memories of objects of equal shape for memory attention.

    Args:
        network: whose temporal encodings are used.
        recalls: one for each of B objects, all of one shape.
        position_encoding: 1 x M x H x W, the same for every memory.
        max_pointers: scales the pointers' time encoding.

    Returns:
        (memory N x B x M, its position encoding N x B x M, number of pointer tokens at the end).
    """
    place = position_encoding.flatten(2).permute(2, 0, 1)
    tokens, positions = [], []
    for slot in range(len(recalls[0].spatial)):
        slots = [recall.spatial[slot] for recall in recalls]
        features = torch.cat([memory.features for _, memory in slots]).to(place.dtype)
        tokens.append(features.flatten(2).permute(2, 0, 1))
        times = [network.maskmem_tpos_enc[network.num_maskmem - t - 1] for t, _ in slots]
        positions.append(place + torch.cat(times, dim=1))
    count = 0
    if recalls[0].pointers:
        pointers, times_away = _pointer_tokens(network, recalls, max_pointers)
        tokens.append(pointers)
        positions.append(times_away)
        count = pointers.shape[0]
    return torch.cat(tokens), torch.cat(positions), count


def _pointer_tokens(
    network: SAM2Base, recalls: list[Recall], max_pointers: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Split each pointer of C numbers into C / M tokens, all at the same time encoding."""
    pointers = torch.stack(
        [torch.cat([memory.pointer for _, memory in recall.pointers]) for recall in recalls], dim=1
    )
    length, batch, channels = pointers.shape
    width = network.mem_dim
    if network.add_tpos_enc_to_obj_ptrs:
        away = torch.tensor(
            [[t for t, _ in recall.pointers] for recall in recalls], device=pointers.device
        ).T
        dim = channels if network.proj_tpos_enc_in_obj_ptrs else width
        encoded = get_1d_sine_pe(away / (max_pointers - 1), dim=dim)
        times = network.obj_ptr_tpos_proj(encoded)
    else:
        times = pointers.new_zeros(length, batch, width)
    split = channels // width
    tokens = pointers.reshape(length, batch, split, width).permute(0, 2, 1, 3).flatten(0, 1)
    return tokens, times.repeat_interleave(split, dim=0)
