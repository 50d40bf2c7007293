"""A platform that does not answer is not waited for by everybody."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.platform.breaker import Breaker, PlatformSilent, PlatformUnreachable
from sam2_serving.app.reporting import (
    ClientGone,
    MediaNotFound,
    PlatformTimeout,
    PlatformUnavailable,
)

HERE = "http://here"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(calls=3, silent_s=10, pause_s=5, clock=clock)


def ask(breaker: Breaker, outcome: Exception | None = None, server: str = HERE) -> None:
    with breaker.call(server):
        if outcome is not None:
            raise outcome


def fall_silent(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        with pytest.raises(PlatformTimeout):
            ask(breaker, PlatformTimeout("slow"))
        clock.now += 6


def test_silence_is_told_at_once_and_ends_with_an_answer(breaker: Breaker, clock: Clock) -> None:
    fall_silent(breaker, clock)
    clock.now -= 6
    with pytest.raises(PlatformSilent, match="has not answered for 12 s") as caught:
        ask(breaker)
    assert (caught.value.status, caught.value.retry_after_s) == (503, 5.0)
    ask(breaker, server="http://elsewhere")
    clock.now += 5
    with breaker.call(HERE), pytest.raises(PlatformSilent):
        ask(breaker)  # one tries, the others do not wait for it
    ask(breaker)


def test_a_try_that_fails_is_followed_by_a_pause(breaker: Breaker, clock: Clock) -> None:
    fall_silent(breaker, clock)
    with pytest.raises(PlatformUnreachable):
        ask(breaker, PlatformUnreachable("reset"))
    with pytest.raises(PlatformSilent):
        ask(breaker)
    clock.now += 5
    with pytest.raises(ClientGone):
        ask(breaker, ClientGone("left"))  # says nothing: the next one tries
    ask(breaker)


@pytest.mark.parametrize("answer", [MediaNotFound("no"), PlatformUnavailable("500"), None])
def test_any_answer_counts(breaker: Breaker, clock: Clock, answer: Exception | None) -> None:
    for _ in range(20):
        with pytest.raises(PlatformTimeout):
            ask(breaker, PlatformTimeout("slow"))
        clock.now += 20
        if answer is None:
            ask(breaker)
            continue
        with pytest.raises(type(answer)):
            ask(breaker, answer)


def test_many_calls_at_one_moment_are_no_silence(breaker: Breaker, clock: Clock) -> None:
    for _ in range(50):
        with pytest.raises(PlatformTimeout):
            ask(breaker, PlatformTimeout("slow"))
    clock.now += 9
    ask(breaker)


def test_clicks_fail_fast_while_a_platform_hangs() -> None:
    """With a real socket that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept_all, args=(server,), daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        client = PlatformClient(0.3, Breaker(calls=3, silent_s=0.5, pause_s=60))
        caller = Caller(address, "token")
        for _ in range(3):
            with pytest.raises(PlatformTimeout):
                client.image_info(caller, 1)
        began = time.monotonic()
        for _ in range(100):
            with pytest.raises(PlatformSilent):
                client.image_info(caller, 1)
        assert time.monotonic() - began < 100 * 0.3, "it waits for each"
        client.close()


def accept_all(server: socket.socket) -> None:
    kept = []
    while True:
        try:
            kept.append(server.accept())
        except OSError:
            return
