"""What the engine tells those who watch it, and in whose name."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from enum import IntEnum

import pytest

from sam2_serving.engine.observing import Unobserved
from sam2_serving.engine.scheduler import Priority, Scheduler
from sam2_serving.model.parts import InParts, Parts

ASKED_BY = contextvars.ContextVar("asked_by", default="nobody")


class Watcher(Unobserved):
    def __init__(self) -> None:
        self.units: list[tuple[str, Priority, float, float]] = []

    def ran(self, priority: IntEnum, waited: float, seconds: float) -> None:
        self.units.append((ASKED_BY.get(), Priority(priority), waited, seconds))


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def scheduler(watcher: Watcher) -> Iterator[Scheduler]:
    made = Scheduler(observer=watcher)
    yield made
    made.close()


def test_work_on_the_device_is_done_in_the_name_of_the_one_who_asked(
    scheduler: Scheduler, watcher: Watcher
) -> None:
    def parts() -> Parts[list[str]]:
        seen = [ASKED_BY.get()]
        yield
        seen.append(ASKED_BY.get())
        return seen

    def ask(name: str) -> list[str]:
        ASKED_BY.set(name)
        return scheduler.run(Priority.CLICK_ENCODE, InParts(parts))

    for name in ("anna", "bert"):
        assert contextvars.copy_context().run(ask, name) == [name, name]
    assert [(who, priority) for who, priority, _, _ in watcher.units] == [
        ("anna", Priority.CLICK_ENCODE),
        ("bert", Priority.CLICK_ENCODE),
    ]
    assert all(waited >= 0 and ran > 0 for _, _, waited, ran in watcher.units)


def test_a_unit_that_fails_is_told_of_before_its_error(
    scheduler: Scheduler, watcher: Watcher
) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        scheduler.run(Priority.MANY, fail)
    assert [priority for _, priority, _, _ in watcher.units] == [Priority.MANY]
