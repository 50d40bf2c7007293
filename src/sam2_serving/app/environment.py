"""What the platform's environment says, and what the SDK misses where there is none."""

from __future__ import annotations

import os
from pathlib import Path

from supervisely import env as sly_env

from sam2_serving.app.addresses import normal_address
from sam2_serving.app.platform.api import Caller


def configured_server() -> str | None:
    """Return the address of the platform that the app belongs to, if it belongs to one."""
    address: str | None = sly_env.server_address(raise_not_found=False)
    return address or None


def has_serve_page() -> bool:
    """Tell whether everything that the SDK's Serve page needs is in the environment."""
    return (
        configured_server() is not None
        and sly_env.api_token(raise_not_found=False) is not None
        and sly_env.team_id(raise_not_found=False) is not None
    )


def owner() -> Caller | None:
    """Return the app's owner, whose rights count for what the owner starts; never for requests."""
    server = configured_server()
    token = sly_env.api_token(raise_not_found=False)
    return Caller(normal_address(server), token) if server and token else None


def team_id() -> int | None:
    """Return the team that the app belongs to."""
    team: int | None = sly_env.team_id(raise_not_found=False)
    return team


def complete(data_dir: Path) -> None:
    """Give the SDK folders of ours where the platform gave it none."""
    os.environ.setdefault("SMART_CACHE_CONTAINER_DIR", str(data_dir / "smart_cache"))
    if sly_env.task_id(raise_not_found=False) is None:
        os.environ.setdefault("SLY_APP_DATA_DIR", str(data_dir / "app"))
