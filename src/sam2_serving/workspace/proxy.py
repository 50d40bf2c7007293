"""The way to the app: `/net/<session token>/<endpoint>`, and requests sent through a task."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Coroutine, Mapping
from typing import Any

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from sam2_serving.workspace.answers import BadRequest, NotFound, answer_error
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.security import OfPage

router = APIRouter()

_SLOW_TO_PARSE = 1 << 18
"""A longer body is parsed aside: others would wait for the event loop."""
_CLIENT_GONE = 499  # nobody reads it; the number is the usual one in a log
_ENDPOINT = re.compile(r"[A-Za-z0-9_\-.]+(/[A-Za-z0-9_\-.]+)*/?")
_FROM_CLIENT = ("content-type", "accept", "x-request-id")
_FROM_APP = (
    "content-type",
    "content-length",
    "cache-control",
    "retry-after",
    "x-request-id",
    "x-accel-buffering",
)


@router.api_route("/net/{session_token}/{endpoint:path}", methods=["GET", "POST"])
async def to_app(
    session_token: str, endpoint: str, request: Request, caller: OfPage, here: Here
) -> Response:
    """Pass a request on to the app. Contract 2.1: the envelope; 8.2: what the proxy adds."""
    ours = here.settings.session_token.get_secret_value()
    if not secrets.compare_digest(session_token.encode(), ours.encode()):
        raise NotFound("There is no session with this token.")
    body = await request.body()
    if "application/json" in request.headers.get("content-type", ""):
        if len(body) > _SLOW_TO_PARSE:
            body = await run_in_threadpool(_with_caller, body, caller, here)
        else:
            body = _with_caller(body, caller, here)
    headers = {name: request.headers[name] for name in _FROM_CLIENT if name in request.headers}
    query = request.url.query
    call = call_app(here, endpoint, body, request.method, headers, query)
    return await unless_gone(request, call)


async def call_app(
    here: Workspace,
    endpoint: str,
    body: bytes,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    query: str = "",
    timeout_s: float | None = None,
) -> Response:
    """Send a request to the app and stream its answer.

    Returns:
        The app's answer; 503 when the app is not there, 504 when it is silent for too long,
        502 when it breaks off.
    """
    if endpoint and (not _ENDPOINT.fullmatch(endpoint) or ".." in endpoint):
        raise BadRequest(f"{endpoint!r} is no endpoint of the app.")
    url = f"{here.settings.app_url.rstrip('/')}/{endpoint}" + (f"?{query}" if query else "")
    silence_s = here.settings.proxy_timeout_s if timeout_s is None else timeout_s
    timeout = httpx.Timeout(silence_s, connect=5.0)
    sent = {**(headers or {}), **_key(here)}
    request = here.client.build_request(method, url, headers=sent, timeout=timeout, content=body)
    try:
        answer = await here.client.send(request, stream=True)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return answer_error(
            503, f"The app does not answer at {here.settings.app_url}. Is it started?"
        )
    except httpx.TimeoutException:
        return answer_error(504, f"The app did not answer /{endpoint} within {silence_s:g} s.")
    except httpx.TransportError as error:
        name = type(error).__name__
        return answer_error(502, f"The app broke off while answering /{endpoint} ({name}).")
    kept = {name: answer.headers[name] for name in _FROM_APP if name in answer.headers}
    return StreamingResponse(
        answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose)
    )


def _key(here: Workspace) -> dict[str, str]:
    key = here.settings.app_key
    return {} if key is None else {"x-access-key": key.get_secret_value()}


async def unless_gone(request: Request, call: Coroutine[Any, Any, Response]) -> Response:
    """Give the call up when the client goes, so that the app can drop the work."""
    work = asyncio.ensure_future(call)
    gone = asyncio.ensure_future(_gone(request))
    await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not work.done():
        work.cancel()
        return Response(status_code=_CLIENT_GONE)
    return work.result()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _with_caller(body: bytes, caller: Caller, here: Workspace) -> bytes:
    """Add who calls to an envelope; leave what is no envelope to the app, which refuses it."""
    try:
        envelope = json.loads(body)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError:
        return body
    if not isinstance(envelope, dict):
        return body
    own = {name: value for name, value in envelope.items() if value is not None}
    added = {"api_token": caller.token, "server_address": here.settings.public_address}
    return encode_json({**envelope, **added, **{name: own[name] for name in added if name in own}})


def encode_json(content: dict[str, Any]) -> bytes:
    """Encode a body in its shortest form, so that passing it on does not make it grow.

    Raises:
        BadRequest: it is nested too deeply.
    """
    compact = (",", ":")
    try:
        return json.dumps(content, ensure_ascii=False, separators=compact).encode()
    except UnicodeEncodeError:  # half a surrogate pair: the app is to judge it, as it was sent
        return json.dumps(content, separators=compact).encode()
    except RecursionError as error:
        raise _too_deep() from error


def _too_deep() -> BadRequest:
    return BadRequest("The body is nested too deeply.")
