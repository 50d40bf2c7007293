"""What a person will open next, so that it is encoded before the click.

Everything is done with the token of the person who opened something, and permission is asked as
for a click. Nobody waits for it, so what goes wrong is told to nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Annotated, Protocol, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StrictStr

from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.dataset_orders import DatasetOrders
from sam2_serving.app.media import Media, MediaLibrary
from sam2_serving.app.platform.api import Caller, PlatformClient, caller_of
from sam2_serving.app.reporting import (
    BadRequest,
    PlatformTimeout,
    PlatformUnavailable,
    ReportingRoute,
    note,
)
from sam2_serving.app.requests import (
    MAX_ID,
    Body,
    Identifier,
    NullIsEmpty,
    Options,
    SmartToolContext,
    VideoFrame,
    WholeNumber,
)
from sam2_serving.app.workers import Workers
from sam2_serving.engine import CancelToken, Engine, ImageSource
from sam2_serving.engine.walks import Walks, next_places

Answer = TypeVar("Answer")

REST_S = 30.0
"""How long a platform is asked nothing ahead of time after it failed, or said that it is asked too
much."""
MAX_NAMED = 1000
"""Pictures of one request; the store's share for them is smaller anyway."""

Contexts = Callable[[], Iterator[SmartToolContext]]
"""Names pictures, the most urgent first; blocks."""
FrameIndex = Annotated[WholeNumber, Field(ge=0, le=MAX_ID)]
FrameRange = Annotated[list[FrameIndex], Field(min_length=2, max_length=2)]


class SmartCacheState(Options):
    """The state of `/smart_cache` (contract, section 4.3): one of the ways to name pictures."""

    image_ids: Annotated[list[Identifier], Field(max_length=100_000)] | None = None
    image_hashes: (
        Annotated[list[Annotated[StrictStr, Field(max_length=512)]], Field(max_length=100_000)]
        | None
    ) = None
    video_id: Identifier | None = None
    frame_ranges: Annotated[list[FrameRange], Field(max_length=100_000)] | None = None
    frame_indexes: Annotated[list[FrameIndex], Field(max_length=100_000)] | None = None
    api_token: StrictStr | None = None
    server_address: StrictStr | None = None

    def pictures(self) -> Iterator[SmartToolContext]:
        """Name the pictures in the order of the request.

        Raises:
            BadRequest: it names none in any of the ways.
        """
        if self.image_ids is not None:
            return (_context(image_id=id) for id in self.image_ids)
        if self.image_hashes is not None:
            return (_context(image_hash=one) for one in self.image_hashes)
        if self.video_id is None:
            raise BadRequest("Name something: state.image_ids, image_hashes or video_id.")
        if self.frame_indexes is not None:
            indexes: Iterator[int] = iter(self.frame_indexes)
        else:
            # a whole video is opened on its first frame
            ranges = self.frame_ranges or [[0, 0]]
            indexes = chain.from_iterable(range(min(one), max(one) + 1) for one in ranges)
        return (_frame(self.video_id, index) for index in indexes)

    @property
    def topic(self) -> str:
        """What a newer request of the same kind takes the place of."""
        return "named images" if self.video_id is None else f"named frames {self.video_id}"


class SmartCacheRequest(Body):
    """The body of `/smart_cache`; a token in the state wins."""

    state: Annotated[SmartCacheState, NullIsEmpty]

    def caller(self, servers: ServerPolicy) -> Caller:
        """Return whose rights count."""
        state = self.state
        return caller_of(
            state.server_address or self.server_address, state.api_token or self.api_token, servers
        )


class SmartCacheAnswer(BaseModel):
    """Says that work may have begun; nobody is told how it ends."""

    message: str
    success: bool = True


class ServedModel(Protocol):
    """What the route needs of the app."""

    def ready_engine(self) -> Engine:
        """Return the engine that serves; raises ModelNotReady."""


def smart_cache_router(
    ahead: LookAhead, served: ServedModel, servers: ServerPolicy, workers: Workers
) -> APIRouter:
    """Make the router."""
    router = APIRouter(route_class=ReportingRoute)

    @router.post("/smart_cache")
    async def smart_cache(body: SmartCacheRequest, request: Request) -> SmartCacheAnswer:
        caller = body.caller(servers)
        body.state.pictures()  # a request that names nothing is refused
        note(request, topic=body.state.topic)

        def begin(_: CancelToken) -> SmartCacheAnswer:
            ahead.named(served.ready_engine(), caller, body.state)
            return SmartCacheAnswer(message="What was named is encoded while nobody waits.")

        return await workers.run(request, begin, caller.token_hash)

    return router


