"""What a person does on the page, in image coordinates."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, Request, expect

WAIT_MS = 30_000
"""How long anything may take: on a busy machine, five seconds are soon over."""


def sent(request: Request) -> dict[str, Any]:
    """What a request carries."""
    return dict(json.loads(request.post_data or "{}"))


def pairs(*points: tuple[int, int]) -> list[dict[str, int]]:
    """Points as the wire writes them."""
    return [{"x": x, "y": y} for x, y in points]


@dataclass(frozen=True)
class Labeler:
    """Drives the page with the mouse and the keyboard."""

    page: Page

    def open(self, url: str) -> None:
        """Open the page and wait until an image is drawn."""
        self.page.goto(url)
        self.expect_state("idle")
        self.expect_picture()

    def wait_until(self, done: Callable[[], object]) -> None:
        """Wait for something that no element of the page shows."""
        end = time.monotonic() + WAIT_MS / 1000
        while not done():
            assert time.monotonic() < end, "it did not happen"
            self.page.wait_for_timeout(20)

    def choose(self, name: str) -> None:
        """Open an image of the list."""
        self.page.get_by_role("button", name=name).click()
        expect(self.page.locator("#where")).to_contain_text(name)
        self.expect_picture()

    def go_to(self, one: str, number: int) -> None:
        """Type the number of a frame or a slice."""
        box = self.page.get_by_label(f"Number of the {one}")
        box.fill(str(number))
        box.press("Enter")
        self.page.locator("#canvas").focus()
        expect(self.page.locator("#where")).to_contain_text(f"{one} {number} ")
        self.expect_picture()

    def expect_picture(self) -> None:
        """Wait until the image is drawn."""
        expect(self.page.locator("#canvas")).to_have_attribute("data-shown", "yes")

    def spot(self, x: float, y: float) -> tuple[float, float]:
        """Where the middle of an image's pixel is in the window."""
        canvas = self.page.locator("#canvas")
        frame = canvas.bounding_box()
        data = {
            name: float(canvas.get_attribute(f"data-{name}") or "nan")
            for name in ("scale", "x", "y")
        }
        assert frame is not None
        return (
            frame["x"] + data["x"] + (x + 0.5) * data["scale"],
            frame["y"] + data["y"] + (y + 0.5) * data["scale"],
        )

    def drag(self, start: tuple[int, int], end: tuple[int, int], button: str = "left") -> None:
        mouse = self.page.mouse
        mouse.move(*self.spot(*start))
        target = self.spot(*end)
        mouse.down(button=button)  # type: ignore[arg-type]
        mouse.move(*target, steps=5)
        mouse.up(button=button)  # type: ignore[arg-type]

    def box(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Drag a box; the corners are its first and last pixel."""
        self.drag((x0, y0), (x1, y1))

    def click(self, x: int, y: int, *modifiers: str) -> None:
        for key in modifiers:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.spot(x, y))
        for key in modifiers:
            self.page.keyboard.up(key)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def expect_state(self, state: str) -> None:
        """Wait for a state of the Smart Tool: idle, mask, none, error."""
        stage = self.page.locator("#stage")
        expect(stage).to_have_attribute("data-state", state)

    def expect_figures(self, count: int) -> None:
        """Wait until so many figures are listed and drawn."""
        expect(self.page.locator("li.figure")).to_have_count(count)
        expect(self.page.locator("#canvas")).to_have_attribute("data-figures", str(count))
