"""What an app that was stopped and started again knows, and whom it asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from live import DrawnObject, Platform, RunningApp
from test_determinism import ask, bodies
from test_editing import LATER, click, inline
from test_sources import SOURCES


@dataclass(frozen=True)
class Before:
    """What was answered before the restart, and what the start asked of the platform."""

    answers: list[bytes]
    begun: dict[str, bytes]
    """The first answer of an edit, by the kind of its source."""
    later: dict[str, bytes]
    asked: dict[str, int]


@pytest.fixture(scope="module")
def drawn(platform: Platform) -> DrawnObject:
    return platform.objects["scene0"]


@pytest.fixture(scope="module")
def sources(platform: Platform) -> dict[str, Any]:
    return {kind: make(platform) for kind, make in SOURCES.items()}


def key(kind: str) -> dict[str, str]:
    return {"local_figure_id": f"restart {kind}"}


@pytest.fixture(scope="module")
def before(
    app: RunningApp, platform: Platform, drawn: DrawnObject, sources: dict[str, Any]
) -> Before:
    answers = [ask(app, body) for body in bodies(platform)[:8]]
    begun, later = {}, {}
    for kind, source in sources.items():
        first = {"init_figure": True, "mask": inline(drawn.mask)}
        answer = click(app, platform, **source, **key(kind), **first)
        assert answer.status_code == 200, answer.text
        begun[kind] = answer.content
        answer = click(app, platform, **source, **key(kind), **LATER)
        assert answer.status_code == 200, answer.text
        later[kind] = answer.content
        assert later[kind] != begun[kind]
    app.stop()
    platform.workspace.counts.reset()
    app.start()
    return Before(answers, begun, later, platform.workspace.counts.read())


@pytest.mark.long  # an app of its own
def test_headless_start_calls_no_platform(before: Before) -> None:
    assert before.asked == {}


def test_same_bytes_after_a_restart(before: Before, app: RunningApp, platform: Platform) -> None:
    assert [ask(app, body) for body in bodies(platform)[:8]] == before.answers


def test_session_across_a_restart(
    before: Before,
    app: RunningApp,
    platform: Platform,
    drawn: DrawnObject,
    sources: dict[str, Any],
) -> None:
    """Works for frames, slices and photos as for images; the later clicks carry only the key."""
    for kind, source in sources.items():
        assert click(app, platform, **source, **key(kind)).content == before.begun[kind]
        later = click(app, platform, **source, **key(kind), **LATER)
        assert later.content == before.later[kind]
        whole = {**LATER, "mask": inline(drawn.mask)}
        assert click(app, platform, **source, **whole).content == before.later[kind]
