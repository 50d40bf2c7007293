"""Run blocking work of requests off the event loop, and give it up when the client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread
from fastapi import Request

from sam2_serving.app.reporting import Overloaded
from sam2_serving.engine import CancelToken

Result = TypeVar("Result")

THREADS_OF_ONE_CLIENT = 16
"""What hangs for one client must leave threads for the others."""
THREADS = 64
"""Requests that may wait for the platform or the engine at once.

They have a limiter of their own: the server's common pool of 40 threads also serves short calls,
which a platform that hangs must not keep waiting.
"""


class Workers:
    """Threads for blocking work of requests."""

    def __init__(
        self, waiting_limit: int, threads: int = THREADS, share: int = THREADS_OF_ONE_CLIENT
    ) -> None:
        """Make a limiter.

        Args:
            waiting_limit: requests that may wait for a thread; more are refused.
            threads: requests that may be worked on at once.
            share: how many of them may be one client's.
        """
        self._limiter = anyio.CapacityLimiter(threads)
        self._waiting_limit = waiting_limit
        self._share = share
        # a share lives as long as one of its client's requests holds it
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._waiting_for_share = 0

    async def run(
        self, request: Request, work: Callable[[CancelToken], Result], client: str = ""
    ) -> Result:
        """Run `work` in a thread; its token is cancelled when the client closes the connection.

        Args:
            request: whose connection is watched.
            work: blocks.
            client: who asks.

        Raises:
            Overloaded: too many requests wait already.
            Exception: whatever `work` raises.
        """
        waiting = self._waiting_for_share + self._limiter.statistics().tasks_waiting
        if waiting >= self._waiting_limit:
            refusal = Overloaded("The server is busy: try again in a moment.")
            refusal.retry_after_s = 1.0
            raise refusal
        cancel = CancelToken()
        watcher = asyncio.create_task(_cancel_on_disconnect(request, cancel))
        share = self._shares.setdefault(client, asyncio.Semaphore(self._share))
        try:
            self._waiting_for_share += 1
            try:
                await share.acquire()
            finally:
                self._waiting_for_share -= 1
            try:
                return await anyio.to_thread.run_sync(lambda: work(cancel), limiter=self._limiter)
            finally:
                share.release()
        finally:
            watcher.cancel()


async def _cancel_on_disconnect(request: Request, cancel: CancelToken) -> None:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            cancel.cancel()
            return
