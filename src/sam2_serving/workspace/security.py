"""Who may ask: API tokens, and a browser page of this machine."""

from __future__ import annotations

import secrets
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response

from sam2_serving.workspace.answers import Forbidden, Unauthorized
from sam2_serving.workspace.context import OWNER, Caller, Here, Workspace
from sam2_serving.workspace.settings import WorkspaceSettings

_OWN_NAMES = {"127.0.0.1", "localhost", "::1"}


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

    A token comes in the header `x-api-key` or in the cookie that `signed_in` sets. Without one, a
    page is the owner's when it was opened on this machine (what `Host` says of that is nothing:
    anyone can write it) and under one of the workspace's own names (a foreign site whose name was
    made to point to this machine sends its own name in `Host`).
    """
    if "x-api-key" in request.headers:
        return caller_by_token(request, workspace)
    kept = request.cookies.get(_cookie_name(workspace.settings))
    caller = known_caller(workspace, unquote(kept)) if kept else None
    if caller is not None:
        return caller
    if not _from_this_machine(request):
        raise Forbidden("From another machine, open the page once as /?token=TOKEN.")
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if host not in own_names(workspace.settings):
        raise Forbidden(f"The workspace is not reached under the name {host!r}.")
    return Caller(OWNER, workspace.settings.token.get_secret_value())


def signed_in(workspace: Workspace, token: str) -> Response:
    """Let a browser keep a token, out of reach of scripts and other sites; then show the page.

    Raises:
        Unauthorized: nobody has this token.
    """
    if known_caller(workspace, token) is None:
        raise Unauthorized("The address holds no known token.")
    # The token must not stay in the address bar and the history.
    answer = RedirectResponse("/", 303, {"Cache-Control": "no-store"})
    name = _cookie_name(workspace.settings)
    answer.set_cookie(name, quote(token, safe=""), httponly=True, samesite="strict")
    return answer


def own_names(settings: WorkspaceSettings) -> set[str]:
    """Return the host names under which the page may be opened."""
    return _OWN_NAMES | {settings.host.lower()} | {name.lower() for name in settings.allowed_hosts}


def _cookie_name(settings: WorkspaceSettings) -> str:
    # Browsers keep one jar for all ports of a machine.
    return f"sam2-workspace-{settings.port}"


def _from_this_machine(request: Request) -> bool:
    if request.client is None:
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


ByToken = Annotated[Caller, Depends(caller_by_token)]
"""Annotation of the caller of an API route."""

OfPage = Annotated[Caller, Depends(caller_of_page)]
"""Annotation of the caller of a page route."""
