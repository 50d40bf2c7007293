"""Tasks: the one task here is the app."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from sam2_serving.workspace.answers import NotFound
from sam2_serving.workspace.api.ecosystem import MODULE_ID, MODULE_NAME
from sam2_serving.workspace.api.strict import Listed, Strict, select_page
from sam2_serving.workspace.context import Here, Workspace
from sam2_serving.workspace.proxy import call_app, encode_json, unless_gone
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.settings import TASK_ID, TEAM_ID, WORKSPACE_ID

router = APIRouter(dependencies=[Depends(caller_by_token)])

MAX_SILENCE_S = 86_400.0
"""The longest that a client may have the workspace wait for the app."""


class TasksInfo(Strict):
    """Contract 8.2, tasks.info."""

    id: int


class TasksList(Listed):
    """The SDK's `api.task.get_list`."""

    workspaceId: int


class TasksRunApp(Strict):
    """Contract 1.8, `api.nn.deploy`; fields as the SDK's `api.task.start` sends them."""

    agentId: int | None
    workspaceId: int
    moduleId: int | None = None
    appId: int | None = None
    description: str
    params: dict[str, Any]
    logLevel: str
    usersIds: list[int]
    appVersion: str | None
    isBranch: bool
    taskName: str | None
    restartPolicy: str
    proxyKeepUrl: bool
    advancedSettings: dict[str, Any]
    redirectRequests: dict[str, Any] = Field(default_factory=dict)
    singleSessionMode: bool = False


class TasksDataGet(Strict):
    """Contract 8.2, tasks.data.get."""

    taskId: int
    fields: list[str]


class DataField(Strict):
    """A field of tasks.data.set; `append` and `recursive` as the SDK sends them."""

    field: str = Field(min_length=1, max_length=500)
    payload: Any
    append: bool = False
    recursive: bool = False


class TasksDataSet(Strict):
    """Contract 8.2, tasks.data.set."""

    taskId: int
    fields: list[DataField]


class AppContent(Strict):
    """A change of the app's page. Contract 8.2, tasks.app-v2.data.set."""

    data: list[dict[str, Any]] = Field(default_factory=list)
    state: dict[str, Any] = Field(default_factory=dict)


class TasksAppDataSet(Strict):
    """Contract 8.2, tasks.app-v2.data.set."""

    taskId: int
    payload: AppContent


class TasksMetaUpdate(Strict):
    """Contract 8.2, tasks.meta.update: the id, and whatever the app wants to have kept."""

    model_config = ConfigDict(extra="allow", strict=True)

    id: int


class TasksRequestDirect(Strict):
    """Contract 8.2, tasks.request.direct."""

    taskId: int
    command: str = Field(pattern=r"^/?[A-Za-z0-9_\-/]{1,200}$")
    context: dict[str, Any]
    state: dict[str, Any]
    skipResponse: bool
    timeout: float | None = Field(gt=0, le=MAX_SILENCE_S)


@router.post("/tasks.info")
def tasks_info(body: TasksInfo, here: Here) -> dict[str, Any]:
    """Describe the app's task."""
    _check_task(body.id)
    return _task_json(here)


@router.post("/tasks.list")
def tasks_list(body: TasksList, here: Here) -> dict[str, Any]:
    """List the app's task."""
    tasks = [_task_json(here)] if body.workspaceId == WORKSPACE_ID else []
    page, numbers = select_page(tasks, body, dict.__getitem__, {"id", "status", "type"})
    return {**numbers, "entities": page}


@router.post("/tasks.run.app")
def tasks_run_app(body: TasksRunApp, here: Here) -> list[dict[str, Any]]:
    """Name the app's task: here the app is started beside the workspace, not by it."""
    if body.workspaceId != WORKSPACE_ID:
        raise NotFound(f"There is no workspace {body.workspaceId}.")
    if body.moduleId != MODULE_ID:
        raise NotFound(f"There is no module {body.moduleId}; the app's module is {MODULE_ID}.")
    return [{**_task_json(here), "taskId": TASK_ID}]


@router.post("/tasks.data.get")
def tasks_data_get(body: TasksDataGet, here: Here) -> dict[str, Any]:
    """Return the fields that were set before."""
    _check_task(body.taskId)
    known = here.store.task_fields()
    return {"result": {name: known[name] for name in body.fields if name in known}}


@router.post("/tasks.data.set")
def tasks_data_set(body: TasksDataSet, here: Here) -> dict[str, Any]:
    """Keep fields."""
    _check_task(body.taskId)

    def change(known: dict[str, Any]) -> dict[str, Any]:
        for entry in body.fields:
            known[entry.field] = _merged(known.get(entry.field), entry)
        return known

    here.store.update_task_fields(change)
    return {}


@router.post("/tasks.app-v2.data.set")
def tasks_app_data_set(body: TasksAppDataSet) -> dict[str, Any]:
    """Accept a change of the app's own page, which this workspace does not show."""
    _check_task(body.taskId)
    return {}


@router.post("/tasks.meta.update")
def tasks_meta_update(body: TasksMetaUpdate) -> dict[str, Any]:
    """Accept what the app says about itself."""
    _check_task(body.id)
    return {}


@router.post("/tasks.request.direct")
async def tasks_request_direct(
    body: TasksRequestDirect, request: Request, caller: ByToken, here: Here
) -> Response:
    """Send a request to the app in the caller's name, and answer what the app answers."""
    _check_task(body.taskId)
    envelope = {
        "context": body.context,
        "state": body.state,
        "api_token": caller.token,
        "server_address": here.settings.public_address,
    }
    call = call_app(
        here,
        body.command.strip("/"),
        encode_json(envelope),
        headers={"content-type": "application/json"},
        timeout_s=body.timeout,
    )
    return await unless_gone(request, call)


def _task_json(here: Workspace) -> dict[str, Any]:
    return {
        "id": TASK_ID,
        "type": "app",
        "status": "started",
        "teamId": TEAM_ID,
        "workspaceId": WORKSPACE_ID,
        "createdBy": 1,
        "meta": {
            "params": {"state": {}},
            "sessionToken": here.settings.session_token.get_secret_value(),
            "app": {"id": MODULE_ID, "moduleId": MODULE_ID, "name": MODULE_NAME},
        },
    }


def _merged(known: Any, entry: DataField) -> Any:
    if not entry.append or type(known) is not type(entry.payload):
        return entry.payload
    if isinstance(known, list):
        return [*known, *entry.payload]
    if isinstance(known, dict):
        return {**known, **entry.payload}
    return entry.payload


def _check_task(task_id: int) -> None:
    if task_id != TASK_ID:
        raise NotFound(f"There is no task {task_id}; the app is task {TASK_ID}.")
