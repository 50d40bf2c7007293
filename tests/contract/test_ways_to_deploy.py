"""Checkpoints of every origin, by every way to deploy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import OWNER_TOKEN, REPOSITORY, Platform, RunningApp, free_port
from serve_page import Page
from test_deploying import serve_nano
from test_permissions import STRANGER
from test_start_modes import OURS, answers, bare

NANO = REPOSITORY / "checkpoints" / "nano" / "nano.pt"
EXPERIMENT = "/experiments/1_shapes/7_SAM 2.1"


@pytest.fixture(scope="module")
def team_files(platform: Platform) -> Path:
    """Two checkpoints of one base name, one of them trained on the platform; and a wrong file."""
    root = platform.workspace.settings.team_files
    trained = root / EXPERIMENT.strip("/")
    (trained / "checkpoints").mkdir(parents=True, exist_ok=True)
    shutil.copy(NANO, trained / "checkpoints" / "best.pt")
    (trained / "model_meta.json").write_text('{"classes": [], "tags": []}')
    info = {
        "experiment_name": "my shapes",
        "framework_name": "SAM 2.1",
        "model_name": "Nano",
        "task_type": "promptable segmentation",
        "project_id": 1,
        "task_id": 7,
        "model_files": {},
        "model_meta": "model_meta.json",
        "checkpoints": ["checkpoints/best.pt"],
        "best_checkpoint": "best.pt",
        "hyperparameters": "hyperparameters.yaml",
        "artifacts_dir": EXPERIMENT,
    }
    (trained / "experiment_info.json").write_text(json.dumps(info))
    (root / "other").mkdir(exist_ok=True)
    (root / "other" / "best.pt").write_bytes(b"not a checkpoint")
    (root / "mine").mkdir(exist_ok=True)
    shutil.copy(NANO, root / "mine" / "a b&c.pt")
    return root


@pytest.fixture
def app_of_a_team(
    page_app: RunningApp, platform: Platform, team_files: Path
) -> Iterator[RunningApp]:
    settings = platform.workspace.settings
    before, settings.app_url = settings.app_url, f"http://127.0.0.1:{page_app.port}"
    platform.workspace.counts.reset()
    yield page_app
    settings.app_url = before


def deploy_file(app: RunningApp, path: Any, source: str = "External models", **extra: Any) -> Any:
    params = {"model_source": source, "model_files": {"checkpoint": path}, "device": "cpu"}
    params |= {"runtime": None, "model_info": {"model_name": "x"}}
    body = {"state": {"deploy_params": params, "model_name": None}, "api_token": OWNER_TOKEN}
    return app.post("deploy_from_api", {**body, **extra})


def test_path_in_team_files(app_of_a_team: RunningApp, platform: Platform) -> None:
    app = app_of_a_team
    for _ in range(2):
        answer = deploy_file(app, "/mine/a b&c.pt")
        assert answer.status_code == 200, answer.text
    assert platform.count("file-storage.download") == 1, "it is there and unchanged"
    assert app.post("get_serve_options").json()["deployed"]["model"] == "a b&c.pt"
    info = app.post("get_deploy_info").json()
    assert (info["model_source"], info["custom_checkpoint_path"]) == (
        "External models",
        "/mine/a b&c.pt",
    )
    assert info["checkpoint_name"] == "a b&c.pt"


def test_two_files_of_one_name_never_mix(app_of_a_team: RunningApp) -> None:
    """Contract 7.1-34: the second file of a name was answered with the first."""
    app = app_of_a_team
    assert deploy_file(app, f"{EXPERIMENT}/checkpoints/best.pt").status_code == 200
    wrong = deploy_file(app, "/other/best.pt")
    assert wrong.status_code == 422
    assert "best.pt" in wrong.json()["message"]
    assert deploy_file(app, f"{EXPERIMENT}/checkpoints/best.pt").status_code == 200


def test_file_that_changed_is_fetched_again(app_of_a_team: RunningApp, team_files: Path) -> None:
    file = team_files / "mine" / "changing.pt"
    file.write_bytes(b"not yet")
    assert deploy_file(app_of_a_team, "/mine/changing.pt").status_code == 422
    shutil.copy(NANO, file)
    assert deploy_file(app_of_a_team, "/mine/changing.pt").status_code == 200
    copies = Path(app_of_a_team.environment["SAM2_SERVING_DATA_DIR"]).rglob("*changing.pt")
    assert len(list(copies)) == 1, "older versions are removed"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/no/such.pt", 404),
        ("/mine", 404),
        ("/../../../../etc/passwd", 404),
        ("/etc/passwd", 404),
        (str(NANO), 404),
        ("mine/x.pt", 400),
        ("", 400),
        (None, 400),
        (5, 400),
        ("/" + "a" * 5000, 400),
        ("/mine/\0", 400),
    ],
)
def test_wrong_path_leaves_the_served_model_alone(
    path: Any, status: int, app_of_a_team: RunningApp
) -> None:
    serve_nano(app_of_a_team)
    answer = deploy_file(app_of_a_team, path)
    assert answer.status_code == status, answer.text
    assert len(answer.json()["message"].split()) > 3
    assert app_of_a_team.post("is_online").json() == {"is_online": True}
    assert app_of_a_team.post("get_serve_options").json()["deployed"]["model"] == "Nano (demo)"


def test_rights_on_team_files_are_the_callers(app_of_a_team: RunningApp) -> None:
    assert deploy_file(app_of_a_team, "/mine/a b&c.pt").status_code == 200
    stranger = deploy_file(app_of_a_team, "/mine/a b&c.pt", api_token=STRANGER)
    assert stranger.status_code == 401
    assert deploy_file(app_of_a_team, "/mine/a b&c.pt", api_token=None).status_code == 401


def test_app_of_no_team_says_so(app: RunningApp) -> None:
    answer = deploy_file(app, "/mine/a.pt")
    assert answer.status_code == 400
    assert "TEAM_ID" in answer.json()["message"]


def test_api_nn_deploys_by_name_and_by_path(
    app_of_a_team: RunningApp, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract 1.8: the SDK's own client, the workspace's task, the real app."""
    monkeypatch.setenv("SERVER_ADDRESS", platform.address)
    monkeypatch.setenv("API_TOKEN", OWNER_TOKEN)
    app_of_a_team.post("stop_model")
    api = platform.api()
    model = api.nn.deploy("SAM 2.1/Nano (demo)", device="cpu", workspace_id=1)
    assert model.get_info()["model_name"] == "Nano (demo)"
    trained = api.nn.deploy(
        f"{EXPERIMENT}/checkpoints/best.pt", device="cpu", runtime="PyTorch", workspace_id=1
    )
    assert trained.get_info()["model_source"] == "Custom models"
    shown = app_of_a_team.post("get_serve_options").json()["deployed"]["model"]
    assert shown == "my shapes: best.pt"


