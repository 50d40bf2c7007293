"""What the tracker remembers of an object, and which of it memory attention reads again.

The rules are those of `SAM2Base._prepare_memory_conditioned_features`; here they work on a bounded
memory, and for several objects at once whose memories are equally long.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import get_1d_sine_pe, select_closest_cond_frames

T = TypeVar("T")

NO_LIMIT = -1
"""Of conditioning frames that are read at once, in upstream's words."""


@dataclass(frozen=True)
class FrameMemory:
    """What is kept of one object on one frame.

    Attributes:
        features: 1 x HW x M bfloat16, the memory encoder's output.
        pointer: 1 x C, the object pointer.
    """

    features: torch.Tensor
    pointer: torch.Tensor


@dataclass(frozen=True)
class Recall:
    """What one object's memory attention reads on one frame.

    Attributes:
        spatial: (temporal position, features): 0 for a conditioning frame, else 1 (oldest) up to
            `num_maskmem - 1` (the frame before).
        pointers: (frames away in the direction of time, pointer).
    """

    spatial: list[tuple[int, torch.Tensor]]
    pointers: list[tuple[int, torch.Tensor]]

    @property
    def shape(self) -> tuple[int, int]:
        """Objects of equal shape can go through the network together."""
        return len(self.spatial), len(self.pointers)


@dataclass(frozen=True)
class Reach:
    """How far memory attention looks, in one direction of time.

    Attributes:
        features: memories of frames without a prompt are read up to this many frames away.
        pointers: object pointers alike.
        conditioning: conditioning frames that are read at once; `NO_LIMIT`: all.
        step: 1 when time runs forward, -1 in reverse.
        signed: times of conditioning frames have a sign.
        past_only: pointers of conditioning frames that are still to come are not read.
    """

    features: int
    pointers: int
    conditioning: int
    step: int
    signed: bool
    past_only: bool

    @classmethod
    def of(
        cls, network: SAM2Base, num_frames: int | None, reverse: bool, max_cond_frames: int | None
    ) -> Reach:
        """Read it off a network's configuration.

        Args:
            network: whose configuration counts.
            num_frames: length of the video; None: long.
            reverse: time runs backward.
            max_cond_frames: None: the network's own setting.

        Raises:
            ValueError: `max_cond_frames` is below 2 and not `NO_LIMIT`.
        """
        limit = network.max_cond_frames_in_attn if max_cond_frames is None else max_cond_frames
        if limit < 2 and limit != NO_LIMIT:
            raise ValueError(f"At least 2 conditioning frames must be read at once, not {limit}.")
        most = int(network.max_obj_ptrs_in_encoder)
        return cls(
            features=network.num_maskmem - 1,
            pointers=(most if num_frames is None else min(num_frames, most)) - 1,
            conditioning=limit,
            step=-1 if reverse else 1,
            signed=network.use_signed_tpos_enc_to_obj_ptrs,
            past_only=network.only_obj_ptrs_in_the_past_for_eval,
        )

    def behind(self, earlier: int, now: int) -> int:
        """Return how many frames `earlier` is away from `now` against the direction of time."""
        return (now - earlier) * self.step

    def choose(self, now: int, frames: dict[int, T]) -> tuple[dict[int, T], dict[int, T]]:
        """Split conditioning frames into those that are read on `now` as such, and the others.

        Of two equally far away the earlier one is taken, whichever was prompted first.
        """
        chosen, others = select_closest_cond_frames(
            now, dict(sorted(frames.items())), self.conditioning
        )
        # one order of what is read, however many others are known: sums depend on it
        return dict(sorted(chosen.items())), others

    def read(self, now: int, frames: Collection[int]) -> set[int]:
        """Return which conditioning frames are read on `now`, in whatever role."""
        chosen, others = self.choose(now, dict.fromkeys(frames))
        farthest = max(self.features, self.pointers)
        return {*chosen, *(t for t in others if 1 <= self.behind(t, now) <= farthest)}


