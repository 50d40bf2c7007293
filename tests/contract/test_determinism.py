"""An answer is a pure function of image and prompts: byte for byte, whatever came before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from live import Platform, RunningApp


def bodies(platform: Platform) -> list[dict[str, Any]]:
    """Boxes, clicks and both, on three images."""
    asked = []
    for name in ("scene0", "scene1", "scene2"):
        one = platform.objects[name]
        prompts: list[dict[str, Any]] = [
            {"positive": [one.click], "negative": []},
            {"positive": [one.click], "negative": [one.click_beside]},
            {"positive": [one.click_outside], "negative": [one.click]},
            {"positive": [], "negative": [], "crop": one.crop},
            {"positive": [one.click], "negative": [], "crop": one.crop},
            {"positive": [one.click], "negative": [one.click_beside], "crop": one.crop},
        ]
        asked += [
            platform.envelope({**context, "image_id": platform.images[name]}) for context in prompts
        ]
    return asked


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


def test_same_bytes_after_redeploy(app: RunningApp, platform: Platform) -> None:
    asked = bodies(platform)[:8]
    first = [ask(app, body) for body in asked]
    state = {"model_name": "nano", "deploy_params": {"model_source": "Pretrained models"}}
    assert app.post("deploy_from_api", {"state": state}).status_code == 200
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
