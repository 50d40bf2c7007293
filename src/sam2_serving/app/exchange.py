"""One request and its answer, as the guard sees them."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.responses import JSONResponse
from supervisely import env as sly_env
from supervisely.sly_logger import logger

from sam2_serving.app import redaction, telemetry, tracing
from sam2_serving.app.reporting import (
    REQUEST_ID_HEADER,
    AppError,
    error_response,
    smart_tool_error_body,
)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SMART_TOOL = "/smart_segmentation"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset(
    {"/livez", "/readyz", "/is_alive", "/is_ready", "/is_running", "/health", "/metrics"}
)


class Exchange:
    """One request and its answer: the id, the header that carries it, the line in the log."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.answered = False
        self.tokens: tuple[str, ...] = ()
        self._send = send
        self._started = time.perf_counter()
        self._status = 0
        wanted = self.header(REQUEST_ID_HEADER.lower()) or ""
        sane = _SANE_REQUEST_ID.fullmatch(wanted) is not None
        self.request_id = wanted if sane else str(uuid.uuid4())
        self.path = plain_path(str(scope["path"]))
        self.state: dict[str, Any] = scope.setdefault("state", {})
        self.state |= {"request_id": self.request_id, "log_fields": {}}

    def header(self, name: str) -> str | None:
        """Return a header of the request, by its name in lower case."""
        for key, value in self.scope["headers"]:
            if key == name.encode():
                return str(value.decode("latin-1"))
        return None

    @property
    def is_json(self) -> bool:
        """Tell whether the body says that it is JSON."""
        return "application/json" in (self.header("content-type") or "").lower()

    @property
    def is_api_call(self) -> bool:
        """The routes for clients have one path segment; widgets of the Serve page have two."""
        return self.scope["method"] == "POST" and self.path.count("/") == 1

    async def send(self, message: Message) -> None:
        """Send a part of the answer, its id among the headers."""
        if message["type"] == "http.response.start":
            self.answered = True
            self._status = message["status"]
            header = (REQUEST_ID_HEADER.lower().encode(), self.request_id.encode())
            message["headers"] = [*message.get("headers", ()), header]
        await self._send(message)

    async def give_up(self, refusal: AppError) -> None:
        """Answer with an error, unless the answer has begun; what comes later goes nowhere."""
        if not self.answered:
            await self.refuse(refusal, _hears_nothing)
            self._send = _goes_nowhere

    async def answer(self, response: JSONResponse, receive: Receive) -> None:
        """Send a whole answer."""
        await response(self.scope, receive, self.send)

    async def refuse(self, refusal: AppError, receive: Receive) -> None:
        """Answer with an error, in the shape of the route."""
        self.state["log_fields"] |= {"error": str(refusal), "kind": type(refusal).__name__}
        if self.path == SMART_TOOL:
            response = error_response(refusal, self.request_id, smart_tool_error_body)
        else:
            response = error_response(refusal, self.request_id)
        await self.answer(response, receive)

    def replay(
        self, body: bytes, receive: Receive, content_type: bytes | None = b"application/json"
    ) -> Receive:
        """Give the app behind a body of ours, then whatever the client does next."""
        redaction.request_tokens.set(self.tokens)
        replaced = (b"content-type", b"content-length", b"transfer-encoding", b"content-encoding")
        kept = [pair for pair in self.scope["headers"] if pair[0] not in replaced]
        own = [(b"content-length", b"%d" % len(body))]
        own += [] if content_type is None else [(b"content-type", content_type)]
        self.scope["headers"] = kept + own
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            return pending.pop() if pending else await receive()

        return replayed

    def begin(self, route: str) -> None:
        """From now on the program works in the name of this request."""
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in self.scope["headers"]
        }
        trace_id, self._end_span = tracing.begin(
            self.scope["method"], route, self.request_id, headers
        )
        self._route = route
        self._record = telemetry.Record(self.request_id, trace_id)
        self._outside = telemetry.current.set(self._record)
        telemetry.requests_in_progress.inc()

    def end(self) -> None:
        """Write the request's line and count it."""
        seconds = time.perf_counter() - self._started
        self._log(seconds)
        kind = self.state["log_fields"].get("kind")
        telemetry.answered(self._route, self._status, seconds, kind)
        self._end_span(self._status)
        telemetry.current.reset(self._outside)

    def _log(self, seconds: float) -> None:
        if self.path in _QUIET:
            return
        fields = self.state["log_fields"] | {
            "request_id": self.request_id,
            "method": self.scope["method"],
            "path": ascii(self.path)[1:-1][:200],
            "status": self._status,
            "ms": round(seconds * 1000, 1),
        }
        stages = {name: round(ms, 1) for name, ms in self._record.stages_ms.items()}
        if stages:
            fields["stages_ms"] = stages
        logger.info("Request answered", extra=fields)


async def _goes_nowhere(_: Message) -> None:
    """Take what is sent after the end."""


async def _hears_nothing() -> Message:
    return {"type": "http.disconnect"}


def plain_path(path: str) -> str:
    """Return the path without the platform's prefix, doubled and trailing slashes."""
    prefix = (sly_env.supervisely_server_path_prefix() or "").strip("/")
    segments = [segment for segment in path.split("/") if segment]
    lead = [segment for segment in prefix.split("/") if segment]
    if lead and segments[: len(lead)] == lead:
        segments = segments[len(lead) :]
    return "/" + "/".join(segments)