@pytest.mark.long
def test_page_lists_experiments(
    platform: Platform, app_environment: dict[str, str], team_files: Path, tmp_path: Path
) -> None:
    """And autostart where the weights cannot be fetched: the page comes, and says why."""
    environment = app_environment | {
        "API_TOKEN": OWNER_TOKEN,
        "TEAM_ID": "1",
        "AUTOSTART": "true",
        "SAM2_SERVING_DATA_DIR": str(tmp_path),
    }
    running = RunningApp(free_port(), environment, tmp_path / "app.log").start(ready=False)
    try:
        data = running.client.post("/sly/data").text
        assert "best.pt" in data
        running.wait(
            lambda: running.post("get_serve_options").json()["state"] in ("failed", "ready")
        )
        options = running.post("get_serve_options").json()
        assert options["state"] == "failed"
        assert "sam2.1_hiera_tiny.pt" in options["error"]
        page = Page(running)
        page.choose_external("/mine/a b&c.pt")
        assert page.press("SERVE").status_code == 200
        served = running.post("get_serve_options").json()["deployed"]
        assert served["model"] == "a b&c.pt"
        page.press("STOP AND CHOOSE ANOTHER MODEL")
        page.choose_external("/no/such.pt")
        assert page.press("SERVE").status_code >= 400
        assert "no file" in running.post("get_serve_options").json()["error"]
        page.choose_experiment()
        assert page.press("SERVE").status_code == 200
        served = running.post("get_serve_options").json()["deployed"]
        assert served["model"] == "my shapes: best.pt"
    finally:
        running.stop()


