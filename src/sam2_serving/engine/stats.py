"""What the engine holds and did, for those who ask."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sam2_serving.engine.embedder import AheadStats
from sam2_serving.engine.embedding_files import FileCounters
from sam2_serving.engine.embeddings import StoreCounters
from sam2_serving.engine.scheduler import Priority


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of a GPU, bytes.

    Attributes:
        allocated: held by tensors of this process.
        reserved: taken from the device by this process.
        free: taken by no process.
        total: of the device.
    """

    allocated: int
    reserved: int
    free: int
    total: int

    @classmethod
    def of(cls, device: torch.device) -> DeviceMemory | None:
        """Ask a device; None if it has no memory of its own."""
        if device.type != "cuda":
            return None
        free, total = torch.cuda.mem_get_info(device)
        return cls(
            torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device), free, total
        )


@dataclass(frozen=True)
class EngineStats:
    """What the engine holds and did since it was made.

    Attributes:
        store_bytes: of all embeddings kept in memory.
        store: what the store did.
        waiting: units that wait, by priority.
        ahead: what was encoded ahead of time.
        files: None if embeddings are not kept on disk.
        memory: None without a GPU, or if the model was stopped.
    """

    store_bytes: int
    store: StoreCounters
    waiting: dict[Priority, int]
    ahead: AheadStats
    files: FileCounters | None = None
    memory: DeviceMemory | None = None
