"""Blocking work: off the event loop, bounded, and given up when the client is gone."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Request

from sam2_serving.app.reporting import ReportingRoute
from sam2_serving.app.workers import Workers
from sam2_serving.engine import CancelToken


class Work:
    """Work that lasts until it is released or cancelled."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.release = threading.Event()
        self.cancelled = threading.Event()

    def __call__(self, cancel: CancelToken) -> dict[str, bool]:
        self.started.release()
        while not self.release.wait(0.01):
            if cancel.cancelled:
                self.cancelled.set()
                break
        return {"done": True}


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def address(work: Work) -> Iterator[str]:
    workers = Workers(waiting_limit=2, threads=2)
    router = APIRouter(route_class=ReportingRoute)

    @router.post("/work")
    async def do_work(request: Request) -> dict[str, bool]:
        return await workers.run(request, work)

    @router.post("/defect")
    async def defect() -> None:
        raise ZeroDivisionError("private detail")

    app = FastAPI()
    app.include_router(router)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    yield f"http://{host}:{port}"
    work.release.set()
    server.should_exit = True
    thread.join(10)


def test_client_that_goes_away_cancels_its_work(address: str, work: Work) -> None:
    host, port = address.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)))
    client.sendall(b"POST /work HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
    assert work.started.acquire(timeout=20)
    assert not work.cancelled.is_set()
    client.close()
    assert work.cancelled.wait(20)


def test_too_much_waiting_work_is_refused(address: str, work: Work) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(httpx.post, f"{address}/work", timeout=30) for _ in range(8)]
        assert work.started.acquire(timeout=20)
        assert work.started.acquire(timeout=20)
        deadline = time.monotonic() + 20
        while sum(one.done() for one in asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        refused = [one.result() for one in asked if one.done()]
        work.release.set()
        answers = [one.result() for one in asked]
    assert len(refused) == 4
    assert all(one.status_code == 503 and one.headers["retry-after"] == "1" for one in refused)
    assert sum(one.status_code == 200 for one in answers) == 4


def test_defect_is_told_without_details(address: str) -> None:
    answer = httpx.post(f"{address}/defect")
    assert answer.status_code == 500
    assert answer.json()["success"] is False
    assert "private detail" not in answer.text


def test_what_hangs_for_one_client_leaves_threads_for_the_others(work: Work) -> None:
    async def scenario() -> None:
        workers = Workers(waiting_limit=50, threads=4, share=2)
        hanging = [asyncio.create_task(workers.run(connected(), work, "one")) for _ in range(8)]
        while not work.started.acquire(blocking=False):
            await asyncio.sleep(0.01)
        other = await asyncio.wait_for(workers.run(connected(), lambda _: "mask", "other"), 5)
        assert other == "mask"
        work.release.set()
        assert await asyncio.gather(*hanging) == [{"done": True}] * 8
        assert not workers._shares, "shares of clients that left are forgotten"

    # in a thread of its own: browser tests leave an event loop in the main one
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, scenario()).result(60)


def connected() -> Request:
    """A request whose client stays."""

    async def receive() -> dict[str, str]:
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)