@pytest.mark.long
def test_page_comes_without_trained_models_if_they_cannot_be_listed(
    app_environment: dict[str, str], tmp_path: Path
) -> None:
    """Contract 1.9: the SDK's page ends the app if the platform does not answer at the start."""
    environment = app_environment | {
        "SERVER_ADDRESS": "http://127.0.0.1:9",
        "API_TOKEN": OWNER_TOKEN,
        "TEAM_ID": "1",
        "SAM2_SERVING_DATA_DIR": str(tmp_path),
    }
    running = RunningApp(free_port(), environment, tmp_path / "app.log").start(ready=False)
    try:
        page = Page(running)
        page.choose("Nano")
        assert page.press("SERVE").status_code == 200
        assert "Trained models cannot be listed" in running.log()
    finally:
        running.stop()


@pytest.mark.long
def test_quick_deploy(app_environment: dict[str, str], app: RunningApp, tmp_path: Path) -> None:
    """Contract 1.8: served beside the caller's own work; the folder of models is not emptied."""
    kept = tmp_path / "models" / "kept.pt"
    kept.parent.mkdir()
    kept.write_text("weights")
    script = tmp_path / "script.py"
    script.write_text(
        "import threading\n"
        "from sam2_serving.app.app import SegmentAnything2\n"
        f"m = SegmentAnything2(model={str(NANO)!r}, device='cpu', runtime='torch')\n"
        "threading.Event().wait()\n"
    )
    port = free_port()
    environment = bare(app_environment, tmp_path) | {"SAM2_SERVING_PORT": str(port)}
    running = RunningApp(port, environment, tmp_path / "app.log", [sys.executable, str(script)])
    running.start()
    try:
        assert running.post("get_serve_options").json()["deployed"]["model"] == "nano.pt"
        assert answers(running) == answers(app)
        assert OURS
    finally:
        running.stop()
    assert kept.read_text() == "weights"


@pytest.mark.long
def test_command_line_takes_a_local_file_and_finds_the_device(
    app_environment: dict[str, str], tmp_path: Path
) -> None:
    """The SDK's own default is cuda:0, on machines without one too (contract 7.2 S8)."""
    port = free_port()
    environment = bare(app_environment, tmp_path) | {
        "SAM2_SERVING_PORT": str(port),
        "PYTHONPATH": str(REPOSITORY),
    }
    del environment["SAM2_SERVING_DEVICE"]
    command = [sys.executable, str(REPOSITORY / "serve" / "main.py"), "deploy", "--model"]
    running = RunningApp(port, environment, tmp_path / "app.log", [*command, str(NANO)]).start()
    try:
        assert running.post("get_serve_options").json()["deployed"]["model"] == "nano.pt"
    finally:
        running.stop()


@pytest.mark.long
def test_command_line_says_what_is_wrong(app_environment: dict[str, str], tmp_path: Path) -> None:
    environment = bare(app_environment, tmp_path) | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(REPOSITORY / "serve" / "main.py"), "deploy", "--model"]
    ended = subprocess.run(
        [*command, "/no/such.pt"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode != 0
    assert "No model is served" in ended.stderr
    assert "Traceback" not in ended.stderr
