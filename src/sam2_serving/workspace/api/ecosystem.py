"""What a client asks before it deploys: where it is, who could run the app, which app it is."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.strict import Listed, Strict, select_page
from sam2_serving.workspace.context import Here
from sam2_serving.workspace.security import caller_by_token
from sam2_serving.workspace.settings import TEAM_ID, WORKSPACE_ID
from sam2_serving.workspace.tables import now

router = APIRouter(dependencies=[Depends(caller_by_token)])

MODULE_ID = 1
MODULE_NAME = "Serve Segment Anything 2.1"
AGENT_ID = 1

_STARTED = now()
_TIMES = {"createdAt": _STARTED, "updatedAt": _STARTED}
_MODULE: dict[str, Any] = {
    "id": MODULE_ID,
    "slug": "local/serve-segment-anything-2.1",
    "name": MODULE_NAME,
    "title": MODULE_NAME,
    "type": "app",
    "config": {"name": MODULE_NAME, "type": "app", "categories": ["serve", "framework:SAM 2.1"]},
    "meta": {"releases": []},
    "readme": "",
    "repo": "",
    **_TIMES,
}


class TeamsList(Listed):
    """The SDK's `api.team.get_list`."""


class TeamsInfo(Strict):
    """The SDK's `api.team.get_info_by_id`."""

    id: int


class WorkspacesList(Listed):
    """The SDK's `api.workspace.get_list`."""

    teamId: int


class WorkspacesInfo(Strict):
    """The SDK's `api.workspace.get_info_by_id`; `api.nn.deploy` starts with it."""

    id: int


class AgentsAvailable(Strict):
    """The SDK's `api.agent.get_list_available`; `api.nn.deploy` chooses one of them."""

    teamId: int
    withoutPublic: bool
    anyStatus: bool
    needGPU: bool
    type: str | None = None


class EcosystemList(Listed):
    """The SDK's `api.app.get_list_ecosystem_modules`. Contract 1.8, `api.nn.deploy`."""

    search: str | None = None
    categories: list[str] | None = None
    categoriesOperation: Literal["or", "and"] = "or"


class EcosystemInfo(Strict):
    """The SDK's `api.app.get_ecosystem_module_info`."""

    id: int | None = None
    slug: str | None = None
    version: str | None = None


@router.post("/teams.list")
def teams_list(body: TeamsList) -> dict[str, Any]:
    """List the one team."""
    page, numbers = select_page([_team()], body, dict.__getitem__, {"id", "name"})
    return {**numbers, "entities": page}


@router.post("/teams.info")
def teams_info(body: TeamsInfo) -> dict[str, Any]:
    """Describe the team."""
    _check("team", body.id, TEAM_ID)
    return _team()


@router.post("/workspaces.list")
def workspaces_list(body: WorkspacesList, here: Here) -> dict[str, Any]:
    """List the one workspace."""
    _check("team", body.teamId, TEAM_ID)
    page, numbers = select_page([_workspace(here)], body, dict.__getitem__, {"id", "name"})
    return {**numbers, "entities": page}


@router.post("/workspaces.info")
def workspaces_info(body: WorkspacesInfo, here: Here) -> dict[str, Any]:
    """Describe the workspace."""
    _check("workspace", body.id, WORKSPACE_ID)
    return _workspace(here)


@router.post("/agents.available")
def agents_available(body: AgentsAvailable) -> list[dict[str, Any]]:
    """Name this machine; the app, not the workspace, knows of an accelerator."""
    _check("team", body.teamId, TEAM_ID)
    return [
        {
            "id": AGENT_ID,
            "name": "this machine",
            "status": "running",
            "type": "sly_agent",
            "teamId": TEAM_ID,
            "userId": 1,
            "capabilities": {},
            "isPublic": False,
            "disabled": False,
            # The SDK reads the first device's free memory to choose among several agents.
            "gpuInfo": {"device_memory": [{"available": 0, "total": 0}]},
            **_TIMES,
        }
    ]


@router.post("/ecosystem.list")
def ecosystem_list(body: EcosystemList) -> dict[str, Any]:
    """List the one app, if it is looked for."""
    modules = [_MODULE] if _is_looked_for(body) else []
    page, numbers = select_page(modules, body, dict.__getitem__, {"id", "name", "slug"})
    return {**numbers, "entities": page}


@router.post("/ecosystem.info")
def ecosystem_info(body: EcosystemInfo) -> dict[str, Any]:
    """Describe the app."""
    if body.id is None and body.slug is None:
        raise BadRequest("id: give the module's id or its slug.")
    if body.id not in (None, MODULE_ID) or body.slug not in (None, _MODULE["slug"]):
        raise NotFound("There is no such module.")
    return _MODULE


def _is_looked_for(body: EcosystemList) -> bool:
    if body.search is not None and body.search.lower() not in MODULE_NAME.lower():
        return False
    if body.categories is None:
        return True
    has = [category in _MODULE["config"]["categories"] for category in body.categories]
    return all(has) if body.categoriesOperation == "and" else any(has)


def _team() -> dict[str, Any]:
    return {"id": TEAM_ID, "name": "local", "description": "", "role": "admin", **_TIMES}


def _workspace(here: Here) -> dict[str, Any]:
    name = here.store.project().name
    return {"id": WORKSPACE_ID, "name": name, "description": "", "teamId": TEAM_ID, **_TIMES}


def _check(what: str, asked: int, ours: int) -> None:
    if asked != ours:
        raise NotFound(f"There is no {what} {asked}; the {what} here is {ours}.")
