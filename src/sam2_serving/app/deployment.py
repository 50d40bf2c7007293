"""What is being served, what is being loaded, and what went wrong last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from sam2_serving.app.reporting import Conflict, ModelNotReady
from sam2_serving.engine import Engine

State = Literal["stopped", "loading", "ready", "failed"]


@dataclass(frozen=True)
class Served:
    """A model that answers.

    Attributes:
        model: its name in the table.
        device: where it runs, `cpu` or `cuda:N`.
        engine: what answers.
    """

    model: str
    device: str
    engine: Engine


@dataclass(frozen=True)
class LoadProgress:
    """How far loading is.

    Attributes:
        message: what is being done.
        current: bytes so far.
        total: bytes in all, or None if that is not known.
    """

    message: str
    current: int = 0
    total: int | None = None


class Deployment:
    """The state of serving; at most one model is being loaded at a time. Thread-safe."""

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self.served: Served | None = None
        self.progress: LoadProgress | None = None
        self.error: str | None = None

    @property
    def state(self) -> State:
        """Where things are; an old model still counts as served while a download runs."""
        if self.progress is not None:
            return "loading"
        if self.served is not None:
            return "ready"
        return "stopped" if self.error is None else "failed"

    @contextmanager
    def loading(self, message: str) -> Iterator[None]:
        """Hold the right to load or stop a model.

        What is raised inside becomes the error that is shown until the next try.

        Raises:
            Conflict: another load is under way.
        """
        if not self._loading.acquire(blocking=False):
            raise Conflict("A model is being loaded already: wait until it is ready.")
        try:
            self.error = None
            self.progress = LoadProgress(message)
            yield
        except Exception as error:
            self.error = str(error)
            raise
        finally:
            self.progress = None
            self._loading.release()

    def ready_engine(self) -> Engine:
        """Return the engine that serves.

        Raises:
            ModelNotReady: there is none; the text says what to do.
        """
        served = self.served
        if served is not None:
            return served.engine
        match self.state:
            case "loading":
                raise ModelNotReady("The model is being loaded: try again when it is ready.")
            case "failed":
                raise ModelNotReady(f"No model is served, loading it failed: {self.error}")
            case _:
                raise ModelNotReady("No model is served: choose one and press Serve.")

    def take_served(self) -> Served | None:
        """Stop serving and hand over what was served, whose engine is to be closed."""
        served, self.served = self.served, None
        return served
