"""What every request passes before a route sees it."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sam2_serving.workspace.answers import Forbidden, Refusal, TooLarge, answer_error
from sam2_serving.workspace.context import workspace_of
from sam2_serving.workspace.counter import API_PREFIX
from sam2_serving.workspace.security import caller_by_token, caller_of_page
from sam2_serving.workspace.settings import WorkspaceSettings

_SAFE_METHODS = {"GET", "HEAD"}
_FOR_ANYBODY = {f"{API_PREFIX}instance.version"}
_UPLOADS = {
    f"{API_PREFIX}file-storage.bulk.upload",
    "/workspace/api/imports",
    "/workspace/api/imports/annotated",
}
_PAGE_ROUTES = ("/workspace/", "/net/")
_PAGE_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
        b"base-uri 'none'; form-action 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Guard:
    """ASGI middleware: refuses other sites, strangers and huge bodies; sets the page's headers.

    A body is read only after its sender is known: the routes' own dependencies come too late for
    that, FastAPI runs them when the body is in memory.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request by its headers, and count its body as it comes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_PAGE_HEADERS]
            await send(message)

        request = Request(scope)
        try:
            await _check(request)
            limited = _limited(request, receive)
        except Refusal as refusal:
            answer = answer_error(refusal.status_code, str(refusal.detail))
            await answer(scope, receive, send_with_headers)
            return
        await self.app(scope, limited, send_with_headers)


async def _check(request: Request) -> None:
    if _from_another_site(request):
        raise Forbidden("Requests from other sites are refused.")
    if request.method in _SAFE_METHODS:
        return
    here, path = workspace_of(request), request.url.path
    if path.startswith(API_PREFIX) and path not in _FOR_ANYBODY:
        await run_in_threadpool(caller_by_token, request, here)
    elif path.startswith(_PAGE_ROUTES):
        await run_in_threadpool(caller_of_page, request, here)


def _from_another_site(request: Request) -> bool:
    headers = request.headers
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        # A link to the page itself may stand anywhere.
        opened = request.method in _SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate"
        return not (opened and request.url.path == "/")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _limited(request: Request, receive: Receive) -> Receive:
    """Return `receive` for a body that must not grow beyond what its route takes.

    Raises:
        TooLarge: at once when its header says so, later when the bytes are there (a body that
            comes in chunks tells no length).
    """
    limit_mb = _limit_mb(request, workspace_of(request).settings)
    limit, received = limit_mb << 20, 0
    told = request.headers.get("content-length", "")
    too_large = TooLarge(f"A body has at most {limit_mb} MiB here.")
    if told.isdecimal() and int(told) > limit:
        raise too_large

    async def receive_counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise too_large
        return message

    return receive_counted


def _limit_mb(request: Request, settings: WorkspaceSettings) -> int:
    return settings.max_upload_mb if request.url.path in _UPLOADS else settings.max_request_mb
