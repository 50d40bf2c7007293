"""Faults on purpose: some answers of the platform's API fail, so that a client can be tested."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import Field
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sam2_serving.workspace.answers import answer_error
from sam2_serving.workspace.api.strict import Strict
from sam2_serving.workspace.counter import API_PREFIX

Way = Literal["error", "hang", "slow", "reset", "broken", "stored_then_broken"]

_KEPT_BYTES = 1 << 16
"""So much of an answer is kept to be cut."""


class FaultPlan(Strict):
    """Which calls fail, how often and how.

    Attributes:
        routes: names of API routes; None: all.
        share: of the calls, 0 to 1.
        ways: one of these is drawn for each call that fails.
        seed: each route draws from its own sequence, so that a run can be repeated although
            calls of different routes overtake each other.
        hang_s: seconds after which a hanging connection is closed.
        slow_s: seconds by which a slow answer comes late.
    """

    routes: list[str] | None = Field(None, min_length=1)
    share: float = Field(ge=0.0, le=1.0)
    ways: list[Way] = Field(min_length=1)
    seed: int = 0
    hang_s: float = Field(3.0, ge=0.0, le=600.0)
    slow_s: float = Field(0.5, ge=0.0, le=600.0)


@dataclass(frozen=True)
class Fault:
    """What is to happen to one call.

    Attributes:
        way: see docs/workspace.md.
        seconds: for `hang` and `slow`.
        closes: for `stored_then_broken`: close the connection rather than cut the body.
    """

    way: Way
    seconds: float
    closes: bool


class Faults:
    """The plan of now, and what came of it. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plan: FaultPlan | None = None
        self._draws: dict[str, random.Random] = {}
        self._calls = 0
        self._counts: Counter[str] = Counter()

    def begin(self, plan: FaultPlan) -> None:
        """Follow a plan from now on, and count from zero."""
        with self._lock:
            self._plan, self._calls = plan, 0
            self._draws.clear()
            self._counts.clear()

    def end(self) -> None:
        """Follow no plan; the counts stay."""
        with self._lock:
            self._plan = None

    def read(self) -> dict[str, Any]:
        """Return the plan, the number of calls that it was about, and faults by way."""
        with self._lock:
            plan = self._plan.model_dump() if self._plan else None
            return {"plan": plan, "calls": self._calls, "counts": dict(self._counts)}

    def draw(self, route: str) -> Fault | None:
        """Decide about a call."""
        with self._lock:
            plan = self._plan
            if plan is None or not (plan.routes is None or route in plan.routes):
                return None
            self._calls += 1
            draws = self._draws.setdefault(route, random.Random(f"{plan.seed} {route}"))
            # All three every time: a call's fate depends on its number only.
            hit, way, closes = draws.random(), draws.choice(plan.ways), draws.random() < 0.5
            if hit >= plan.share:
                return None
            self._counts[way] += 1
            return Fault(way, plan.hang_s if way == "hang" else plan.slow_s, closes)


class FaultInjector:
    """ASGI middleware in front of the platform's API. Needs uvicorn: see `_hang_up`."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self.app = app
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through, or let it fail."""
        fault = None
        if scope["type"] == "http" and scope["path"].startswith(API_PREFIX):
            fault = self.faults.draw(scope["path"].removeprefix(API_PREFIX))
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.way == "slow":
            await self.app(scope, receive, _late(send, fault.seconds))
        elif fault.way == "stored_then_broken":
            await self._store_then_break(fault, scope, receive, send)
        elif fault.way == "error":
            await answer_error(500, "A fault on purpose.")(scope, receive, send)
        elif fault.way == "broken":
            await _json(b'[{"id": ')(scope, receive, send)
        else:
            await _hang_up(receive, fault.seconds if fault.way == "hang" else 0.0)

    async def _store_then_break(
        self, fault: Fault, scope: Scope, receive: Receive, send: Send
    ) -> None:
        heard: list[Message] = []
        kept = bytearray()

        async def hear(message: Message) -> None:
            if message["type"] == "http.response.start":
                heard.append(message)
            elif len(kept) < _KEPT_BYTES:
                kept.extend(message.get("body", b""))

        await self.app(scope, receive, hear)
        if heard[0]["status"] >= 400:
            # Nothing was done: what the client is told is true.
            await send(heard[0])
            await send({"type": "http.response.body", "body": bytes(kept)})
        elif fault.closes:
            await _hang_up(receive, 0.0)
        else:
            await _json(bytes(kept[: len(kept) // 2]))(scope, receive, send)


def _late(send: Send, seconds: float) -> Send:
    async def send_late(message: Message) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(seconds)
        await send(message)

    return send_late


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


async def _hang_up(receive: Receive, seconds: float) -> None:
    """Close the connection without an answer after some seconds, or when the client goes.

    No message of ASGI does that: uvicorn's own object behind `receive` holds the connection.
    """
    gone = asyncio.ensure_future(_until_gone(receive))
    await asyncio.wait({gone}, timeout=seconds)
    cast(Any, receive).__self__.transport.abort()
    # Until uvicorn knows: it would answer 500 for a call that returns without an answer.
    await gone


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
