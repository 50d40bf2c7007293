"""An answer is a pure function of image and prompts: byte for byte, whatever came before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from live import Platform, RunningApp

CROP = [{"x": 30, "y": 20}, {"x": 290, "y": 220}]
PROMPTS: list[dict[str, Any]] = [
    {"positive": [{"x": 160, "y": 120}], "negative": []},
    {"positive": [{"x": 160, "y": 120}], "negative": [{"x": 60, "y": 60}]},
    {"positive": [{"x": 160, "y": 120}, {"x": 100, "y": 90}], "negative": []},
    {"positive": [], "negative": [], "crop": CROP},
    {"positive": [{"x": 160, "y": 120}], "negative": [], "crop": CROP},
    {"positive": [{"x": 200, "y": 150}], "negative": [{"x": 50, "y": 40}], "crop": CROP},
]


def bodies(platform: Platform) -> list[dict[str, Any]]:
    return [
        platform.envelope({**prompts, "image_id": platform.images[name]})
        for name in ("scene0", "scene1", "scene2")
        for prompts in PROMPTS
    ]


def ask(app: RunningApp, body: dict[str, Any]) -> bytes:
    answer = app.post("smart_segmentation", body)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_same_bytes_in_any_order_and_from_many_threads(app: RunningApp, platform: Platform) -> None:
    asked = bodies(platform)
    first = [ask(app, body) for body in asked]
    assert len(set(first)) > len(first) // 2, "different requests give different answers"
    assert [ask(app, body) for body in reversed(asked)] == first[::-1]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda body: ask(app, body), asked * 3)) == first * 3


def test_same_bytes_after_redeploy_and_restart(app: RunningApp, platform: Platform) -> None:
    asked = bodies(platform)[:8]
    first = [ask(app, body) for body in asked]
    state = {"model_name": "nano", "deploy_params": {"model_source": "Pretrained models"}}
    assert app.post("deploy_from_api", {"state": state}).status_code == 200
    assert [ask(app, body) for body in asked] == first
    app.stop()
    app.start()
    assert [ask(app, body) for body in asked] == first


def test_request_id_travels_in_the_header_only(app: RunningApp, platform: Platform) -> None:
    body = bodies(platform)[0]
    named = app.client.post("/smart_segmentation", json=body, headers={"X-Request-Id": "abc-1.2"})
    assert named.headers["x-request-id"] == "abc-1.2"
    for strange in ("a b", "x" * 65, "<script>", ""):
        answer = app.client.post(
            "/smart_segmentation", json=body, headers={"X-Request-Id": strange}
        )
        assert answer.headers["x-request-id"] != strange
        assert answer.content == named.content
    assert '"request_id": "abc-1.2"' in app.log()
