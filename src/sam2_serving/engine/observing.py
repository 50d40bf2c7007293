"""What the engine tells whoever watches it: how long things took, how many went together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Literal, Protocol

Stage = Literal["prepare", "encode", "decode", "enlarge"]
"""Steps from an image that was fetched to a mask, as the one who asked waits for them."""
Kind = Literal["clicks", "prompts"]
"""What goes through the decoder together: clicks of several people, or prompts of one request."""


class Observer(Protocol):
    """Is told of everything that took time.

    Called in the context (`contextvars`) of the one who asked, by any thread, while somebody waits:
    it must be quick and must not raise.
    """

    def took(self, stage: Stage, seconds: float) -> None:
        """Hear that a stage has just ended, waiting for the device included."""

    def ran(self, priority: IntEnum, waited: float, seconds: float) -> None:
        """Hear that a unit of work has just ended: how long it waited to begin, how long it ran."""

    def together(self, kind: Kind, size: int) -> None:
        """Hear how many were decoded in one run."""


class Unobserved:
    """Nobody watches."""

    def took(self, stage: Stage, seconds: float) -> None:
        """Do nothing."""

    def ran(self, priority: IntEnum, waited: float, seconds: float) -> None:
        """Do nothing."""

    def together(self, kind: Kind, size: int) -> None:
        """Do nothing."""


NOBODY: Observer = Unobserved()


@contextmanager
def timed(observer: Observer, stage: Stage) -> Iterator[None]:
    """Tell how long the block took, if nothing went wrong in it."""
    began = time.perf_counter()
    yield
    observer.took(stage, time.perf_counter() - began)
