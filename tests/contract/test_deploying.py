"""Serve, redeploy, fail, stop: over HTTP."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from live import Platform, RunningApp

PRETRAINED = "Pretrained models"


def deploy(app: RunningApp, name: Any = "Nano (demo)", **params: Any) -> Any:
    params = {"model_source": PRETRAINED, "device": "cpu", "runtime": None, **params}
    state = {"model_name": name, "deploy_params": params}
    return app.post("deploy_from_api", {"state": state, "context": {"outside_request": True}})


def serve_nano(app: RunningApp) -> None:
    """Have nano served on the CPU: a deploy takes a second, so only if it is not yet."""
    now = app.post("get_serve_options").json()
    served = now["deployed"] or {}
    if (now["state"], served.get("model"), served.get("device")) != ("ready", "Nano (demo)", "cpu"):
        assert deploy(app).status_code == 200


@pytest.fixture
def served(app: RunningApp) -> RunningApp:
    serve_nano(app)
    return app


def test_serve_options(served: RunningApp) -> None:
    assert deploy(served).status_code == 200
    options = served.post("get_serve_options").json()
    assert options["state"] == "ready"
    assert options["progress"] is None
    assert options["error"] is None
    assert options["deployed"]["device"] == "cpu"
    path = r"cpu_\w+_1threads-float32-eager_lean-256px-[0-9a-f]{12}"
    assert re.fullmatch(path, options["deployed"]["numeric_path"])
    assert {"id": "cpu", "title": "CPU"} in options["devices"]
    tiny, *_, nano = options["models"]
    assert tiny["name"] == "SAM 2.1 Hiera tiny"
    assert tiny["columns"]["SA-V test J&F"] == "76.5", "figures of 2.1, not of 2.0"
    assert "not for photographs" in nano["note"]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"deploy_params": None},
        {"deploy_params": {}},
        {"deploy_params": {"model_source": PRETRAINED}},
        {"deploy_params": {"model_source": PRETRAINED}, "model_name": "no such model"},
        {"deploy_params": {"model_source": PRETRAINED}, "model_name": "../../etc/passwd"},
        {"deploy_params": {"model_source": PRETRAINED}, "model_name": 5},
        {"deploy_params": {"model_source": PRETRAINED}, "model_name": "\ud800"},
        {"deploy_params": {"model_source": 5}, "model_name": "nano"},
        {"deploy_params": {"model_source": "Custom models"}, "model_name": "nano"},
        {"deploy_params": {"model_source": PRETRAINED, "device": "tpu"}, "model_name": "nano"},
        {"deploy_params": {"model_source": PRETRAINED, "device": "cuda:99"}, "model_name": "nano"},
        {
            "deploy_params": {"model_source": PRETRAINED, "runtime": "TensorRT"},
            "model_name": "nano",
        },
        {
            "deploy_params": {
                "model_source": PRETRAINED,
                "model_files": {"checkpoint": "/etc/passwd"},
                "model_info": {"meta": {"model_name": ["nano"]}},
            }
        },
    ],
)
def test_bad_deploy_is_a_4xx_and_leaves_the_model_alone(
    served: RunningApp, state: dict[str, Any]
) -> None:
    """Contract 1.8 and 7.2 S11: the SDK unloads the model before it reads the request."""
    before = served.post("get_serve_options").json()["deployed"]
    answer = served.post("deploy_from_api", {"state": state})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["success"] is False
    assert served.post("is_online").json() == {"is_online": True}
    assert served.post("get_serve_options").json()["deployed"] == before


def test_paths_of_the_caller_are_not_looked_at(served: RunningApp) -> None:
    files = {"checkpoint": "/etc/passwd", "config": "http://127.0.0.1:9/x"}
    assert deploy(served, model_files=files).status_code == 200
    info = served.post("get_deploy_info").json()
    assert Path(info["deploy_params"]["model_files"]["checkpoint"]).name == "nano.pt"


@pytest.mark.long  # retries
def test_download_that_fails_leaves_the_old_model_serving(served: RunningApp) -> None:
    answer = deploy(served, "SAM 2.1 Hiera large")
    assert answer.status_code == 422
    assert "sam2.1_hiera_large.pt" in answer.json()["message"]
    options = served.post("get_serve_options").json()
    assert (options["state"], options["deployed"]["model"]) == ("ready", "Nano (demo)")
    assert "sam2.1_hiera_large.pt" in options["error"]


def test_damaged_checkpoint_says_why_and_leaves_a_clear_state(served: RunningApp) -> None:
    folder = Path(served.environment["SAM2_SERVING_CHECKPOINTS_DIR"])
    file = folder / "sam2.1_hiera_small.pt"
    file.write_bytes(b"not a checkpoint")
    try:
        answer = deploy(served, "small")
    finally:
        file.unlink()
    assert answer.status_code == 422
    assert "sam2.1_hiera_small.pt" in answer.json()["message"]
    options = served.post("get_serve_options").json()
    assert (options["state"], options["deployed"], options["progress"]) == ("failed", None, None)
    refused = served.post("smart_segmentation", {"context": {"positive": [], "negative": []}})
    assert refused.status_code == 503
    assert "sam2.1_hiera_small.pt" in refused.json()["error"]
    assert served.post("get_deploy_info").status_code == 503
    assert deploy(served).status_code == 200


def test_stop_then_everything_says_so(served: RunningApp) -> None:
    assert served.post("stop_model").json() == {"success": True}
    assert served.post("is_online").json() == {"is_online": False}
    assert served.client.get("/is_ready").status_code == 503
    for route in ("get_session_info", "get_deploy_info"):
        answer = served.post(route)
        assert answer.status_code == 503
        assert "press Serve" in answer.json()["message"]
    assert served.post("get_model_meta").status_code == 200
    assert served.post("get_custom_inference_settings").status_code == 200
    assert served.post("get_serve_options").json()["state"] == "stopped"
    assert deploy(served, "nano").status_code == 200


@pytest.mark.long
def test_redeploy_frees_the_old_engine(served: RunningApp, platform: Platform) -> None:
    context = {"positive": [{"x": 9, "y": 9}], "negative": []}
    body = platform.envelope({**context, "image_id": platform.images["scene0"]})

    def once() -> None:
        assert deploy(served).status_code == 200
        assert served.post("smart_segmentation", body).status_code == 200

    for _ in range(3):
        once()
    threads, memory = served.threads(), served.memory()
    for _ in range(8):
        once()
    assert served.threads() <= threads + 1
    # Eight engines that were kept would hold eight networks of more than 16 MB.
    assert served.memory() - memory < 48 * 2**20


def test_clicks_during_redeploys_get_a_mask_or_a_sentence(
    served: RunningApp, platform: Platform
) -> None:
    context = {"positive": [{"x": 160, "y": 120}], "negative": []}
    body = platform.envelope({**context, "image_id": platform.images["scene0"]})
    right = served.post("smart_segmentation", body).content

    def click(_: int) -> None:
        answer = served.post("smart_segmentation", body)
        if answer.status_code != 503:
            assert answer.content == right
        else:
            assert len(answer.json()["error"].split()) > 3

    with ThreadPoolExecutor(5) as pool:
        clicks = [pool.submit(click, i) for i in range(60)]
        codes = {deploy(served).status_code for _ in range(3)}
        for one in clicks:
            one.result()
    assert codes == {200}


def test_questions_during_redeploys_get_an_answer_or_a_sentence(served: RunningApp) -> None:
    """The SDK's own routes crash when the model is stopped between two of their lines."""

    def ask(number: int) -> None:
        route = ("get_session_info", "get_deploy_info", "get_model_meta", "is_online")[number % 4]
        answer = served.post(route)
        assert answer.status_code in (200, 503), (route, answer.text)

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(ask, number) for number in range(200)]
        for _ in range(3):
            assert deploy(served).status_code == 200
            served.post("stop_model")
        for one in asked:
            one.result()
    assert deploy(served).status_code == 200


def test_two_deploys_at_once(served: RunningApp) -> None:
    with ThreadPoolExecutor(4) as pool:
        codes = [one.status_code for one in pool.map(lambda _: deploy(served), range(8))]
    assert set(codes) <= {200, 409}
    assert 200 in codes
    assert served.post("is_online").json() == {"is_online": True}


def test_model_on_the_cpu_is_not_frozen(served: RunningApp) -> None:
    assert served.post("freeze_model").json()["message"].startswith("Failed to freeze")
    assert "The model is not frozen: it is on the CPU" in served.log()
    assert served.post("get_deploy_info").json()["device"] == "cpu"
    assert served.post("is_online").json() == {"is_online": True}


def test_admin_routes_of_the_sdk_are_closed(served: RunningApp) -> None:
    """Contract 7.2 S11."""
    for path in ("/sly/shutdown", "/sly/shutdown/", "//sly/shutdown", "/debug"):
        assert served.client.post(path).status_code == 404
    assert served.post("is_online").json() == {"is_online": True}


def test_pages_of_other_sites_may_not_call(served: RunningApp) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert served.client.post("/stop_model", headers=headers).status_code == 403
    assert served.post("is_online").json() == {"is_online": True}
