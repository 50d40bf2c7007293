"""Freezing gives the memory back; whoever clicks next waits for the model and gets their mask."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from live import Platform, RunningApp
from test_deploying import deploy


@pytest.fixture
def served(app: RunningApp) -> Iterator[RunningApp]:
    """On `cpu:0`, which the SDK lets freeze (contract 1.7)."""
    assert deploy(app, device="cpu:0").status_code == 200
    yield app
    assert deploy(app).status_code == 200


@pytest.fixture
def body(platform: Platform) -> dict[str, Any]:
    context = {"positive": [{"x": 160, "y": 120}], "negative": []}
    return platform.envelope({**context, "image_id": platform.images["scene0"]})


def freeze(app: RunningApp) -> None:
    answer = app.post("freeze_model").json()
    assert answer["message"] in ("Model is frozen.", "Model is already frozen."), answer


def test_frozen_model_is_served_and_described_as_before(served: RunningApp) -> None:
    before = [served.post(route).json() for route in ("get_serve_options", "get_session_info")]
    freeze(served)
    assert served.post("is_online").json() == {"is_online": True}
    assert served.client.get("/is_ready").status_code == 200
    after = [served.post(route).json() for route in ("get_serve_options", "get_session_info")]
    assert after == before
    assert served.post("get_deploy_info").json()["deploy_params"]["device"] == "cpu:0"


def test_engine_of_a_frozen_model_is_gone(served: RunningApp, body: dict[str, Any]) -> None:
    assert served.post("smart_segmentation", body).status_code == 200
    threads = served.threads()
    freeze(served)
    assert served.threads() < threads, "the device's thread has ended"


def test_clicks_that_come_during_the_reload_are_answered(
    served: RunningApp, body: dict[str, Any]
) -> None:
    """Contract 7.2 S7: in the SDK a second request runs on a half-loaded model."""
    right = served.post("smart_segmentation", body).content
    for _ in range(3):
        freeze(served)
        with ThreadPoolExecutor(8) as pool:
            clicks = [pool.submit(served.post, "smart_segmentation", body) for _ in range(16)]
            answers = [click.result() for click in clicks]
        assert [answer.status_code for answer in answers] == [200] * 16, answers[0].text
        assert {answer.content for answer in answers} == {right}
    assert served.log().count("The model is back on its device") == 3


def test_clicks_that_are_under_way_when_it_freezes_are_answered(
    served: RunningApp, body: dict[str, Any]
) -> None:
    right = served.post("smart_segmentation", body).content
    with ThreadPoolExecutor(5) as pool:
        clicks = [pool.submit(served.post, "smart_segmentation", body) for _ in range(60)]
        for _ in range(4):
            freeze(served)
        answers = [click.result() for click in clicks]
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) == len(codes), [a.text for a in answers if a.status_code != 200][:3]
    assert {answer.content for answer in answers} == {right}


def test_frozen_model_can_be_stopped_and_replaced(served: RunningApp, body: dict[str, Any]) -> None:
    freeze(served)
    assert served.post("stop_model").json() == {"success": True}
    assert served.post("smart_segmentation", body).status_code == 503
    assert deploy(served, device="cpu:0").status_code == 200
    freeze(served)
    assert deploy(served, device="cpu:0").status_code == 200
    assert served.post("smart_segmentation", body).status_code == 200
