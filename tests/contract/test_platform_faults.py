"""The platform fails in every way it can: the user gets a sentence, soon."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from failing import WAYS, FailingPlatform
from live import Platform, RunningApp

EXPECTED = {
    "info 500": 502,
    "info 503": 502,
    "info 429": 502,
    "info 400": 400,
    "info hangs": 504,
    "info garbage": 502,
    "info list": 502,
    "info empty": 502,
    "info redirects": 502,
    "info reset": 502,
    "info huge": 413,
    "download 500": 502,
    "download 404": 404,
    "download hangs": 504,
    "download drips": 504,
    "download empty": 422,
    "download text": 422,
    "download breaks off": 502,
    "download too large": 413,
    "download bomb": 413,
}


def click(failing: FailingPlatform, way: str) -> dict[str, Any]:
    context = {"positive": [{"x": 30, "y": 40}], "negative": [], "image_id": failing.image(way)}
    return {
        "context": context,
        "state": {},
        "api_token": "some-token",
        "server_address": failing.address,
    }


@pytest.mark.parametrize("way", EXPECTED)
def test_failure_is_told_in_words(
    way: str, app: RunningApp, failing_platform: FailingPlatform
) -> None:
    answer = app.post("smart_segmentation", click(failing_platform, way), timeout=25)
    body = answer.json()
    assert answer.status_code == EXPECTED[way], body
    assert body["success"] is False
    assert len(body["error"].split()) > 3
    assert "some-token" not in answer.text


@pytest.mark.parametrize("way", [way for way in WAYS if way not in EXPECTED])
def test_what_can_be_answered_is(
    way: str, app: RunningApp, failing_platform: FailingPlatform
) -> None:
    answer = app.post("smart_segmentation", click(failing_platform, way))
    # What a decoder makes of half a file is its own business; a crash is not.
    assert answer.status_code in ((200, 422) if way == "download half" else (200,)), answer.text


def test_failure_is_not_remembered(app: RunningApp, failing_platform: FailingPlatform) -> None:
    """Contract 4.4: in the SDK a failed download makes the next request hang for ten minutes."""
    body = click(failing_platform, "download 404")
    for _ in range(3):
        assert app.post("smart_segmentation", body, timeout=25).status_code == 404


def test_platform_that_hangs_does_not_stop_the_others(
    app: RunningApp, platform: Platform, failing_platform: FailingPlatform
) -> None:
    """The server's common pool has 40 threads: more requests than that hang at once."""
    hanging = click(failing_platform, "info hangs")
    good = platform.envelope(
        {
            "positive": [{"x": 160, "y": 120}],
            "negative": [],
            "image_id": platform.images["scene0"],
        }
    )
    with ThreadPoolExecutor(50) as pool:
        asked = [
            pool.submit(lambda: app.client.post("/smart_segmentation", json=hanging).status_code)
            for _ in range(48)
        ]
        for _ in range(5):
            assert app.post("is_online", timeout=2).json() == {"is_online": True}
            assert app.post("get_session_info", timeout=2).status_code == 200
            assert app.post("smart_segmentation", good, timeout=2).status_code == 200
        assert {one.result() for one in asked} == {504}


def test_client_that_goes_away_costs_no_encode(
    app: RunningApp, failing_platform: FailingPlatform
) -> None:
    """Through the guard and the SDK's middleware the app still sees that nobody listens."""
    body = click(failing_platform, "info slow") | {"api_token": "token-of-one-who-leaves"}
    with pytest.raises(httpx.ReadTimeout):
        app.post("smart_segmentation", body, headers={"X-Request-Id": "gone-1"}, timeout=0.2)

    def lines() -> list[str]:
        return [line for line in app.log().splitlines() if '"request_id": "gone-1"' in line]

    app.wait(lambda: bool(lines()))
    assert '"kind": "ClientGone"' in lines()[-1]
