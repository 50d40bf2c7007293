"""The owner's switch for faults on purpose."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from sam2_serving.workspace.answers import BadRequest, Forbidden
from sam2_serving.workspace.context import OWNER, Here
from sam2_serving.workspace.faults import FaultPlan
from sam2_serving.workspace.security import OfPage


def _owner_who_may(caller: OfPage, here: Here) -> None:
    if caller.login != OWNER:
        raise Forbidden("Only the owner lets calls fail.")
    if not here.settings.faults:
        raise Forbidden("Start the workspace with SAM2_SERVING_WORKSPACE_FAULTS=1 to do this.")


router = APIRouter(prefix="/workspace/faults", dependencies=[Depends(_owner_who_may)])


@router.get("")
def read_faults(here: Here) -> dict[str, Any]:
    """Return the plan, the number of calls that it was about, and faults by way."""
    return here.faults.read()


@router.put("")
def begin_faults(body: FaultPlan, here: Here) -> dict[str, Any]:
    """Let calls fail from now on."""
    for route in body.routes or []:
        if route not in here.counts.routes:
            raise BadRequest(f"routes: there is no route {route!r}.")
    here.faults.begin(body)
    return here.faults.read()


@router.delete("")
def end_faults(here: Here) -> dict[str, Any]:
    """Let no more calls fail."""
    here.faults.end()
    return here.faults.read()
