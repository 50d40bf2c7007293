"""Embeddings that were made already, under a byte budget; the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from sam2_serving.engine.ahead import AheadCounters, AheadShare
from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.errors import Busy, EngineClosed, OutOfMemory
from sam2_serving.engine.flights import Flight
from sam2_serving.engine.turns import EncodeTurn
from sam2_serving.model import ImageEmbedding

if TYPE_CHECKING:
    from sam2_serving.engine.embedding_files import EmbeddingFiles


@dataclass(frozen=True)
class ImageKey:
    """What pixels these are.

    Attributes:
        kind: key space of the id: `image`, `frame`, `slice`, ...
        server: address of the platform the id belongs to.
        id: the platform's name for it.
        version: content hash or time of the last change.
        window: intensity window that made the pixels, for volumes.
        by_content: the version is a hash of the content, so that the pixels never change.
    """

    kind: str
    server: str
    id: str
    version: str = ""
    window: str = ""
    by_content: bool = False


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
    """What the store did since it was made; hits, misses and files read are all requests."""

    hits: int = 0
    misses: int = 0
    made: int = 0
    evicted: int = 0


Transfer = Callable[[Callable[[], ImageEmbedding]], ImageEmbedding]
"""Runs a copy between tiers where the device may be touched."""


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

    def clear(self) -> None:
        self.entries.clear()
        self.bytes = 0

    def take_what_is_over_budget(self) -> list[tuple[EmbeddingKey, ImageEmbedding]]:
        taken = []
        while self.bytes > self.tier.budget:
            key = next(iter(self.entries))
            taken.append((key, self.entries[key]))
            self.take(key)
        return taken


class EmbeddingStore:
    """Embeddings in one or two tiers: what falls out of the first is kept in the second.

    Behind them may be files, which get every embedding that was asked for and outlive the process.
    Those that nobody has asked for yet take a bounded share of the first tier.

    Requests that come while an embedding is being made wait for it (single flight), unless that
    attempt was given up and only waits for its end. If it fails, the next of them makes its
    own, with its own rights: a failure is told to nobody else, unless it is the engine's own
    (`Busy`, `EngineClosed`). Thread-safe.
    """

    def __init__(
        self,
        device: Tier,
        host: Tier | None = None,
        transfer: Transfer = lambda copy: copy(),
        files: EmbeddingFiles | None = None,
        ahead_bytes: int = 0,
    ) -> None:
        """Make an empty store.

        Args:
            device: where embeddings are used.
            host: where those are kept that no longer fit there.
            transfer: runs a copy from one to the other; it is never called under the lock.
            files: where embeddings are kept on disk; closed with the store.
            ahead_bytes: how much of the first tier may be taken by what nobody has asked for.
        """
        self._device = _Shelf(device)
        self._host = None if host is None else _Shelf(host)
        self._transfer = transfer
        self._files = files
        self._lock = threading.Lock()
        self._ahead = AheadShare[EmbeddingKey](min(ahead_bytes, device.budget))
        self._in_flight: dict[EmbeddingKey, Flight] = {}
        self._closed = False
        self._counters = StoreCounters()

    @property
    def nbytes(self) -> int:
        """Bytes of all embeddings kept."""
        with self._lock:
            return self._device.bytes + (self._host.bytes if self._host else 0)

    @property
    def counters(self) -> StoreCounters:
        """What was done so far; a copy."""
        with self._lock:
            return replace(self._counters)

    @property
    def ahead_counters(self) -> AheadCounters:
        """What became of embeddings that were made ahead of time; a copy."""
        with self._lock:
            return replace(self._ahead.counters)

    @property
    def ahead_capacity(self) -> int | None:
        """How many embeddings may be kept that nobody has asked for; None: not known yet."""
        with self._lock:
            return self._ahead.capacity

    def make_ahead(
        self, key: EmbeddingKey, make: Callable[[], ImageEmbedding], turn: EncodeTurn
    ) -> bool:
        """Make an embedding that nobody has asked for, unless it is here or on its way.

        Args:
            key: of the embedding.
            make: encodes it, with `turn`.
            turn: its place in the queue.

        Returns:
            whether it was made; raises what `make` raises, and EngineClosed.
        """
        with self._lock:
            if self._closed:
                raise EngineClosed("The model was stopped.")
            if key in self._ahead:
                self._ahead.want_again(key)
                self._device.entries.move_to_end(key)
            here = key in self._device.entries or (self._host and key in self._host.entries)
            if here or key in self._in_flight:
                return False
            flight = self._in_flight[key] = Flight(turn, ahead=True)
        self._fly(
            key,
            lambda: self._read(key, turn.run) or self._count(make, asked=False),
            flight,
            turn.run,
        )
        return True

    def get_or_make(
        self,
        key: EmbeddingKey,
        make: Callable[[], ImageEmbedding],
        cancel: CancelToken | None = None,
        turn: EncodeTurn | None = None,
    ) -> ImageEmbedding:
        """Return the stored embedding, or make it; raises what `make` raises.

        Args:
            key: of the embedding.
            make: encodes it.
            cancel: gives up waiting for another's attempt.
            turn: of the encode that `make` would do; another's, if there is one, is hurried to it.

        Raises:
            EngineClosed: `close` was called.
            concurrent.futures.CancelledError: `cancel` was used while another made it.
        """
        embedding = self._find_or_make(key, make, cancel, turn)
        if self._files is not None:
            self._files.offer(key, embedding)
        return embedding

    def _find_or_make(
        self,
        key: EmbeddingKey,
        make: Callable[[], ImageEmbedding],
        cancel: CancelToken | None,
        turn: EncodeTurn | None,
    ) -> ImageEmbedding:
        while True:
            with self._lock:
                if self._closed:
                    raise EngineClosed("The model was stopped.")
                if key in self._device.entries:
                    self._counters.hits += 1
                    self._ahead.use(key)
                    self._device.entries.move_to_end(key)
                    return self._device.entries[key]
                flight = self._in_flight.get(key)
                if flight is None or flight.given_up:
                    own = self._in_flight[key] = Flight(turn)
                    host_copy = self._host.take(key) if self._host else None
                    self._counters.hits += host_copy is not None
                    break
                flight.joined = True
            if flight.turn is not None and turn is not None:
                flight.turn.join(turn)
            landed = flight.wait(cancel)
            if landed is not None:
                return landed
        if host_copy is not None:
            return self._fly(key, lambda: self._lift(host_copy), own)
        return self._fly(key, lambda: self._read(key) or self._count(make), own)

    def make_room(self) -> None:
        """Drop what lies on the device, whose memory is short; from now on keep less there.

        The new budget is three quarters of what was too much, if embeddings were a large part.
        """
        with self._lock:
            shelf = self._device
            self._counters.evicted += len(shelf.entries)
            if shelf.bytes >= shelf.tier.budget // 8:
                shelf.tier = replace(shelf.tier, budget=shelf.bytes * 3 // 4)
            shelf.clear()
            self._ahead.clear()

    def close(self) -> None:
        """Forget everything and keep nothing from now on; those who wait get `EngineClosed`."""
        with self._lock:
            self._closed = True
            flights = list(self._in_flight.values())
            for shelf in filter(None, (self._device, self._host)):
                shelf.clear()
            self._ahead.clear()
        if self._files is not None:
            self._files.close()
        for flight in flights:
            flight.fail(EngineClosed("The model was stopped."))

    def _fly(
        self,
        key: EmbeddingKey,
        make: Callable[[], ImageEmbedding],
        flight: Flight,
        transfer: Transfer | None = None,
    ) -> ImageEmbedding:
        """Make an embedding for all who wait for `flight`; `transfer` is for what it pushes out."""
        try:
            embedding = make()
        except BaseException as error:
            with self._lock:
                self._take_off(key, flight)
            flight.fail(error)
            raise
        with self._lock:
            sinking = []
            # if it was given up and made all the same, another's is the one that is kept
            if self._take_off(key, flight):
                unasked = self._count_flight(flight)
                sinking = [] if self._closed else self._keep(key, embedding, unasked)
        flight.land(embedding)
        for lower_key, falling in sinking:
            self._sink(lower_key, falling, transfer or self._transfer)
        return embedding

    def _take_off(self, key: EmbeddingKey, flight: Flight) -> bool:
        """Forget a flight that ends; tell whether it was still the one to wait for."""
        current = self._in_flight.get(key) is flight
        if current:
            del self._in_flight[key]
        return current

    def _read(self, key: EmbeddingKey, transfer: Transfer | None = None) -> ImageEmbedding | None:
        kept = None if self._files is None else self._files.read(key)
        on_cpu = self._device.tier.device.type == "cpu"
        return kept if kept is None or on_cpu else self._lift(kept, transfer)

    def _count(self, make: Callable[[], ImageEmbedding], *, asked: bool = True) -> ImageEmbedding:
        with self._lock:
            self._counters.misses += asked
        embedding = make()
        with self._lock:
            self._counters.made += 1
        return embedding

    def _count_flight(self, flight: Flight) -> bool:
        """Count an embedding that was made ahead; tell whether nobody has asked for it yet."""
        self._ahead.counters.made += flight.ahead
        self._ahead.counters.used += flight.ahead and flight.joined
        return flight.ahead and not flight.joined

    def _keep(
        self, key: EmbeddingKey, embedding: ImageEmbedding, ahead: bool
    ) -> list[tuple[EmbeddingKey, ImageEmbedding]]:
        """Put an embedding on the device's shelf; returns what has to sink to the host's."""
        self._device.put(key, embedding)
        surplus = self._ahead.add(key, embedding.nbytes) if ahead else []
        self._counters.evicted += sum(self._device.take(gone) is not None for gone in surplus)
        over = self._device.take_what_is_over_budget()
        unused = {k for k, _ in over if k in self._ahead}
        for k in unused:
            self._ahead.lose(k)
        fitting = [
            (k, e)
            for k, e in over
            if k not in unused and self._host and e.nbytes <= self._host.tier.budget
        ]
        self._counters.evicted += len(over) - len(fitting)
        return fitting

    def _lift(self, host_copy: ImageEmbedding, transfer: Transfer | None = None) -> ImageEmbedding:
        return (transfer or self._transfer)(lambda: host_copy.to(self._device.tier.device))

    def _sink(self, key: EmbeddingKey, embedding: ImageEmbedding, transfer: Transfer) -> None:
        host = self._host
        assert host is not None
        try:
            copy = transfer(lambda: embedding.to(host.tier.device))
        except (Busy, EngineClosed, OutOfMemory, CancelledError):
            # not a reason to fail for the one whose embedding pushed this one out
            with self._lock:
                self._counters.evicted += 1
            return
        with self._lock:
            # it may have been made again meanwhile: then the device has it
            if not self._closed and key not in self._device.entries:
                host.put(key, copy)
                self._counters.evicted += len(host.take_what_is_over_budget())
