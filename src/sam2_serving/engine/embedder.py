"""From an image that may not have been fetched yet to its embedding."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam2_serving.engine.ahead import AheadCounters
from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.embeddings import EmbeddingKey, EmbeddingStore, ImageKey
from sam2_serving.engine.observing import NOBODY, Observer, timed
from sam2_serving.engine.prefetch import Attempt, Plan, PrefetchCounters, Prefetcher
from sam2_serving.engine.scheduler import Priority, Scheduler
from sam2_serving.engine.turns import EncodeTurn
from sam2_serving.model import ImageEmbedding, SegmentationModel
from sam2_serving.model.parts import InParts, Parts


@dataclass(frozen=True)
class ImageSource:
    """An image that may not have been fetched yet.

    Attributes:
        key: what pixels they are.
        load: fetches them, RGB uint8 HxWx3; called only if no embedding is stored. Whatever it
            raises reaches the one who asked.
        client: who asks, an opaque name; clients are served in turn.
    """

    key: ImageKey
    load: Callable[[], npt.NDArray[np.uint8]]
    client: str = ""


@dataclass(frozen=True)
class AheadStats:
    """What was encoded ahead of time, and what became of it."""

    embeddings: AheadCounters
    plans: PrefetchCounters


class Embedder:
    """Gives embeddings: stored, on their way, or made now. Thread-safe."""

    def __init__(
        self,
        open_model: Callable[[], SegmentationModel],
        scheduler: Scheduler,
        store: EmbeddingStore,
        observer: Observer = NOBODY,
    ) -> None:
        """Take what it needs.

        Args:
            open_model: returns the network, which is not held here; raises EngineClosed.
            scheduler: of the device.
            store: of embeddings.
            observer: is told how long it takes to make one.
        """
        self._observer = observer
        self._open_model = open_model
        self._scheduler = scheduler
        self._store = store
        self._prefetcher: Prefetcher[ImageSource] = Prefetcher(
            self._make_ahead, scheduler.wait_until_idle, lambda: store.ahead_capacity
        )

    def key(self, image: ImageKey) -> EmbeddingKey:
        """Return what an image's embedding is a function of."""
        model = self._open_model()
        return EmbeddingKey(model.fingerprint, model.input_size, model.dtype, image)

    def embedding(
        self, source: ImageSource, priority: Priority, cancel: CancelToken | None
    ) -> ImageEmbedding:
        """Return an embedding; blocks.

        Raises:
            concurrent.futures.CancelledError: `cancel` was used.
            Busy, EngineClosed: the engine's own reasons.
            Exception: whatever the source raises.
        """
        turn = EncodeTurn(self._scheduler, priority, source.client, cancel)

        def make() -> ImageEmbedding:
            with self._prefetcher.foreground():
                self._prefetcher.give_up()
                return self._encode(source, turn, cancel)

        return self._store.get_or_make(self.key(source.key), make, cancel, turn)

    def look_ahead(self, client: str, topic: Hashable, plan: Plan[ImageSource]) -> None:
        """See `Engine.look_ahead`."""
        self._prefetcher.want(client, topic, plan)

    def foreground(self) -> AbstractContextManager[None]:
        """Begin nothing ahead of time during the block."""
        return self._prefetcher.foreground()

    def make_way(self) -> None:
        """Give up what is being fetched ahead of time, unless somebody waits for it."""
        self._prefetcher.give_up()

    def stats(self) -> AheadStats:
        """Return what was encoded ahead of time, and what became of it."""
        return AheadStats(self._store.ahead_counters, self._prefetcher.counters)

    def close(self) -> None:
        """Encode nothing ahead of time from now on."""
        self._prefetcher.close()

    def _make_ahead(self, source: ImageSource, attempt: Attempt) -> bool:
        turn = EncodeTurn(
            self._scheduler,
            Priority.PREFETCH,
            cancel=attempt.cancel,
            on_hurry=attempt.go_on,
        )

        def make() -> ImageEmbedding:
            return self._encode(source, turn, attempt.cancel, attempt.go_on)

        return self._store.make_ahead(self.key(source.key), make, turn)

    def _encode(
        self,
        source: ImageSource,
        turn: EncodeTurn,
        cancel: CancelToken | None,
        go_on: Callable[[], bool] = lambda: True,
    ) -> ImageEmbedding:
        """Fetch and encode an image; `go_on` is asked before the device begins."""
        if cancel is not None and cancel.cancelled:
            raise CancelledError
        # Here and not on the device thread: a large image takes long to fetch and to resize.
        # Nothing holds the model while the image is fetched, so a redeploy meanwhile frees its
        # memory.
        pixels = source.load()
        with timed(self._observer, "prepare"):
            prepared = self._open_model().prepare(pixels)

        def encode() -> Parts[ImageEmbedding]:
            if not go_on():
                raise CancelledError
            return self._open_model().encode_in_parts(prepared)

        with timed(self._observer, "encode"):
            return turn.run(InParts(encode))
