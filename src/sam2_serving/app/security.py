"""The guard that stands before the platform SDK's server and everything behind it.

The SDK's middleware crashes on `null` contexts, merges the state of any request into the state of
the Serve page, calls whatever `server_address` a body names, and its server gives away the owner's
token and can be shut down by anyone (contract, sections 2.1 and 7.2 S11, S12). It is wrapped, not
patched: what reaches it is in a form that it can handle.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Container
from typing import Any

import anyio.to_thread
from fastapi.responses import JSONResponse
from supervisely import env as sly_env
from supervisely import is_production
from supervisely.sly_logger import logger

from sam2_serving.app import logs, redaction
from sam2_serving.app.access import AccessKey
from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.bodies import dump_json, parse_json
from sam2_serving.app.exchange import SMART_TOOL, Exchange, Message, Receive, Scope, Send
from sam2_serving.app.origins import comes_from_elsewhere
from sam2_serving.app.reporting import (
    AppError,
    BadRequest,
    MediaNotFound,
    MediaTooLarge,
    NotServedYet,
    PermissionDenied,
    Unexpected,
    UnsupportedMediaType,
)
from sam2_serving.app.shutdown import Shutdown

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_CLOSED = frozenset({"/debug"})
_CLOSED_OUTSIDE_THE_PLATFORM = frozenset({"/sly/shutdown"})
_SESSION_INFO = "/sly/session-info"
_LARGE_BODIES = frozenset(
    {
        SMART_TOOL,
        "/smart_segmentation_batch",
        "/smart_segmentation_batched",
        "/track_async",
        "/track_stream",
        "/track-api",
        "/inference_image_id",
        "/inference_image_id_async",
        "/inference_batch_ids",
        "/inference_batch_ids_async",
        "/inference_image_url",
        "/inference_video_id",
        "/inference_video_id_async",
        "/inference_project_id_async",
    }
)
"""Routes whose JSON may hold a mask."""
_FORMS = frozenset(
    {
        "/track-api-files",
        "/inference_image",
        "/inference_batch",
        "/inference_batch_async",
        "/inference_boxes_file",
        "/inference_video_async",
    }
)
"""Routes that take files."""
_MAX_SMALL_BODY = 2 * 2**20
_LONG_TO_PARSE = 256 * 2**10
"""Larger bodies are parsed beside the event loop."""

NOT_SERVED_YET = frozenset(
    {
        "/tracking_by_detection",
        "/run_speedtest",
        "/smart_cache_files",
    }
)
"""Routes of the SDK that would crash, hang or write outside their folder with this model."""


class Guard:
    """Outermost ASGI layer of the app."""

    def __init__(
        self,
        app: ASGIApp,
        servers: ServerPolicy,
        max_request_bytes: int,
        page_paths: Callable[[], Container[str]] = frozenset,
        clicks: ASGIApp | None = None,
        route_of: Callable[[str], str] = lambda _: "other",
        log_format: logs.LogFormat = "sdk",
        shutdown: Shutdown | None = None,
        access: AccessKey | None = None,
    ) -> None:
        """Stand before `app`.

        Args:
            app: the SDK's application.
            servers: which platform addresses a request may name.
            max_request_bytes: a larger body is refused, whatever it says about its length.
            page_paths: gives the routes of the Serve page: only these may change its state.
            clicks: answers the Smart Tool instead of `app`, on its plain path: the SDK's
                middleware makes an API object and several tasks for each request, while a person
                waits for a mask.
            route_of: names a path's route for metrics and traces.
            log_format: see `logs`.
            shutdown: what ends the process; its signal handlers are installed with the first scope.
            access: what callers must bring.
        """
        self._access = access or AccessKey(None)
        self._shutdown = shutdown or Shutdown()
        self._route_of = route_of
        self._log_format = log_format
        self._clicks = clicks
        self._page_paths = page_paths
        self._app = app
        self._servers = servers
        self._max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket" and self._is_stranger(scope):
            await _refuse_websocket(receive, send)
            return
        if scope["type"] != "http":
            # The server has set up its own log handlers by the time it starts a lifespan.
            logs.install(self._log_format)
            if scope["type"] == "lifespan":
                self._shutdown.install()
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        tokens = redaction.request_tokens.set(())
        exchange.begin(self._route_of(exchange.path))
        try:
            with self._shutdown.answering(exchange):
                await self._answer(exchange, receive)
        except AppError as refusal:
            await exchange.refuse(refusal, receive)
        except Exception as error:
            if exchange.answered:
                raise
            logger.error("Unexpected error", exc_info=error)
            await exchange.refuse(Unexpected("Something went wrong inside the app."), receive)
        finally:
            exchange.end()
            redaction.request_tokens.reset(tokens)

    async def _answer(self, exchange: Exchange, receive: Receive) -> None:
        late = self._shutdown.answer_to(exchange.path)
        if late is not None:
            await exchange.answer(late, receive)
            return
        guarded_receive = await self._admit(exchange, receive)
        if guarded_receive is None:
            return
        scope = exchange.scope
        if self._clicks is not None and exchange.path == SMART_TOOL:
            # unlike the SDK's application, it does not know the platform's prefix
            await self._clicks({**scope, "path": SMART_TOOL}, guarded_receive, exchange.send)
        else:
            await self._app(scope, guarded_receive, exchange.send)

    async def _admit(self, exchange: Exchange, receive: Receive) -> Receive | None:
        """Return the `receive` for the app behind, or None if the request is answered already."""
        path = exchange.path
        self._access.check(path, exchange.scope["headers"])
        if not is_production():
            self._access.warn_if_open(_listens_on(exchange.scope))
        if path in _CLOSED or (path in _CLOSED_OUTSIDE_THE_PLATFORM and not is_production()):
            raise MediaNotFound("There is nothing here.")
        if path == _SESSION_INFO:
            await exchange.answer(JSONResponse(_session_info()), receive)
            return None
        if path in NOT_SERVED_YET:
            raise NotServedYet(f"Not supported yet: {path} is not answered by this app.")
        if _comes_from_elsewhere(exchange.scope):
            raise PermissionDenied(
                "Pages of other sites, and other names for this machine, may not call this app."
            )
        limit = self._limit(exchange)
        _check_stated_length(exchange, limit)
        if exchange.scope["method"] not in ("POST", "PUT", "PATCH"):
            # the SDK would read and use a body whatever the method
            return exchange.replay(b"", receive, content_type=None)
        is_call = exchange.is_api_call and exchange.path not in _FORMS
        if not exchange.is_json and not is_call:
            return _Counted(receive, limit)
        body = await _read(receive, limit)
        if not exchange.is_json and body:
            raise UnsupportedMediaType("Send the request as JSON, with that content type.")

        def rewrite() -> bytes:
            return dump_json(self._normalise(exchange, parse_json(body) if body else {}))

        if len(body) < _LONG_TO_PARSE:
            return exchange.replay(rewrite(), receive)
        return exchange.replay(await anyio.to_thread.run_sync(rewrite), receive)

    def _is_stranger(self, scope: Scope) -> bool:
        """Tell whether a websocket comes from another site, or without the access key."""
        try:
            self._access.check(str(scope["path"]), scope["headers"])
        except AppError:
            return True
        return _comes_from_elsewhere(scope)

    def _limit(self, exchange: Exchange) -> int:
        if exchange.is_json and exchange.path not in _LARGE_BODIES:
            return min(_MAX_SMALL_BODY, self._max_request_bytes)
        return self._max_request_bytes

    def _normalise(self, exchange: Exchange, content: Any) -> dict[str, Any]:
        """Bring a JSON body into the form that the SDK's middleware can take."""
        if not isinstance(content, dict):
            raise BadRequest("The body must be a JSON object.")
        for part in ("context", "state"):
            if content.get(part) is None:
                content[part] = {}
            if not isinstance(content[part], dict):
                raise BadRequest(f"The body's {part!r} must be an object.")
        exchange.tokens = redaction.tokens_in(content)
        for holder in (content, content["context"], content["state"]):
            self._servers.check(holder.get("server_address"))
            _check_token(holder, "api_token")
            _check_token(holder, "apiToken")
            if holder.get("server_address", "") is None:
                del holder["server_address"]
        if not self._is_of_the_page(exchange.path):
            # Without this the SDK merges `state` into the state of the Serve page.
            content["context"]["outside_request"] = True
        return content

    def _is_of_the_page(self, path: str) -> bool:
        # widgets' routes have two segments: for the others, most of all clicks, none is looked up
        return path.startswith("/sly/") or (path.count("/") == 2 and path in self._page_paths())