@dataclass(frozen=True)
class _Row:
    """Pictures that people go through one after the other.

    Attributes:
        name: tells this row from others.
        stop: which picture of it was opened.
        following: given the latest stops, names the pictures that may be next.
    """

    name: str
    stop: int
    following: Callable[[tuple[int, ...]], Iterator[SmartToolContext]]


class _Rests:
    """Which platforms failed lately, and are left alone for a while. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def needed(self, server: str) -> bool:
        """Tell whether a platform is left alone now."""
        return self._clock() < self._until.get(server, float("-inf"))

    @contextmanager
    def after_failure(self, server: str) -> Iterator[None]:
        """Leave a platform alone from now on if it fails within the block."""
        try:
            yield
        except (PlatformUnavailable, PlatformTimeout):
            self._until[server] = self._clock() + REST_S
            raise


class LookAhead:
    """Has the engine encode what people will open next. Thread-safe."""

    def __init__(
        self,
        library: MediaLibrary,
        platform: PlatformClient,
        count: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what it needs.

        Args:
            library: finds pictures.
            platform: knows in which order they are.
            count: so many neighbours of what is opened are encoded; 0: none.
            clock: seconds.
        """
        self._library = library
        self._orders = DatasetOrders(platform)
        self._count = count
        self._walks = Walks()
        self._rests = _Rests(clock)

    def opened(
        self, engine: Engine, caller: Caller, context: SmartToolContext, media: Media
    ) -> None:
        """Note that somebody opened a picture, and begin to get the next ones; returns at once."""
        row = self._row(caller, context, media) if self._count else None
        if row is not None:
            stops = self._walks.stopped_at((caller.server, caller.token_hash, row.name), row.stop)
            self._want(engine, caller, row.name, partial(row.following, stops))

    def named(self, engine: Engine, caller: Caller, state: SmartCacheState) -> None:
        """Begin to get what a request names; returns at once."""
        first = list(islice(state.pictures(), MAX_NAMED))  # the rest is not held while it waits
        self._want(engine, caller, state.topic, lambda: iter(first))

    def _want(self, engine: Engine, caller: Caller, topic: str, contexts: Contexts) -> None:
        # On another thread, but in this request's context: its token stays out of the log.
        here = copy_context()

        def ask(call: Callable[..., Answer], *args: object) -> Answer:
            with self._rests.after_failure(caller.server):
                return here.copy().run(call, *args)

        def find(library: MediaLibrary, context: SmartToolContext) -> ImageSource:
            source = ask(library.find, caller, context).source
            return replace(source, load=partial(ask, source.load))

        def plan(given_up: CancelToken) -> Iterator[Callable[[], ImageSource]]:
            if self._rests.needed(caller.server):
                return
            library = self._library.until(given_up)
            for context in ask(lambda: list(contexts())):
                if self._rests.needed(caller.server):
                    return
                yield partial(find, library, context)

        engine.look_ahead(caller.token_hash, (caller.server, topic), plan)

    def _row(self, caller: Caller, context: SmartToolContext, media: Media) -> _Row | None:
        """Return the row that a picture is in; None if nobody knows what is beside it."""
        match context:
            case SmartToolContext(image_id=int(id)):
                if media.image is None or media.image.dataset_id is None:
                    return None
                dataset = media.image.dataset_id
                following = partial(self._images, caller, dataset)
                return _Row(f"images of {dataset}", id, following)
            case SmartToolContext(image_hash=str()):
                return None
            case SmartToolContext(volume=slice) if slice is not None:
                place = slice.slice_index

                def beside(index: int) -> SmartToolContext:
                    return _context(volume=slice.model_copy(update={"slice_index": index}))

                name = f"slices of {slice.volume_id} along {slice.normal.axis}"
            case SmartToolContext(video=frame) if frame is not None:
                place = frame.frame_index
                beside = partial(_frame, frame.video_id)
                name = f"frames of {frame.video_id}"
            case _:
                return None
        return _Row(name, place, lambda stops: map(beside, self._places(stops, media.row)))

    def _images(
        self, caller: Caller, dataset: int, stops: tuple[int, ...]
    ) -> Iterator[SmartToolContext]:
        known = self._orders.of(caller, dataset, stops[-1])
        if stops[-1] not in known:
            return  # nor is it known what is beside it
        order, places = known.walked(stops)
        for place in self._places(places, len(order)):
            yield _context(image_id=order[place])

    def _places(self, places: tuple[int, ...] | list[int], count: int | None) -> Iterator[int]:
        for place in next_places(places, self._count):
            if place >= 0 and (count is None or place < count):
                yield place


def _context(**source: object) -> SmartToolContext:
    return SmartToolContext.model_validate({"positive": [], "negative": [], **source})


def _frame(video_id: int, index: int) -> SmartToolContext:
    return _context(video=VideoFrame(video_id=video_id, frame_index=index))
