"""What the page says of a film's tracks, and what the tests of it share."""

from __future__ import annotations

import time
from typing import Any

from labeler import Labeler
from playwright.sync_api import Locator, Page, expect
from servers import Demo
from targets import Target

START, FRAMES = 4, 20
SLOW_S = 0.5
"""Longer than the page waits before it looks again: it sees a job grow."""


def wait_for_the_end(served: Demo, video: dict[str, Any]) -> None:
    end = time.monotonic() + 20
    while any(one["state"] == "running" for one in served.get(f"videos/{video['id']}/tracks")):
        assert time.monotonic() < end
        time.sleep(0.1)


def save_object(labeler: Labeler, target: Target, frame: int) -> None:
    labeler.go_to("frame", frame)
    labeler.box(*target.box)
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(1)


def shown_bars(page: Page) -> list[tuple[int, int, bool]]:
    """What the bars on the page say: first frame, last frame, whether a person drew it."""
    bars = page.locator(".lane .bar")
    found: list[list[Any]] = bars.evaluate_all(
        "all => all.map(({dataset: {from, to}, classList}) =>"
        " [Number(from), Number(to), classList.contains('human')])"
    )
    return [(int(first), int(last), bool(human)) for first, last, human in found]


def expect_bars(page: Page, *bars: tuple[int, int, bool]) -> None:
    expect(page.locator(".lane .bar")).to_have_count(len(bars))
    for number, (first, last, _) in enumerate(bars):
        bar = page.locator(".lane .bar").nth(number)
        expect(bar).to_have_attribute("data-from", str(first))
        expect(bar).to_have_attribute("data-to", str(last))
    assert shown_bars(page) == list(bars)


def run(page: Page, state: str) -> Locator:
    """The lines about runs of tracking in a state."""
    return page.locator(f".run[data-state={state}]")
