"""What is being served, what is being loaded, and what went wrong last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from sam2_serving.app.reporting import Conflict, DeployFailed, ModelNotReady
from sam2_serving.engine import Engine, EngineClosed, ImageKey

State = Literal["stopped", "loading", "ready", "failed"]


@dataclass(frozen=True)
class Served:
    """A model that answers.

    Attributes:
        model: its name in the table.
        device: where it runs, `cpu` or `cuda:N`.
        numeric_path: the id of its answers' numbers.
        input_size: side of the square that images are resized to, pixels.
        compiled: whether the image encoder is.
        engine: what answers; None while the model is frozen.
    """

    model: str
    device: str
    numeric_path: str
    input_size: int
    compiled: bool
    engine: Engine | None


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
        self._freezing = threading.Lock()
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

    def check_ready(self) -> Served:
        """Return what is served, frozen or not.

        Raises:
            ModelNotReady: nothing is; the text says what to do.
        """
        served = self.served
        if served is not None:
            return served
        match self.state:
            case "loading":
                raise ModelNotReady("The model is being loaded: try again when it is ready.")
            case "failed":
                raise ModelNotReady(f"No model is served, loading it failed: {self.error}")
            case _:
                raise ModelNotReady("No model is served: choose one and press Serve.")

    def ready_engine(self, wake: Callable[[Served], Engine]) -> Engine:
        """Return the engine that serves; a frozen model is woken, and all who ask wait for it.

        Args:
            wake: loads a frozen model again.

        Raises:
            ModelNotReady: nothing is served, or waking failed.
        """
        engine = self.check_ready().engine
        if engine is not None:
            return engine
        with self._freezing:
            return self.check_ready().engine or self._woken(wake)

    def _woken(self, wake: Callable[[Served], Engine]) -> Engine:
        try:
            with self.loading("Bringing the model back"):
                served = self.check_ready()
                if served.engine is not None:
                    return served.engine
                engine = wake(served)
                if engine.numeric_path != served.numeric_path:
                    engine.close()
                    raise DeployFailed("its file is not the one that was deployed. Deploy it anew.")
                self.served = replace(served, engine=engine)
                return engine
        except Conflict as error:
            raise ModelNotReady("A model is being loaded: try again when it is ready.") from error
        except DeployFailed as error:
            raise ModelNotReady(f"The model cannot be brought back: {error}") from error

    def freeze(self) -> bool:
        """Give the device's memory back, but go on serving: the next request wakes the model.

        Returns:
            Whether it is frozen now; a model that is being replaced is left alone.
        """
        with self._freezing:
            try:
                with self.loading("Freezing the model"):
                    served = self.served
                    if served is None:
                        return False
                    # From now on requests wait at the lock above until this is over.
                    self.served = replace(served, engine=None)
                    if served.engine is not None:
                        served.engine.close()
                    return True
            except Conflict:
                return False

    def kept_size(self, image: ImageKey) -> tuple[int, int] | None:
        """Return (width, height) of an image whose embedding the engine has on disk, else None."""
        served = self.served
        if served is None or served.engine is None:
            return None
        try:
            size = served.engine.kept_size(image)
        except EngineClosed:
            return None
        return None if size is None else (size[1], size[0])

    def take_served(self) -> Served | None:
        """Stop serving and hand over what was served, whose engine is to be closed."""
        served, self.served = self.served, None
        return served
