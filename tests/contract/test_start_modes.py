"""However the app is started: the same routes, and no call to a platform that it does not need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import OWNER_TOKEN, REPOSITORY, Platform, RunningApp, free_port
from serve_page import Page
from test_deploying import deploy, serve_nano
from test_freezing import freeze
from test_permissions import MEMBER, click

from sam2_serving.workspace.settings import TASK_ID

OURS = {
    "/smart_segmentation",
    "/is_online",
    "/get_session_info",
    "/get_model_meta",
    "/get_output_classes_and_tags",
    "/get_custom_inference_settings",
    "/get_serve_options",
    "/deploy_from_api",
    "/stop_model",
}


def bare(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Nothing of the platform in the environment."""
    kept = {name: environment[name] for name in ("PATH", "HOME", "OMP_NUM_THREADS")}
    return kept | {"SAM2_SERVING_DATA_DIR": str(tmp_path), "SAM2_SERVING_DEVICE": "cpu"}


@pytest.fixture
def command_line_app(app_environment: dict[str, str], tmp_path: Path) -> Iterator[RunningApp]:
    """The SDK's own command line, with an empty environment (contract 1.8)."""
    port = free_port()
    environment = bare(app_environment, tmp_path) | {
        "SAM2_SERVING_PORT": str(port),
        "PYTHONPATH": str(REPOSITORY),
    }
    script = str(REPOSITORY / "serve" / "main.py")
    command = [sys.executable, script, "deploy", "--model", "nano", "--device", "cpu"]
    running = RunningApp(port, environment, tmp_path / "app.log", command).start()
    yield running
    running.stop()


@pytest.fixture
def lonely_app(app_environment: dict[str, str], tmp_path: Path) -> Iterator[RunningApp]:
    """Started by `sam2-serving serve`, where there is no platform at all."""
    port = free_port()
    environment = bare(app_environment, tmp_path)
    command = [sys.executable, "-m", "sam2_serving.cli", "serve", "--port", str(port)]
    running = RunningApp(port, environment, tmp_path / "app.log", command).start()
    yield running
    running.stop()


def answers(app: RunningApp) -> dict[str, tuple[int, list[str]]]:
    """Ask every route for something that is wrong, and with nothing; keep status and keys."""
    found = {}
    for route in sorted(OURS - {"/stop_model"}):
        for body in (None, {"state": 5}, {"server_address": "http://127.0.0.1:9"}):
            answer = app.post(route.strip("/"), body)
            found[f"{route} {body}"] = (answer.status_code, sorted(answer.json()))
    return found


@pytest.mark.long  # an app of its own
def test_command_line_has_our_routes_and_guard(
    command_line_app: RunningApp, app: RunningApp
) -> None:
    """Contract 7.2 S10: with its command line the SDK never comes back from `serve`."""
    assert answers(command_line_app) == answers(app)
    assert command_line_app.post("stop_model").json() == {"success": True}


def test_with_a_page_the_same_routes(page_app: RunningApp, app: RunningApp) -> None:
    state = {"model_name": "nano", "deploy_params": {"model_source": "Pretrained models"}}
    assert page_app.post("deploy_from_api", {"state": state}).status_code == 200
    assert answers(page_app) == answers(app)


def test_owner_of_the_app_does_not_stand_in(page_app: RunningApp, platform: Platform) -> None:
    """Contract 7.1-32: an app with a token of its own must not use it for a caller's request."""
    serve_nano(page_app)
    platform.workspace.store.put_member("member", MEMBER, [platform.datasets["open"]])
    body = platform.envelope(click(platform.images["scene3"]))
    without = {key: value for key, value in body.items() if key != "api_token"}
    assert page_app.post("smart_segmentation", without).status_code == 401
    member = page_app.post("smart_segmentation", {**body, "api_token": MEMBER})
    assert member.status_code == 403
    assert page_app.environment["API_TOKEN"] == OWNER_TOKEN


def test_as_the_platform_starts_it(
    platform: Platform, app_environment: dict[str, str], tmp_path: Path
) -> None:
    """Contract 1.7 and 8.1: a Serve that fails, and a restart of a frozen model where it was."""
    environment = app_environment | {
        "API_TOKEN": OWNER_TOKEN,
        "TEAM_ID": "1",
        "TASK_ID": str(TASK_ID),
        "ENV": "production",
        "SLY_APP_DATA_DIR": str(tmp_path),
    }
    running = RunningApp(free_port(), environment, tmp_path / "app.log").start(ready=False)
    try:
        page = Page(running)
        page.choose("SAM 2.1")
        refused = page.press("SERVE")
        assert refused.status_code == 500, "the platform's page shows a dialog for this status only"
        assert "sam2.1_hiera_tiny.pt" in refused.json()["detail"]["message"]
        page.choose("Nano")
        assert page.press("SERVE").status_code == 200
        assert deploy(running, device="cpu:0").status_code == 200
        freeze(running)
        (kept,) = platform.api().task.get_fields(TASK_ID, ["autoRestartInfo"]).values()
        assert kept["deployParams"]["device"] == "cpu:0", "the SDK would restart it on the CPU"
        assert running.process is not None
        running.process.kill()
        running.process.wait()
        running.start()  # waits until a model is served
        params = running.post("get_deploy_info").json()["deploy_params"]
        assert (params["device"], params["shown_name"]) == ("cpu:0", "Nano (demo)")
    finally:
        running.stop()
    assert platform.count("tasks.data.set") > 0
    assert OWNER_TOKEN not in running.log()


def test_no_platform_at_all(lonely_app: RunningApp, platform: Platform) -> None:
    assert lonely_app.post("get_serve_options").json()["state"] == "ready"
    context = {"positive": [{"x": 1, "y": 1}], "negative": [], "image_id": 1}
    body = {"context": context, "state": {}, "api_token": "some-token"}
    refused = lonely_app.post("smart_segmentation", body)
    assert refused.status_code == 400
    assert "SERVER_ADDRESS" in refused.json()["error"]
    named = lonely_app.post("smart_segmentation", {**body, "server_address": platform.address})
    assert named.status_code == 400
