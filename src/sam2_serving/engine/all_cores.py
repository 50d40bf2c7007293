"""Computing with all cores beside the device's owner, while there is none yet."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from sam2_serving.model.devices import take_all_cores

T = TypeVar("T")


def with_all_cores(call: Callable[[], T]) -> T:
    """Call on a thread of its own, which takes all cores and gives them back when it ends.

    See `sam2_serving.cores` for what would be left behind otherwise.
    """

    def run() -> T:
        take_all_cores()
        return call()

    with ThreadPoolExecutor(1, thread_name_prefix="all-cores") as thread:
        return thread.submit(copy_context().run, run).result()
