"""Wait for a platform that fails for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from supervisely.sly_logger import logger

from sam2_serving.app.reporting import PlatformTimeout, PlatformUnavailable
from sam2_serving.engine import Cancelled, CancelToken

Result = TypeVar("Result")

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_LOOK_S = 0.1


@dataclass(frozen=True)
class Patience:
    """How long a job puts up with a platform that fails.

    Attributes:
        seconds: from the first failure of a call on.
        cancel: ends the waiting.
    """

    seconds: float
    cancel: CancelToken

    def insist(self, call: Callable[[], Result]) -> Result:
        """Return the result of a call that is safe to repeat.

        Raises:
            Cancelled: the job was given up.
            PlatformUnavailable, PlatformTimeout: the call still fails after all this time.
            AppError: the platform says no; that is not repeated.
        """
        failing_since, pause = None, _FIRST_PAUSE_S
        while True:
            try:
                return call()
            except (PlatformUnavailable, PlatformTimeout) as problem:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > self.seconds:
                    raise
                logger.warning("The platform fails: trying again", extra={"error": str(problem)})
            self.rest(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def rest(self, seconds: float) -> None:
        """Sleep; raises Cancelled as soon as the job is given up."""
        until = time.monotonic() + seconds
        while not self.cancel.cancelled:
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LOOK_S))
        raise Cancelled("Tracking was stopped.")
