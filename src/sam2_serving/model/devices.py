"""Devices and number formats."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import torch

from sam2_serving.cores import cores_left
from sam2_serving.model.errors import DeviceError

DtypeName = Literal["float32", "bfloat16", "float16"]

DTYPES: dict[DtypeName, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

_LARGE_ENOUGH_FOR_CPU_BFLOAT16 = 20_000_000
"""Parameters from which bfloat16 beats float32 on a CPU with instructions for it; below, casting
costs what it saves (measured with benchmarks/number_formats.py)."""


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cpu:0`, `cuda` or `cuda:N` into a device that is here.

    Raises:
        DeviceError: the name is none of these, or this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"{name!r} is no device: use auto, cpu, cuda or cuda:N.") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise DeviceError(f"{name!r} is not supported: use auto, cpu, cuda or cuda:N.")
    if (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"There is no device {name!r} here; found {available_devices()}.")
    return torch.device("cuda", device.index or 0)


def available_devices() -> dict[str, str]:
    """Return {device name: what to call it} of this machine, the best first."""
    gpus = {
        f"cuda:{index}": f"{torch.cuda.get_device_name(index)} (cuda:{index})"
        for index in range(torch.cuda.device_count())
    }
    return gpus | {"cpu": "CPU"}


CLICKS_AT_ONCE_ON_GPU = 4
"""By arithmetic, not measured: asking for a decode keeps the program longer busy than a decode of
four keeps a GPU, so a click alone loses little and four that wait together win much."""
_ENOUGH_FOR_MANY_CLICKS = 4 * 2**30
"""Bytes of a GPU; each click takes some tens of MiB while it is decoded."""


def clicks_at_once_on(device: torch.device) -> int:
    """Return how many clicks go through the decoder together, fixed for a device.

    Not what is free decides, but what the device has: an answer may depend on the number.
    """
    if device.type != "cuda":
        return 1
    enough = torch.cuda.get_device_properties(device).total_memory >= _ENOUGH_FOR_MANY_CLICKS
    return CLICKS_AT_ONCE_ON_GPU if enough else 1


def fast_dtype(device: torch.device, parameters: int) -> DtypeName:
    """Return the number format that is expected to be the fastest for a network.

    Args:
        device: where it will run.
        parameters: size of the network.
    """
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bfloat16" if major >= 8 else "float16"
    if parameters >= _LARGE_ENOUGH_FOR_CPU_BFLOAT16 and _cpu_has_bfloat16():
        return "bfloat16"
    return "float32"


def all_cores() -> int:
    """Return how many processor threads compute together where all are taken."""
    return cores_left() or torch.get_num_threads()


def take_all_cores() -> None:
    """Let the calling thread compute with all cores from now on: once, before it computes.

    Its helpers live as long as it does (see `sam2_serving.cores`).
    """
    wanted = all_cores()
    if torch.get_num_threads() == wanted:  # torch settles this thread's number when it is asked
        return
    if not _openmp_uses(wanted):
        torch.set_num_threads(wanted)


@contextmanager
def on_one_core() -> Iterator[None]:
    """Compute on one core for now, in the calling thread: for steps too small to be shared."""
    cores = torch.get_num_threads()
    if cores > 1 and _openmp_uses(1):
        try:
            yield
        finally:
            _openmp_uses(cores)
    else:
        yield


def _openmp_uses(cores: int) -> bool:
    """Set how many cores the calling thread takes; tell whether this is the OpenMP that can."""
    try:
        ctypes.CDLL(None).omp_set_num_threads(cores)
    except (OSError, AttributeError):  # another one than GNU's, or none
        return False
    return True


_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENAS = -3, -1, -8
"""Numbers of glibc's settings, from its malloc.h."""


def keep_freed_memory(most_mib: int) -> bool:
    """Let the C library keep what is freed for the next allocation, where it is glibc.

    By default it gives large freed blocks back to the system, which then hands out empty pages one
    by one: with a large network on a processor that takes a fifth of the encoder's time, and
    remembering 16 objects takes nano a quarter longer.

    All threads that start from now on allocate from one place, too: by default each has a place of
    its own, where what one has freed is of no use to another. A store of embeddings of 32 MiB,
    filled over and over, took 57 to 73 MiB, and 24 to 40 MiB so (benchmarks/memory.py).

    Args:
        most_mib: kept at the end of the heap; blocks of half of it and more go back as before.

    Returns:
        whether the library could be told.
    """
    # memory of threads' own arenas comes in pieces of 64 MiB: too small for these blocks
    return _tell_allocator(
        (_MMAP_THRESHOLD, most_mib * 2**19), (_TRIM_THRESHOLD, most_mib * 2**20), (_ARENAS, 1)
    )


def _tell_allocator(*wanted: tuple[int, int]) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    told = [bool(mallopt(which, value)) for which, value in wanted]  # all, whatever the first says
    return all(told)


def give_freed_memory_back() -> None:
    """Give what `keep_freed_memory` keeps back to the system."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
