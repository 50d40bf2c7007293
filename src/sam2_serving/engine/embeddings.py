"""Embeddings that were made already, under a byte budget; the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

import torch

from sam2_serving.model import ImageEmbedding


@dataclass(frozen=True)
class ImageKey:
    """What pixels these are.

    Attributes:
        kind: key space of the id: `image`, `frame`, `slice`, ...
        server: address of the platform the id belongs to.
        id: the platform's name for it.
        version: content hash or time of the last change.
        window: intensity window that made the pixels, for volumes.
    """

    kind: str
    server: str
    id: str
    version: str = ""
    window: str = ""


@dataclass(frozen=True)
class EmbeddingKey:
    """What an embedding is a function of."""

    weights: str
    input_size: int
    dtype: str
    image: ImageKey


@dataclass(frozen=True)
class Tier:
    """Where embeddings are kept, and how many bytes of them."""

    device: torch.device
    budget: int


@dataclass
class StoreCounters:
    """What the store did since it was made."""

    hits: int = 0
    misses: int = 0
    made: int = 0
    evicted: int = 0


class _Shelf:
    """One tier's entries, in order of use."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.entries: OrderedDict[EmbeddingKey, ImageEmbedding] = OrderedDict()
        self.bytes = 0

    def put(self, key: EmbeddingKey, embedding: ImageEmbedding) -> None:
        self.take(key)
        self.entries[key] = embedding
        self.bytes += embedding.nbytes

    def take(self, key: EmbeddingKey) -> ImageEmbedding | None:
        embedding = self.entries.pop(key, None)
        if embedding is not None:
            self.bytes -= embedding.nbytes
        return embedding

    def take_oldest(self) -> tuple[EmbeddingKey, ImageEmbedding]:
        key, embedding = self.entries.popitem(last=False)
        self.bytes -= embedding.nbytes
        return key, embedding


class EmbeddingStore:
    """Embeddings in one or more tiers: what falls out of one is kept in the next. Thread-safe.

    Requests that come while an embedding is being made wait for it (single flight). If that
    attempt fails, each of them tries by itself, with its own rights; if it was cancelled, the
    next one takes it over.
    """

    def __init__(self, tiers: Sequence[Tier]) -> None:
        """Make an empty store; the first tier is the device that computes."""
        self._shelves = [_Shelf(tier) for tier in tiers]
        self._lock = threading.Lock()
        self._in_flight: dict[EmbeddingKey, Future[ImageEmbedding]] = {}
        self.counters = StoreCounters()

    @property
    def nbytes(self) -> int:
        """Bytes of all embeddings kept."""
        with self._lock:
            return sum(shelf.bytes for shelf in self._shelves)

    def get_or_make(self, key: EmbeddingKey, make: Callable[[], ImageEmbedding]) -> ImageEmbedding:
        """Return the stored embedding, or make it; raises what `make` raises."""
        while True:
            with self._lock:
                found = self._find(key)
                if found is not None:
                    self.counters.hits += 1
                    return found
                flight = self._in_flight.get(key)
                if flight is None:
                    own: Future[ImageEmbedding] = Future()
                    self._in_flight[key] = own
                    self.counters.misses += 1
                    break
            failure = flight.exception()
            if failure is None:
                return flight.result()
            if not isinstance(failure, CancelledError):
                return self._add(key, make())
        return self._fly(key, make, own)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            for shelf in self._shelves:
                shelf.entries.clear()
                shelf.bytes = 0

    def _fly(
        self,
        key: EmbeddingKey,
        make: Callable[[], ImageEmbedding],
        flight: Future[ImageEmbedding],
    ) -> ImageEmbedding:
        """Make an embedding for all who wait for `flight`."""
        try:
            embedding = self._add(key, make())
        except BaseException as error:
            with self._lock:
                del self._in_flight[key]
            flight.set_exception(error)
            raise
        with self._lock:
            del self._in_flight[key]
        flight.set_result(embedding)
        return embedding

    def _add(self, key: EmbeddingKey, embedding: ImageEmbedding) -> ImageEmbedding:
        with self._lock:
            self.counters.made += 1
            self._keep(key, embedding)
        return embedding

    def _find(self, key: EmbeddingKey) -> ImageEmbedding | None:
        for level, shelf in enumerate(self._shelves):
            if level == 0 and key in shelf.entries:
                shelf.entries.move_to_end(key)
                return shelf.entries[key]
            embedding = shelf.take(key)
            if embedding is not None:
                embedding = embedding.to(self._shelves[0].tier.device)
                self._keep(key, embedding)
                return embedding
        return None

    def _keep(self, key: EmbeddingKey, embedding: ImageEmbedding) -> None:
        """Put an embedding on the first shelf and let the oldest sink, until all budgets hold."""
        self._shelves[0].put(key, embedding)
        for shelf, lower in zip(self._shelves, [*self._shelves[1:], None], strict=True):
            while shelf.bytes > shelf.tier.budget:
                oldest, sinking = shelf.take_oldest()
                if lower is not None and sinking.nbytes <= lower.tier.budget:
                    lower.put(oldest, sinking.to(lower.tier.device))
                else:
                    self.counters.evicted += 1
