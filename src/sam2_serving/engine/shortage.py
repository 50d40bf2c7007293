"""The device has no memory left: how that shows, and what is done about it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable

import torch

_WORDS = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|std::bad_alloc|Insufficient memory",
    re.IGNORECASE,
)
"""What torch's allocators and libraries say: only that of CUDA has an error of its own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory could not be had.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"))
    True
    >>> is_out_of_memory(RuntimeError("shape mismatch"))
    False
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _WORDS.search(str(error)) is not None


def forget_frames(error: BaseException) -> None:
    """Let go of what the frames hold that an error came through: tensors of the failed work."""
    while True:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        before, error.__context__, error.__cause__ = error.__context__, None, None
        if before is None:
            return
        error = before


FreeMemory = Callable[[], None]
"""Drops what is only kept to be faster, and gives its memory back to the device."""
