"""The instance itself: the one route that needs no token."""

from __future__ import annotations

from fastapi import APIRouter

from sam2_serving.workspace.api.strict import Strict

router = APIRouter()

INSTANCE_VERSION = "6.16.0"


class InstanceVersion(Strict):
    """Contract 8, instance.version."""


@router.post("/instance.version")
def instance_version(_body: InstanceVersion) -> dict[str, str]:
    """Say which platform version this stands for; clients ask it after a failed request."""
    return {"version": INSTANCE_VERSION}
