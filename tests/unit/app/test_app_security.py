"""What the guard passes on, and to whom."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import FastAPI, Request

from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.security import Guard


def answering(name: str, *paths: str) -> FastAPI:
    """An application that says who it is, under some paths."""
    app = FastAPI()

    async def answer(request: Request) -> str:
        assert request.state.request_id == "an-id"
        await request.json()
        return name

    for path in paths:
        app.post(path)(answer)
    return app


def post(guard: Guard, path: str) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, json={}, headers={"X-Request-Id": "an-id"})

    # A browser test of the same worker may have left an event loop running in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, call()).result(30)


@pytest.mark.parametrize("prefix", ["", "/net/tool"])
def test_clicks_go_their_short_way_under_the_platforms_prefix_too(monkeypatch, prefix):
    """The SDK adds the prefix to its own routes only."""
    monkeypatch.setenv("SUPERVISELY_SERVER_PATH_PREFIX", prefix)
    sdk = answering("sdk", f"{prefix}/smart_segmentation", f"{prefix}/track")
    clicks = answering("clicks", "/smart_segmentation")
    guard = Guard(sdk, ServerPolicy(None, ()), 1000, clicks=clicks)
    assert post(guard, f"{prefix}/smart_segmentation").json() == "clicks"
    assert post(guard, f"{prefix}/track").json() == "sdk"
    alone = Guard(sdk, ServerPolicy(None, ()), 1000)
    assert post(alone, f"{prefix}/smart_segmentation").json() == "sdk"
