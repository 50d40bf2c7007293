"""Who may ask: API tokens, and a browser page of this machine."""

from __future__ import annotations

import secrets
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sam2_serving.workspace.answers import Forbidden, Unauthorized, answer_error
from sam2_serving.workspace.context import OWNER, Caller, Here, Workspace
from sam2_serving.workspace.settings import WorkspaceSettings

_OWN_NAMES = {"127.0.0.1", "localhost", "::1"}
_SAFE_METHODS = {"GET", "HEAD"}
_PAGE_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
        b"base-uri 'none'; form-action 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


def known_caller(workspace: Workspace, token: str) -> Caller | None:
    """Return who has this API token."""
    owner_token = workspace.settings.token.get_secret_value()
    if secrets.compare_digest(token.encode(), owner_token.encode()):
        return Caller(OWNER, token)
    member = workspace.store.member(token)
    if member is None:
        return None
    rights = None if member.dataset_ids is None else frozenset(member.dataset_ids)
    return Caller(member.login, token, rights)


def caller_by_token(request: Request, workspace: Here) -> Caller:
    """Return the caller of an API route, who must send a known `x-api-key`."""
    token = request.headers.get("x-api-key", "")
    caller = known_caller(workspace, token) if token else None
    if caller is None:
        raise Unauthorized(
            "The header x-api-key holds no known token." if token else "Send the header x-api-key."
        )
    return caller


def caller_of_page(request: Request, workspace: Here) -> Caller:
    """Return the caller of a page route: a known token, or the page on this machine.

    A page is the owner's when it was opened under one of the workspace's own names: a foreign
    site whose name was made to point to this machine sends its own name in `Host`.
    """
    if "x-api-key" in request.headers:
        return caller_by_token(request, workspace)
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if host not in own_names(workspace.settings):
        raise Forbidden(f"The workspace is not reached under the name {host!r}.")
    return Caller(OWNER, workspace.settings.token.get_secret_value())


def own_names(settings: WorkspaceSettings) -> set[str]:
    """Return the host names under which the page may be opened."""
    return _OWN_NAMES | {settings.host.lower()} | {name.lower() for name in settings.allowed_hosts}


ByToken = Annotated[Caller, Depends(caller_by_token)]
"""Annotation of the caller of an API route."""

OfPage = Annotated[Caller, Depends(caller_of_page)]
"""Annotation of the caller of a page route."""


class BrowserGuard:
    """ASGI middleware: refuses what other sites send, and huge JSON bodies; sets page headers."""

    def __init__(self, app: ASGIApp, max_json_bytes: int) -> None:
        self.app = app
        self.max_json_bytes = max_json_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request by its headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if scope["method"] not in _SAFE_METHODS and _from_another_site(headers):
            refusal = answer_error(403, "Requests from other sites are refused.")
            await refusal(scope, receive, send)
            return
        if _is_json(headers) and _length(headers) > self.max_json_bytes:
            refusal = answer_error(413, f"A JSON body has at most {self.max_json_bytes} bytes.")
            await refusal(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_PAGE_HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _from_another_site(headers: dict[str, str]) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _is_json(headers: dict[str, str]) -> bool:
    return "multipart/form-data" not in headers.get("content-type", "")


def _length(headers: dict[str, str]) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0
