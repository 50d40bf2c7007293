"""An embedding on its way, and those who wait for it."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.errors import Busy, ClientBusy, EngineClosed
from sam2_serving.engine.turns import EncodeTurn
from sam2_serving.model import ImageEmbedding


@dataclass(eq=False)
class Flight:
    """An embedding that is being made.

    Attributes:
        turn: of its encode, which whoever joins may move forward.
        ahead: nobody had asked for it when it was begun.
        joined: somebody has since.
        landed: what was made; None if it failed for a reason that is nobody else's.
    """

    turn: EncodeTurn | None
    ahead: bool = False
    joined: bool = False
    landed: Future[ImageEmbedding | None] = field(default_factory=Future)

    @property
    def given_up(self) -> bool:
        """Tell whether it only waits for its end: a download may take long to notice."""
        return self.turn is not None and self.turn.given_up

    def wait(self, cancel: CancelToken | None) -> ImageEmbedding | None:
        """Wait for the embedding; None if it failed for a reason that is not ours.

        Raises:
            Busy, EngineClosed: the engine's own reasons, which are everybody's.
            concurrent.futures.CancelledError: `cancel` was used.
        """
        turn: Future[None] = Future()

        def end_turn(_: Future[ImageEmbedding | None]) -> None:
            if turn.set_running_or_notify_cancel():
                turn.set_result(None)

        self.landed.add_done_callback(end_turn)
        if cancel is not None:
            cancel.watch(turn)
        turn.result()
        return self.landed.result()

    def land(self, embedding: ImageEmbedding | None) -> None:
        """End it, unless it has ended already."""
        with suppress(InvalidStateError):
            self.landed.set_result(embedding)

    def fail(self, error: BaseException) -> None:
        """End it, unless it has ended already; those who wait are told what is everybody's reason.

        The error itself is not kept: it holds the frames it came through, they hold the flight,
        and among them is the one with the image's pixels.
        """
        if isinstance(error, EngineClosed):
            reason: Exception = EngineClosed(*error.args)
        elif isinstance(error, Busy) and not isinstance(error, ClientBusy):
            reason = Busy(error.retry_after_s)
        else:
            self.land(None)
            return
        with suppress(InvalidStateError):
            self.landed.set_exception(reason)