def _comes_from_elsewhere(scope: Scope) -> bool:
    if is_production():
        return False  # behind the platform's proxy the host is another one
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    return comes_from_elsewhere(headers, _listens_on(scope))


def _listens_on(scope: Scope) -> str | None:
    server = scope.get("server")
    return server[0] if server else None


async def _refuse_websocket(receive: Receive, send: Send) -> None:
    await receive()
    # Before it is accepted, a close is answered to the browser as a 403.
    await send({"type": "websocket.close", "code": 1008, "reason": "Not for other sites."})


class _Counted:
    """A `receive` that stops when more bytes came than are allowed."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._count = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        if self._count > self._limit:
            raise _too_large(self._limit)
        return message


async def _read(receive: Receive, limit: int) -> bytes:
    counted, chunks = _Counted(receive, limit), []
    while True:
        message = await counted()
        if message["type"] == "http.disconnect":
            raise BadRequest("The connection was closed before the whole body came.")
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _check_stated_length(exchange: Exchange, limit: int) -> None:
    stated = exchange.header("content-length")
    if stated is not None and stated.isdecimal() and int(stated) > limit:
        raise _too_large(limit)


def _check_token(holder: dict[str, Any], name: str) -> None:
    token = holder.get(name)
    if token is None:
        return
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,1024}", token):
        raise BadRequest(f"The request's {name!r} must be a token: plain text without spaces.")


def _too_large(limit: int) -> AppError:
    return MediaTooLarge(
        f"The request is larger than {limit / 2**20:.0f} MiB "
        "(server setting SAM2_SERVING_MAX_REQUEST_MB)."
    )


def _session_info() -> dict[str, str | None]:
    """What the Serve page asks for at its start; the SDK adds the owner's token, we do not."""
    address = "/" if is_production() else sly_env.server_address(raise_not_found=False)
    task_id = sly_env.task_id(raise_not_found=False)
    return {
        "TASK_ID": None if task_id is None else str(task_id),
        "SERVER_ADDRESS": address,
        "API_TOKEN": None,
    }
