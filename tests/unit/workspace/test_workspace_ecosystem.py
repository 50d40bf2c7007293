"""What the SDK's `api.nn` asks before and while it deploys; an echo stands where the app would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import supervisely as sly
from fastapi import FastAPI, Request
from workspace_http import OWNER_TOKEN, SESSION_TOKEN, Running, Settings, serving

from sam2_serving.workspace import create_workspace


class Deployed:
    """What the app was asked to serve."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.app = FastAPI()

        @self.app.post("/is_running")
        def is_running() -> dict[str, bool]:
            return {"running": True}

        @self.app.post("/deploy_from_api")
        async def deploy(request: Request) -> dict[str, str]:
            self.bodies.append(await request.json())
            return {"result": "model was successfully deployed"}

        @self.app.post("/get_deploy_info")
        def info() -> dict[str, str]:
            return {"checkpoint_name": "nano.safetensors", "model_name": "nano", "task_type": "x"}


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


@pytest.fixture
def running(
    settings: Settings, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    with serving(deployed.app) as app_url:
        app = create_workspace(settings(app_url=app_url))
        with serving(app) as url:
            # The SDK makes a second client of its own from the environment.
            monkeypatch.setenv("SERVER_ADDRESS", url)
            monkeypatch.setenv("API_TOKEN", OWNER_TOKEN)
            yield Running(url, app)


def test_deploy_a_pretrained_model(running: Running, deployed: Deployed) -> None:
    model = running.api().nn.deploy("SAM 2.1/nano", device="cpu", workspace_id=1)
    (body,) = deployed.bodies
    assert body["state"]["model_name"] == "nano"
    assert body["state"]["deploy_params"]["device"] == "cpu"
    assert body["api_token"] == OWNER_TOKEN
    assert model.url == f"{running.url}/net/{SESSION_TOKEN}"
    assert model.get_info()["model_name"] == "nano"


def test_deploy_a_trained_checkpoint(running: Running, deployed: Deployed) -> None:
    place = running.app.state.workspace.settings.team_files / "experiments" / "7_SAM 2.1"
    (place / "checkpoints").mkdir(parents=True)
    (place / "checkpoints" / "best.pt").write_bytes(b"weights")
    (place / "model_meta.json").write_text("{}")
    info = {
        "experiment_name": "mine",
        "framework_name": "SAM 2.1",
        "model_name": "nano",
        "task_type": "promptable segmentation",
        "project_id": 1,
        "task_id": 7,
        "model_files": {},
        "model_meta": "model_meta.json",
        "hyperparameters": "hyperparameters.yaml",
        "checkpoints": ["checkpoints/best.pt"],
        "best_checkpoint": "best.pt",
        "artifacts_dir": "/experiments/7_SAM 2.1",
    }
    (place / "experiment_info.json").write_text(json.dumps(info))
    api = running.api()
    (found,) = sly.nn.experiments.get_experiment_infos(api, 1, "SAM 2.1")
    assert found.best_checkpoint == "best.pt"
    api.nn.deploy("/experiments/7_SAM 2.1/checkpoints/best.pt", workspace_id=1)
    (body,) = deployed.bodies
    params = body["state"]["deploy_params"]
    assert params["model_files"] == {"checkpoint": "/experiments/7_SAM 2.1/checkpoints/best.pt"}
    assert params["model_source"] == "Custom models"


def test_connect_and_list(running: Running) -> None:
    api = running.api()
    assert api.nn.connect(1).url == f"{running.url}/net/{SESSION_TOKEN}"
    (model,) = api.nn.list_deployed_models(framework="SAM 2.1", workspace_id=1)
    assert (model["task_info"]["id"], model["model_info"]["model_name"]) == (1, "nano")
    assert api.nn.list_deployed_models(framework="SAM 2.1", team_id=1) == [model]


def test_where_and_who(running: Running) -> None:
    api = running.api()
    (team,) = api.team.get_list()
    assert api.team.get_info_by_id(1) == team
    (workspace,) = api.workspace.get_list(1)
    assert api.workspace.get_info_by_id(1) == workspace
    assert (workspace.team_id, workspace.name) == (1, "media")
    assert api.workspace.get_info_by_id(2) is None
    (agent,) = api.agent.get_list_available(1, show_public=True, has_gpu=True)
    assert (agent.id, agent.type) == (1, "sly_agent")


def test_the_app_as_a_module(running: Running) -> None:
    api = running.api()
    module_id = api.app.find_module_id_by_app_name("Serve Segment Anything")
    module = api.app.get_ecosystem_module_info(module_id)
    assert module.name == "Serve Segment Anything 2.1"
    assert api.app.get_ecosystem_module_id(module.slug) == module_id
    with pytest.raises(KeyError):
        api.app.get_list_ecosystem_modules(
            categories=["serve", "framework:YOLO"], categories_operation="and"
        )
    either = api.app.get_list_ecosystem_modules(categories=["serve", "framework:YOLO"])
    assert len(either) == 1


def test_what_is_not_here_is_404(running: Running) -> None:
    for route in ("tasks.stop", "ecosystem.models.list", "videos.remove"):
        assert running.post(route, {"id": 1}).status_code == 404
    body = {"id": 7}
    for route in ("teams.info", "workspaces.info", "ecosystem.info", "tasks.info"):
        assert running.post(route, body).status_code == 404


def test_what_is_kept_of_a_task_survives_a_restart(settings: Settings) -> None:
    params = {"deployParams": {"model_files": {}, "device": "cpu", "model_source": "Pretrained"}}
    with serving(create_workspace(settings())) as url:
        Running(url, None).api().task.set_field(1, "autoRestartInfo", params)  # type: ignore[arg-type]
    with serving(create_workspace(settings())) as url:
        api = Running(url, None).api()  # type: ignore[arg-type]
        assert api.task.get_field(1, "autoRestartInfo") == params
