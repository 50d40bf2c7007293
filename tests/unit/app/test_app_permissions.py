"""What is remembered of the platform's answers, and for how long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sam2_serving.app.permissions import MediaInfo, Permissions
from sam2_serving.app.platform.api import Caller
from sam2_serving.app.reporting import PermissionDenied

ANNA = Caller("http://a", "token-of-anna")
BERT = Caller("http://a", "token-of-bert")
INFO = MediaInfo("hash", (3, 4))


class Platform:
    """Counts the questions; says no when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.refuses = False

    def __call__(self) -> MediaInfo:
        self.asked += 1
        if self.refuses:
            raise PermissionDenied("no")
        return INFO


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def permissions(now: list[float]) -> Permissions:
    return Permissions(60.0, clock=lambda: now[0])


def test_yes_counts_for_a_minute(permissions: Permissions, now: list[float]) -> None:
    platform = Platform()
    for now[0] in (0.0, 30.0, 59.9):
        assert permissions.info(ANNA, "image", "1", platform) == INFO
    assert platform.asked == 1
    now[0] = 60.0
    permissions.info(ANNA, "image", "1", platform)
    assert platform.asked == 2


def test_right_that_was_taken_away(permissions: Permissions, now: list[float]) -> None:
    platform = Platform()
    permissions.info(ANNA, "image", "1", platform)
    platform.refuses, now[0] = True, 61.0
    with pytest.raises(PermissionDenied):
        permissions.info(ANNA, "image", "1", platform)


def test_no_is_not_remembered(permissions: Permissions) -> None:
    platform = Platform()
    platform.refuses = True
    for _ in range(2):
        with pytest.raises(PermissionDenied):
            permissions.info(ANNA, "image", "1", platform)
    platform.refuses = False
    assert permissions.info(ANNA, "image", "1", platform) == INFO
    assert platform.asked == 3


def test_nothing_is_shared_between_tokens_servers_kinds_and_ids(permissions: Permissions) -> None:
    platform = Platform()
    asked = [
        (ANNA, "image", "1"),
        (BERT, "image", "1"),
        (Caller("http://b", ANNA.token), "image", "1"),
        (ANNA, "frame", "1"),
        (ANNA, "image", "2"),
    ]
    for caller, kind, id in asked:
        permissions.info(caller, kind, id, platform)
    assert platform.asked == len(asked)


def test_who_asks_the_same_at_once_shares_the_answer(permissions: Permissions) -> None:
    started, answer = threading.Event(), threading.Event()
    asked = []

    def slow() -> MediaInfo:
        asked.append(1)
        started.set()
        assert answer.wait(20)
        return INFO

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(permissions.info, ANNA, "image", "1", slow)
        assert started.wait(20)
        others = [pool.submit(permissions.info, ANNA, "image", "1", slow) for _ in range(7)]
        other_caller = pool.submit(permissions.info, BERT, "image", "1", lambda: INFO)
        assert other_caller.result(20) == INFO
        answer.set()
        assert all(one.result(20) == INFO for one in (first, *others))
    assert len(asked) == 1


def test_token_is_not_shown() -> None:
    assert "token-of-anna" not in repr(ANNA)
