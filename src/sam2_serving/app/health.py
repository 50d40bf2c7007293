"""Whether the model really answers: a small inference, through the engine like a click.

To ask often costs nothing: one check runs at a time, and its result holds for some seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from typing import Literal

import anyio
import anyio.to_thread
import numpy as np
from pydantic import BaseModel
from supervisely.sly_logger import logger

from sam2_serving.app.deployment import Deployment
from sam2_serving.app.reporting import ModelNotReady
from sam2_serving.engine import Busy, Engine, EngineClosed, ImageKey, ImageSource
from sam2_serving.model import Point, Prompts

HOLDS_S = 5.0
"""How long a result is given out again."""
PATIENCE_S = 20.0
"""After which a check that does not come back is told of as failed; it goes on."""
_SIDE = 64


class Health(BaseModel):
    """What a deep check found.

    Attributes:
        status: `ok`: a mask was made just now, or some seconds ago. `frozen`: no model is in
            memory, the next request brings it back. Else what keeps clicks from being answered.
        message: the same as a sentence.
        ms: how long the inference took, waiting included; milliseconds.
    """

    status: Literal["ok", "frozen", "not_ready", "busy", "failed"]
    message: str
    ms: float | None = None
    numeric_path: str | None = None

    @property
    def well(self) -> bool:
        """Tell whether a click would be answered."""
        return self.status in ("ok", "frozen")


class DeepCheck:
    """Runs checks; used on the event loop."""

    def __init__(
        self, deployment: Deployment, holds_s: float = HOLDS_S, patience_s: float = PATIENCE_S
    ) -> None:
        """Check what `deployment` serves; the times are seconds."""
        self._deployment = deployment
        self._holds_s = holds_s
        self._patience_s = patience_s
        self._running: asyncio.Task[Health] | None = None
        self._last: tuple[float, str | None, Health] | None = None
        self._mask: tuple[str, str] | None = None

    async def report(self) -> Health:
        """Return the last result if it is young, else that of the check that runs, or of a new one.

        A frozen model is not woken for it.
        """
        try:
            served = self._deployment.check_ready()
        except ModelNotReady as reason:
            return Health(status="not_ready", message=str(reason))
        if served.engine is None:
            return Health(status="frozen", message="The next request brings the model back.")
        if self._last is not None:
            when, path, health = self._last
            if path == served.numeric_path and time.monotonic() - when < self._holds_s:
                return health
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run(served.engine))
        # whoever goes away does not take the check along
        done, _ = await asyncio.wait([self._running], timeout=self._patience_s)
        if done:
            return self._running.result()
        return Health(
            status="failed",
            message=f"An inference has not come back for {self._patience_s:.0f} s.",
            numeric_path=served.numeric_path,
        )

    async def _run(self, engine: Engine) -> Health:
        health = await anyio.to_thread.run_sync(
            self._infer, engine, limiter=anyio.CapacityLimiter(1)
        )
        self._last = (time.monotonic(), health.numeric_path, health)
        return health

    def _infer(self, engine: Engine) -> Health:
        path = engine.numeric_path
        began = time.perf_counter()
        try:
            found = engine.segment(_picture(), _CLICK, refine="single")
        except Busy as busy:
            return Health(status="busy", message=str(busy), numeric_path=path)
        except EngineClosed:
            return Health(status="not_ready", message="The model was stopped at this moment.")
        except Exception as error:
            logger.error("The deep check failed", exc_info=error)
            return Health(
                status="failed",
                message=f"The inference failed: {type(error).__name__}; the log has the details.",
                numeric_path=path,
            )
        ms = round((time.perf_counter() - began) * 1000, 1)
        digest = hashlib.sha256(np.packbits(found.mask).tobytes()).hexdigest()
        if self._mask is None or self._mask[0] != path:
            self._mask = (path, digest)
        if self._mask[1] != digest or not math.isfinite(found.predicted_iou):
            message = "The model does not give the mask that it gave before, or nonsense."
            return Health(status="failed", message=message, ms=ms, numeric_path=path)
        return Health(status="ok", message="A mask was made.", ms=ms, numeric_path=path)


_CLICK = Prompts((Point(_SIDE // 2, _SIDE // 2, True),))


def _picture() -> ImageSource:
    """Return a bright disc on a dark ground; its embedding lies in the store like any other."""

    def draw() -> np.ndarray:
        y, x = np.mgrid[:_SIDE, :_SIDE] - _SIDE / 2
        disc = (x * x + y * y < (_SIDE / 4) ** 2).astype(np.uint8)
        return np.repeat((40 + 180 * disc)[..., None], 3, axis=2).astype(np.uint8)

    return ImageSource(ImageKey("check", "", "disc"), draw, client="check")
