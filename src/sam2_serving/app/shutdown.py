"""The end of the process: no new work, clicks are finished, jobs say how far they came.

The web server by itself waits for open connections without end, and leaves jobs to die unheard. So
its signal handlers are stood before: they hear of the signal when nothing is left to finish.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from fastapi.responses import JSONResponse
from supervisely.sly_logger import logger

from sam2_serving.app.reporting import AppError

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STILL_ANSWERED = frozenset(
    {
        "/livez",
        "/is_alive",
        "/is_running",
        "/metrics",
        "/pop_tracking_results",
        "/stop_tracking",
        "/clear_tracking_results",
        "/get_inference_progress",
        "/get_inference_result",
        "/get_inference_status",
        "/pop_inference_results",
        "/stop_inference",
        "/clear_inference_request",
    }
)
"""They start nothing, and clients of jobs need them to the end."""
IS_ONLINE = "/is_online"
_LOOK_S = 0.05


class Stopping(AppError):
    """The app takes no new work, and ends what it has."""

    status = 503
    retry_after_s = 10.0


def stopping() -> Stopping:
    """Say it to whoever asks for something, or has a job."""
    return Stopping("The app is being stopped: try again when it is back.")


@dataclass(frozen=True)
class Deadlines:
    """Seconds after the signal; the last one is the end of the process whatever happens.

    Attributes:
        jobs: for jobs to come to a good end: what they found is stored, its end is told.
        requests: for requests that are being answered; those that are not are told to come again.
        process: for everything.
    """

    jobs: float = 8.0
    requests: float = 14.0
    process: float = 18.0


FETCH_S = 3.0
"""For clients to fetch what their jobs found, after the last job has ended."""
EXIT_S = 1.5
"""For the web server, when nothing is left to do but to close connections."""


class Jobs(Protocol):
    """Work that goes on when its request has been answered."""

    def interrupt(self, reason: AppError) -> None:
        """Let all jobs end at the next good place, and tell their clients why."""

    def give_up(self) -> None:
        """Let the jobs that have not ended do so at once."""

    @property
    def running(self) -> bool:
        """Tell whether a job has not ended."""

    @property
    def unfetched(self) -> bool:
        """Tell whether something that was found waits for a client."""


class OpenRequest(Protocol):
    """A request that is being answered."""

    async def give_up(self, refusal: AppError) -> None:
        """Answer with an error, unless the answer has begun; what comes later goes nowhere."""


class Shutdown:
    """Ends the process in order. Used on the event loop, but for what says otherwise."""

    def __init__(self, deadlines: Deadlines | None = None) -> None:
        """Wait for a signal, once `install` was called."""
        self.begun = False
        self._deadlines = deadlines or Deadlines()
        self._jobs: list[Jobs] = []
        self._open: set[OpenRequest] = set()
        self._over = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def watch(self, jobs: Jobs) -> None:
        """End these jobs, too."""
        self._jobs.append(jobs)

    @contextmanager
    def answering(self, request: OpenRequest) -> Iterator[None]:
        """The block answers a request; the process waits for it, if it began before the end did."""
        if self.begun:
            yield
            return
        self._open.add(request)
        try:
            yield
        finally:
            self._open.discard(request)

    def answer_to(self, path: str) -> JSONResponse | None:
        """Return what a request gets that comes too late, or None if it is to be answered.

        Raises:
            Stopping: no new work is taken.
        """
        if not self.begun or path in STILL_ANSWERED:
            return None
        if path == IS_ONLINE:
            return JSONResponse({"is_online": False})
        raise stopping()

    def install(self) -> None:
        """Stand before the web server's signal handlers, if this is the main thread's loop."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            signal.signal(number, self._handler(loop, signal.getsignal(number)))

    def _handler(self, loop: asyncio.AbstractEventLoop, server: Any) -> Any:
        def handle(number: int, frame: FrameType | None) -> None:
            def finish() -> None:
                if callable(server):
                    server(number, frame)

            if self.begun:  # again: whoever sends it does not want to wait
                finish()
                return
            self.begun = True
            threading.Thread(target=self._see_to_it, args=(number,), daemon=True).start()
            loop.call_soon_threadsafe(self._begin, finish)

        return handle

    def _begin(self, finish: Callable[[], None]) -> None:
        self._task = asyncio.create_task(self._end(finish))

    def _see_to_it(self, number: int) -> None:
        """End the process if nothing else does; on a thread of its own."""
        self._over.wait(self._deadlines.process - EXIT_S)
        time.sleep(EXIT_S)
        logger.warning("The process is ended: something did not come back in time")
        logging.shutdown()
        sys.stdout.flush()
        os._exit(128 + number)

    async def _end(self, finish: Callable[[], None]) -> None:
        began, limits = time.monotonic(), self._deadlines
        logger.info(
            "Stopping: no new work is taken",
            extra={"requests": len(self._open), "jobs": any(one.running for one in self._jobs)},
        )
        try:
            for jobs in self._jobs:
                jobs.interrupt(stopping())
            if not await self._until(self._jobs_ended, began + limits.jobs):
                for jobs in self._jobs:
                    jobs.give_up()
            await self._until(self._jobs_ended, began + limits.requests - FETCH_S)
            await self._until(self._jobs_fetched, time.monotonic() + FETCH_S)
            await self._until(lambda: not self._open, began + limits.requests)
            for request in list(self._open):
                await request.give_up(stopping())
        finally:
            logger.info("Stopping: the end", extra={"s": round(time.monotonic() - began, 2)})
            self._over.set()
            finish()

    async def _until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Wait until something is done; tell whether it was in time."""
        while not done():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    def _jobs_ended(self) -> bool:
        return not any(one.running for one in self._jobs)

    def _jobs_fetched(self) -> bool:
        return not any(one.unfetched for one in self._jobs)
