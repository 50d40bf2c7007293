"""Embeddings that were made already, under a byte budget; the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from sam2_serving.engine.ahead import AheadCounters, AheadShare
from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.errors import Busy, ClientBusy, EngineClosed
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

    def take_what_is_over_budget(self) -> list[tuple[EmbeddingKey, ImageEmbedding]]:
        taken = []
        while self.bytes > self.tier.budget:
            key = next(iter(self.entries))
            taken.append((key, self.entries[key]))
            self.take(key)
        return taken


@dataclass(eq=False)
class _Flight:
    """An embedding that is being made.

    Attributes:
        turn: of its encode, which whoever joins may move forward.
        ahead: nobody had asked for it when it was begun.
        joined: somebody has since.
    """

    turn: EncodeTurn | None
    ahead: bool = False
    joined: bool = False
    landed: Future[ImageEmbedding] = field(default_factory=Future)


class EmbeddingStore:
    """Embeddings in one or two tiers: what falls out of the first is kept in the second.

    Behind them may be files, which get every embedding that was asked for and outlive the process.
    Those that nobody has asked for yet take a bounded share of the first tier.

    Requests that come while an embedding is being made wait for it (single flight). If that
    attempt fails, the next of them makes its own, with its own rights: a failure is told to
    nobody else, unless it is the engine's own (`Busy`, `EngineClosed`). Thread-safe.
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
        self._in_flight: dict[EmbeddingKey, _Flight] = {}
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
            flight = self._in_flight[key] = _Flight(turn, ahead=True)
        self._fly(key, lambda: self._read(key, turn.run) or self._count(make, asked=False), flight)
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
                if flight is None:
                    own = self._in_flight[key] = _Flight(turn)
                    host_copy = self._host.take(key) if self._host else None
                    self._counters.hits += host_copy is not None
                    break
                flight.joined = True
            if flight.turn is not None and turn is not None:
                flight.turn.join(turn)
            landed = _wait(flight.landed, cancel)
            if landed is not None:
                return landed
        if host_copy is not None:
            return self._fly(key, lambda: self._lift(host_copy), own)
        return self._fly(key, lambda: self._read(key) or self._count(make), own)

    def close(self) -> None:
        """Forget everything and keep nothing from now on; those who wait get `EngineClosed`."""
        with self._lock:
            self._closed = True
            flights = list(self._in_flight.values())
            for shelf in filter(None, (self._device, self._host)):
                shelf.entries.clear()
                shelf.bytes = 0
            self._ahead.clear()
        if self._files is not None:
            self._files.close()
        for flight in flights:
            _land(flight.landed, EngineClosed("The model was stopped."))

    def _fly(
        self, key: EmbeddingKey, make: Callable[[], ImageEmbedding], flight: _Flight
    ) -> ImageEmbedding:
        """Make an embedding for all who wait for `flight`."""
        try:
            embedding = make()
        except BaseException as error:
            with self._lock:
                del self._in_flight[key]
            _land(flight.landed, error)
            # frame and error would hold each other, and with them the image's pixels
            del flight
            raise
        with self._lock:
            del self._in_flight[key]
            unasked = self._count_flight(flight)
            sinking = [] if self._closed else self._keep(key, embedding, unasked)
        _land(flight.landed, embedding)
        for lower_key, falling in sinking:
            self._sink(lower_key, falling)
        return embedding

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

    def _count_flight(self, flight: _Flight) -> bool:
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

    def _sink(self, key: EmbeddingKey, embedding: ImageEmbedding) -> None:
        host = self._host
        assert host is not None
        copy = self._transfer(lambda: embedding.to(host.tier.device))
        with self._lock:
            # it may have been made again meanwhile: then the device has it
            if not self._closed and key not in self._device.entries:
                host.put(key, copy)
                self._counters.evicted += len(host.take_what_is_over_budget())


def _wait(flight: Future[ImageEmbedding], cancel: CancelToken | None) -> ImageEmbedding | None:
    """Wait for another's attempt; None if it failed for a reason that is not ours.

    Raises:
        Busy, EngineClosed: the engine's own reasons, which are everybody's.
        concurrent.futures.CancelledError: this request was given up.
    """
    turn: Future[None] = Future()

    def end_turn(_: Future[ImageEmbedding]) -> None:
        if turn.set_running_or_notify_cancel():
            turn.set_result(None)

    flight.add_done_callback(end_turn)
    if cancel is not None:
        cancel.watch(turn)
    turn.result()
    failure = flight.exception()
    if isinstance(failure, Busy | EngineClosed) and not isinstance(failure, ClientBusy):
        raise failure
    return flight.result() if failure is None else None


def _land(flight: Future[ImageEmbedding], outcome: ImageEmbedding | BaseException) -> None:
    """End a flight, unless `close` has ended it already."""
    with suppress(InvalidStateError):
        if isinstance(outcome, ImageEmbedding):
            flight.set_result(outcome)
        else:
            flight.set_exception(outcome)
