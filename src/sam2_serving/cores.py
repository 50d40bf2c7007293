"""Who computes with all cores: one thread of a process, the device's owner.

OpenMP, which torch computes with, gives each thread that asks for help a pool of helpers of its
own. As soon as the pools have more threads than the machine has cores, helpers sleep between two
steps in place of waiting for the next, and with networks whose steps take a tenth of a millisecond
waking them is most of the time: tracking four objects with nano took 3.4 times as long while the
thread that had loaded the network still had its pool (two cores). So a server's threads compute
alone, but for the device's owner, which takes all cores (`model.devices.take_all_cores`).
"""

from __future__ import annotations

import os

_TURNS_AWAKE = "10000"
"""Of a helper that waits, a tenth of a millisecond: more than there is between two steps. By
default it stays awake thirty times as long, on a core that the answer needs meanwhile."""

_ALL, _OF_EACH_THREAD = "SAM2_SERVING_THREADS", "OMP_NUM_THREADS"


def leave_cores_to_the_device() -> None:
    """Let threads of this process, and of those it starts, compute alone if they take no more.

    To be called before torch is imported: later it changes nothing. `OMP_NUM_THREADS`, if it is
    given, is how many the device's owner takes.
    """
    cores = str(len(os.sched_getaffinity(0)))
    os.environ.setdefault(_ALL, os.environ.get(_OF_EACH_THREAD) or cores)
    os.environ[_OF_EACH_THREAD] = "1"
    os.environ.setdefault("GOMP_SPINCOUNT", _TURNS_AWAKE)


def cores_left() -> int | None:
    """Return how many cores were left to the device, None if nothing was said."""
    told = os.environ.get(_ALL, "")
    return int(told) if told.isdecimal() and int(told) > 0 else None