class ObjectMemory:
    """All conditioning frames of an object, and of the latest others what is read again.

    Attributes:
        conditioning: by frame.
        features: of frames without a prompt.
        pointers: alike.
    """

    def __init__(self, reach: Reach) -> None:
        """Make an empty memory; `reach` decides how much is kept."""
        self.reach = reach
        self.conditioning: dict[int, FrameMemory] = {}
        self.features: dict[int, torch.Tensor] = {}
        self.pointers: dict[int, torch.Tensor] = {}

    @property
    def nbytes(self) -> int:
        """Bytes that the tensors hold on the device."""
        prompted = self.conditioning.values()
        kept = [*self.features.values(), *self.pointers.values()]
        return sum(t.nbytes for t in kept) + sum(
            one.features.nbytes + one.pointer.nbytes for one in prompted
        )

    def condition(self, frame: int, memory: FrameMemory) -> None:
        """Keep a frame with a human prompt for good."""
        self.features.pop(frame, None)
        self.pointers.pop(frame, None)
        self.conditioning[frame] = memory

    def remember(self, frame: int, memory: FrameMemory) -> None:
        """Keep a frame without a prompt for as long as it is read again.

        Frames come in the direction of time; what is out of reach of the next one is dropped.
        """
        self.features[frame] = memory.features
        self.pointers[frame] = memory.pointer
        for kept, farthest in (
            (self.features, self.reach.features),
            (self.pointers, self.reach.pointers),
        ):
            for old in [t for t in kept if not 0 <= self.reach.behind(t, frame) < farthest]:
                del kept[old]

    def recall(self, frame: int) -> Recall:
        """Return what is read on `frame`."""
        reach = self.reach
        chosen, others = reach.choose(frame, self.conditioning)

        spatial = [(0, memory.features) for memory in chosen.values()]
        for away in range(reach.features, 0, -1):
            earlier = frame - reach.step * away
            if earlier in self.features:
                spatial.append((reach.features + 1 - away, self.features[earlier]))
            elif earlier in others:
                spatial.append((reach.features + 1 - away, others[earlier].features))

        pointers = [
            (reach.behind(t, frame) if reach.signed else abs(frame - t), memory.pointer)
            for t, memory in chosen.items()
            if not reach.past_only or reach.behind(t, frame) >= 0
        ]
        for away in range(1, reach.pointers + 1):
            earlier = frame - reach.step * away
            if earlier in self.pointers:
                pointers.append((away, self.pointers[earlier]))
            elif earlier in others:
                pointers.append((away, others[earlier].pointer))
        return Recall(spatial, pointers)


class MemoryLayout:
    """Lays out the memories of objects of equal shape for memory attention."""

    def __init__(self, network: SAM2Base, reach: Reach) -> None:
        """Take over the temporal encodings of `network`."""
        self._network = network
        self._reach = reach
        self._places: list[torch.Tensor] = []

    def lay_out(self, recalls: Sequence[Recall]) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Return what memory attention takes.

        Args:
            recalls: one for each of B objects, all of one shape.

        Returns:
            (memory N x B x M, its position encoding N x B x M or N x 1 x M if all are alike,
            number of pointer tokens at the end).
        """
        places = self._temporal_places(recalls[0].spatial[0][1])
        times = [[t for t, _ in recall.spatial] for recall in recalls]
        alike = all(one == times[0] for one in times)
        positions = torch.stack(
            [torch.cat([places[t] for t in one]) for one in (times[:1] if alike else times)]
        )
        features = [torch.cat([kept for _, kept in r.spatial], dim=1) for r in recalls]
        memory = torch.cat(features).to(places[0].dtype)
        count = 0
        if recalls[0].pointers:
            pointers, pointer_times = self._pointer_tokens(recalls)
            count = pointers.shape[1]
            memory = torch.cat([memory, pointers], dim=1)
            batch = max(positions.shape[0], pointer_times.shape[0])
            positions = torch.cat(
                [positions.expand(batch, -1, -1), pointer_times.expand(batch, -1, -1)], dim=1
            )
        return memory.transpose(0, 1), positions.transpose(0, 1), count

    def _temporal_places(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Return HW x M for each temporal position: where a cell is, and how long ago."""
        if not self._places:
            network, device = self._network, features.device.type
            side = network.image_size // network.backbone_stride
            grid = features.new_empty(1, features.shape[2], side, side)
            place = network.memory_encoder.position_encoding(grid)
            # the memory encoder gives it in the format in which it computes
            if torch.is_autocast_enabled(device):
                place = place.to(torch.get_autocast_dtype(device))
            cells = place[0].flatten(1).T
            self._places = [
                cells + network.maskmem_tpos_enc[network.num_maskmem - t - 1, 0]
                for t in range(network.num_maskmem)
            ]
        return self._places

    def _pointer_tokens(self, recalls: Sequence[Recall]) -> tuple[torch.Tensor, torch.Tensor]:
        """Split each pointer of C numbers into C / M tokens, all at the same time encoding."""
        network = self._network
        pointers = torch.stack(
            [torch.cat([pointer for _, pointer in recall.pointers]) for recall in recalls]
        )
        batch, length, channels = pointers.shape
        width = network.mem_dim
        times = [[t for t, _ in recall.pointers] for recall in recalls]
        if all(one == times[0] for one in times):
            times = times[:1]
        if network.add_tpos_enc_to_obj_ptrs:
            away = torch.tensor(times, device=pointers.device)
            dim = channels if network.proj_tpos_enc_in_obj_ptrs else width
            encoded = network.obj_ptr_tpos_proj(
                get_1d_sine_pe(away / self._reach.pointers, dim=dim)
            )
        else:
            encoded = pointers.new_zeros(len(times), length, width)
        split = channels // width
        return pointers.reshape(batch, length * split, width), encoded.repeat_interleave(split, 1)
