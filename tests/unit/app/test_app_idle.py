"""The watch calls after a time without a touch, once, and not after it was stopped."""

from __future__ import annotations

import threading
import time

from sam2_serving.app.idle import IdleWatch


def test_called_once_and_again_after_the_next_touch() -> None:
    idle = threading.Semaphore(0)
    watch = IdleWatch(0.05, idle.release)
    for _ in range(2):
        watch.touch()
        assert idle.acquire(timeout=10)
        assert not idle.acquire(timeout=0.2)


def test_touches_put_it_off() -> None:
    idle = threading.Event()
    watch = IdleWatch(1.5, idle.set)
    for _ in range(12):
        watch.touch()
        time.sleep(0.15)
    last = time.monotonic()
    assert not idle.is_set()
    assert idle.wait(10)
    assert time.monotonic() - last > 0.2


def test_stopped_watch_is_silent() -> None:
    idle = threading.Event()
    watch = IdleWatch(0.05, idle.set)
    watch.touch()
    watch.stop()
    assert not idle.wait(0.3)
