"""Who gets in when an access key is set."""

from __future__ import annotations

import asyncio
import hmac
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from sam2_serving.app.access import OPEN, AccessKey
from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.reporting import Unauthorized
from sam2_serving.app.security import Guard
from sam2_serving.settings import ServerSettings

KEY = "a-key-of-more-than-16-signs"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-access-key", KEY.encode())],
        [(b"authorization", b"Bearer " + KEY.encode())],
        [(b"authorization", b"bearer   " + KEY.encode() + b" ")],
        [(b"authorization", b"Basic abc"), (b"x-access-key", KEY.encode())],
    ],
)
def test_the_key_opens(headers: list[tuple[bytes, bytes]]) -> None:
    AccessKey(KEY).check("/smart_segmentation", headers)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-access-key", b"")],
        [(b"x-access-key", KEY[:-1].encode())],
        [(b"x-access-key", KEY.upper().encode())],
        [(b"authorization", KEY.encode())],
        [(b"authorization", b"Basic " + KEY.encode())],
        [(b"x-api-key", KEY.encode())],
        [(b"cookie", b"x-access-key=" + KEY.encode())],
        [(b"x-access-key", b"\xff\xfe")],
    ],
)
def test_nothing_else_does(headers: list[tuple[bytes, bytes]]) -> None:
    for path in ("/smart_segmentation", "/", "/metrics", "/readyz", "/livez/", "/no/such"):
        with pytest.raises(Unauthorized, match="X-Access-Key"):
            AccessKey(KEY).check(path, headers)


def test_that_the_process_lives_is_told_to_anybody() -> None:
    for path in OPEN:
        AccessKey(KEY).check(path, [])


def test_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every key that is brought a hash is compared, with the function made for it."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    headers = [(b"x-access-key", b"x"), (b"authorization", b"Bearer " + KEY.encode())]
    AccessKey(KEY).check("/x", headers)
    assert [len(one) + len(other) for one, other in compared] == [64, 64]


def test_without_a_key_everybody_may_and_a_warning_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    access = AccessKey(None)
    access.check("/deploy_from_api", [])
    for address in ("127.0.0.1", "::1", None, "/run/app.sock"):
        access.warn_if_open(address)
    AccessKey(KEY).warn_if_open("192.0.2.7")
    assert not caplog.records
    for _ in range(3):
        access.warn_if_open("192.0.2.7")
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len(said) == 1
    assert "SAM2_SERVING_ACCESS_KEY" in said[0]


def test_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM2_SERVING_ACCESS_KEY", "")
    assert ServerSettings().access_key is None
    monkeypatch.setenv("SAM2_SERVING_ACCESS_KEY", KEY)
    assert KEY not in repr(ServerSettings())
    monkeypatch.setenv("SAM2_SERVING_ACCESS_KEY", "short")
    with pytest.raises(ValidationError, match="16"):
        ServerSettings()


def test_the_guard_asks_before_anything_is_read() -> None:
    app = FastAPI()
    app.post("/is_online")(lambda: {"is_online": True})
    app.get("/livez")(lambda: {"running": True})
    guard = Guard(app, ServerPolicy(None, ()), 1000, access=AccessKey(KEY))

    async def call(method: str, path: str, **more: Any) -> int:
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.request(method, path, **more)).status_code

    def status(method: str, path: str, **more: Any) -> int:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, call(method, path, **more)).result(30)

    key = {"X-Access-Key": KEY}
    assert status("POST", "/is_online", json={}) == 401
    assert status("POST", "/is_online", content=b"x" * 10_000) == 401, "not 413: it is not read"
    assert status("POST", "/is_online", json={}, headers=key) == 200
    assert status("GET", "/livez") == 200
    for path in ("/sly/session-info", "/sly/shutdown", "/debug", "/openapi.json", "/no/such/route"):
        assert status("GET", path) == 401
        assert status("POST", path, json={}) == 401
