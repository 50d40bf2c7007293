"""The page's own API: the session, members, counts."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field, SecretStr

from sam2_serving.workspace.answers import Forbidden, NotFound
from sam2_serving.workspace.api.strict import Strict
from sam2_serving.workspace.browser_classes import router as classes_router
from sam2_serving.workspace.context import OWNER, Caller, Here
from sam2_serving.workspace.security import OfPage, caller_of_page

router = APIRouter(prefix="/workspace", dependencies=[Depends(caller_of_page)])
router.include_router(classes_router)


class NewMember(Strict):
    """Someone who gets a token of their own."""

    login: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]
    token: SecretStr | None = Field(None, min_length=8)
    dataset_ids: list[int] | None = None


@router.get("/requests")
def read_requests(here: Here) -> dict[str, int]:
    """Say how often each API route was called since the start or the last reset."""
    return here.counts.read()


@router.delete("/requests")
def reset_requests(here: Here) -> dict[str, bool]:
    """Count from zero again."""
    here.counts.reset()
    return {"success": True}


@router.get("/api/session")
def session(caller: OfPage, here: Here) -> dict[str, Any]:
    """Tell the page how to reach the app, and what it works on."""
    return {
        "session_token": here.settings.session_token.get_secret_value(),
        "app_url": here.settings.app_url,
        "project": here.store.project().name,
        "login": caller.login,
    }


@router.get("/api/revision")
def revision(here: Here) -> dict[str, str]:
    """Tell a page whether anything was changed since it last asked: then the text is another."""
    return {"revision": here.store.revision}


@router.put("/api/members")
def put_member(body: NewMember, caller: OfPage, here: Here) -> dict[str, Any]:
    """Give someone a token, limited to some datasets or not; the only time it is shown."""
    _only_owner(caller)
    for dataset_id in body.dataset_ids or []:
        here.dataset(caller, dataset_id)
    token = body.token.get_secret_value() if body.token else secrets.token_urlsafe(24)
    here.store.put_member(body.login, token, body.dataset_ids)
    return {"login": body.login, "token": token, "dataset_ids": body.dataset_ids}


@router.delete("/api/members/{login}")
def remove_member(login: str, caller: OfPage, here: Here) -> dict[str, bool]:
    """Revoke someone's token."""
    _only_owner(caller)
    if not here.store.remove_member(login):
        raise NotFound(f"There is no member {login!r}.")
    return {"success": True}


def _only_owner(caller: Caller) -> None:
    if caller.login != OWNER:
        raise Forbidden("Only the owner gives and revokes tokens.")
