"""Counts requests by route, so that a test can ask how often something was fetched."""

from __future__ import annotations

import threading
from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send

API_PREFIX = "/public/api/v3/"


class RequestCounts:
    """How often each API route was called since the start or the last reset."""

    def __init__(self) -> None:
        self.routes: frozenset[str] = frozenset()
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, route: str) -> None:
        """Count a call; routes that do not exist share one entry."""
        with self._lock:
            self._counts[route if route in self.routes else "unknown"] += 1

    def read(self) -> dict[str, int]:
        """Return the counts by route."""
        with self._lock:
            return dict(self._counts)

    def reset(self) -> None:
        """Forget all counts."""
        with self._lock:
            self._counts.clear()


class RequestCounter:
    """ASGI middleware that counts the API routes that exist."""

    def __init__(self, app: ASGIApp, counts: RequestCounts) -> None:
        self.app = app
        self.counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count one request, then pass it on."""
        if scope["type"] == "http" and scope["path"].startswith(API_PREFIX):
            self.counts.add(scope["path"].removeprefix(API_PREFIX))
        await self.app(scope, receive, send)
