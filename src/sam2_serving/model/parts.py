"""Work in parts, between which whoever drives it may do something else on the device."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

import torch

T = TypeVar("T")

Parts = Generator[None, None, T]
"""Stops after each part and returns the result after the last. Nothing is lost by stopping, and
nothing depends on how long it lasts; what is not wanted any more is closed."""


def finish(parts: Parts[T]) -> T:
    """Run all parts, one after the other, and return the result."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: T = end.value
            return result


class InParts(Generic[T]):
    """A call, which may also be done in parts by someone who knows how."""

    def __init__(self, begin: Callable[[], Parts[T]]) -> None:
        """Take what gives the parts; called once for each time that the work is done."""
        self.begin = begin

    def __call__(self) -> T:
        """Do all of it."""
        return finish(self.begin())


def within(
    parts: Parts[T], surroundings: Callable[[], AbstractContextManager[None]], device: torch.device
) -> Parts[T]:
    """Run each part for inference, within surroundings of its own.

    Between parts nothing of this is left: other work runs there, on the same thread.

    Args:
        parts: run here and nowhere else.
        surroundings: makes a context, such as that of a number format.
        device: where the parts compute.
    """
    pace = _Pace(device)
    while True:
        with torch.inference_mode(), surroundings():
            try:
                next(parts)
            except StopIteration as end:
                result: T = end.value
                return result
        pace.keep()
        yield


class _Pace:
    """Keeps a GPU at most two parts behind.

    It is told what to do long before it does it: who comes between two parts would wait for all
    that it was told already. To wait for each part would leave it idle meanwhile.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before: torch.cuda.Event | None = None

    def keep(self) -> None:
        """Wait until the part before the one that was begun last is done."""
        if self._device.type != "cuda":
            return
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        if self._before is not None:
            self._before.synchronize()
        self._before = event
