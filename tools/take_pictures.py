"""Takes the pictures of the documentation from the running page.

Starts workspace and app with nano over the sample folder, does in a headless Chromium what a
person does, and writes `docs/pictures/*.webp`:

    PYTHONPATH=tests/browser python tools/take_pictures.py [NAME ...]

Look at each picture before it is committed.
"""

from __future__ import annotations

import argparse
import io
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from chromium import FLAGS, find_chromium
from labeler import WAIT_MS, Labeler
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from servers import Demo, app_process, free_port, workspace_process
from targets import Target, largest_of
from tracks import wait_for_the_end

from sam2_serving.scenes import draw_clip, draw_scene
from sam2_serving.workspace.samples import (
    CLIP_FRAMES,
    CLIP_SEED,
    CLIP_SIZE,
    SCENE_SEEDS,
    make_samples,
)

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
WINDOW = {"width": 1280, "height": 720}
SCENE = 0
"""Which of the drawn scenes is shown: its index in SCENE_SEEDS."""

CROSS_STEP = 10
"""Pixels of the window that an arrow moves the cross by."""

# A headless browser draws no pointer.
POINTER = """() => {
  const dot = document.createElement("div");
  dot.style.cssText = "position:fixed;z-index:99999;width:20px;height:20px;margin:-10px;" +
    "border:2px solid #fff;border-radius:50%;background:#0008;pointer-events:none;left:-50px";
  document.body.append(dot);
  addEventListener("mousemove", ({ clientX, clientY }) => {
    dot.style.left = `${clientX}px`; dot.style.top = `${clientY}px`;
  }, true);
}"""


class Camera:
    """Takes pictures of a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._reel: list[tuple[Image.Image, int]] = []

    def still(self, name: str) -> None:
        """Write the page as `name`.webp."""
        self._shot().save(PICTURES / f"{name}.webp", quality=80, method=6)

    def frame(self, shown_ms: int = 900) -> None:
        """Add a picture to the animation."""
        self._reel.append((self._shot().resize((960, 540), Image.Resampling.LANCZOS), shown_ms))

    def animation(self, name: str) -> None:
        """Write the frames so far as `name`.webp."""
        (first, _), *rest = self._reel
        first.save(
            PICTURES / f"{name}.webp",
            save_all=True,
            append_images=[one for one, _ in rest],
            duration=[shown_ms for _, shown_ms in self._reel],
            loop=0,
            quality=75,
            method=6,
        )

    def _shot(self) -> Image.Image:
        self.page.wait_for_timeout(400)
        return Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")


def scene_targets(count: int) -> list[Target]:
    """Return the largest objects of the scene that is shown."""
    masks = draw_scene(SCENE_SEEDS[SCENE], size=(640, 480), difficulty="easy").masks
    chosen = sorted(masks, key=np.count_nonzero)[-count:]
    return [largest_of(mask[None]) for mask in reversed(chosen)]


def film_target(frame: int) -> Target:
    """Return the largest object of a frame of the sample film."""
    clip = draw_clip(CLIP_SEED, frames=CLIP_FRAMES, size=CLIP_SIZE)
    return largest_of(clip.masks[frame])


def open_scene(labeler: Labeler, demo: Demo) -> None:
    """Open the drawn scene that the pictures show."""
    labeler.open(demo.url)
    labeler.choose(f"scene-{SCENE + 1}.png")


def label(labeler: Labeler, target: Target) -> None:
    """Save an object from its box."""
    labeler.box(*target.box)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_state("idle")


def take_demo(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """From an empty image to three saved objects."""
    open_scene(labeler, demo)
    labeler.page.evaluate(POINTER)
    camera.frame()
    for target in scene_targets(3):
        x0, y0, x1, y1 = target.box
        mouse = labeler.page.mouse
        mouse.move(*labeler.spot(x0, y0))
        camera.frame(400)
        mouse.down()
        mouse.move(*labeler.spot((x0 + x1) // 2, (y0 + y1) // 2), steps=4)
        camera.frame(250)
        mouse.move(*labeler.spot(x1, y1), steps=4)
        camera.frame(400)
        mouse.up()
        labeler.expect_state("mask")
        camera.frame(1100)
        labeler.click(*target.outside, "Shift")
        labeler.page.wait_for_timeout(500)
        labeler.expect_state("mask")
        camera.frame(1100)
        labeler.press("Space")
        labeler.expect_state("idle")
        camera.frame(600)
    labeler.press("Shift+H")
    camera.frame(2500)
    camera.animation("demo")


def take_image(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """The Smart Tool with a mask in the making, and two saved figures."""
    open_scene(labeler, demo)
    first, *others = scene_targets(3)
    for target in others:
        label(labeler, target)
    labeler.press("Shift+H")
    labeler.box(*first.box)
    labeler.expect_state("mask")
    labeler.click(*first.outside, "Shift")
    labeler.page.wait_for_timeout(500)
    labeler.expect_state("mask")
    camera.still("image")


def take_export(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """The export panel, with a finished export."""
    open_scene(labeler, demo)
    for target in scene_targets(3):
        label(labeler, target)
    labeler.page.get_by_role("button", name="Export", exact=True).click()
    panel = labeler.page.get_by_role("dialog", name="Export")
    panel.get_by_role("button", name=re.compile("^Export")).first.click()
    expect(panel.get_by_role("link").first).to_be_visible()
    camera.still("export")


def take_serve(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """The Serve drawer."""
    open_scene(labeler, demo)
    label(labeler, scene_targets(1)[0])
    labeler.page.locator("#model-status").click()
    expect(labeler.page.locator("#serve")).to_be_visible()
    camera.still("serve")


def take_keys(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """The table of keys."""
    open_scene(labeler, demo)
    labeler.press("?")
    camera.still("keys")


def take_keyboard(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """An object that was clicked by keys alone: the cross is on it."""
    open_scene(labeler, demo)
    labeler.page.locator("#canvas").focus()
    labeler.press("Enter")
    (x, y), (middle_x, middle_y) = labeler.spot(*scene_targets(1)[0].inside), labeler.spot(320, 240)
    for way, steps in (("Right", x - middle_x), ("Left", middle_x - x)):
        for _ in range(round(max(steps, 0) / CROSS_STEP)):
            labeler.press(f"Arrow{way}")
    for way, steps in (("Down", y - middle_y), ("Up", middle_y - y)):
        for _ in range(round(max(steps, 0) / CROSS_STEP)):
            labeler.press(f"Arrow{way}")
    labeler.press("Enter")
    labeler.expect_state("mask")
    camera.still("keyboard")


def take_apply(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """Everything in the image, found at once."""
    open_scene(labeler, demo)
    labeler.press("a")
    panel = labeler.page.get_by_role("region", name="Apply model")
    panel.get_by_label("Points a side").fill("16")
    panel.get_by_label("Least predicted IoU").fill("0.7")
    panel.get_by_label("Least stability").fill("0.8")
    panel.get_by_role("button", name="Apply to the picture").click()
    expect(labeler.page.locator("li.figure").first).to_be_visible()
    camera.still("apply")


def take_batch(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """The Batched Smart Tool over boxes of one class."""
    open_scene(labeler, demo)
    labeler.press("b")
    for number, target in enumerate(scene_targets(4), start=1):
        labeler.box(*target.box)
        labeler.expect_figures(number)
    labeler.page.get_by_role("button", name="Batched Smart Tool").click()
    root = labeler.page.get_by_role("dialog", name="Batched Smart Tool")
    expect(root.locator("li.cell").first).to_have_attribute("data-drawn", re.compile("."))
    root.get_by_role("button", name=re.compile("^Segment")).first.click()
    expect(root.locator("li.cell[data-state=mask]")).to_have_count(4)
    camera.still("batch")


def take_video(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """An object tracked, corrected on a later frame, and tracked again from there."""
    page = labeler.page
    labeler.open(demo.url)
    labeler.choose("clip.avi")
    video = demo.media("videos")
    labeler.go_to("frame", 4)
    label(labeler, film_target(4))
    page.get_by_label("Frames to track").fill("30")
    for frame in (4, 15):
        labeler.go_to("frame", frame)
        labeler.expect_figures(1)
        if frame != 4:
            page.locator("li.figure").get_by_role("button", name=re.compile("Edit")).click()
            labeler.expect_state("edit")
            labeler.click(*film_target(frame).outside, "Shift")
            labeler.expect_state("mask")
            labeler.press("Space")
            expect(page.locator(".lane .bar.human")).to_have_count(2)
        with page.expect_response("**/track"):
            labeler.press("t")
        wait_for_the_end(demo, video)
    expect(page.locator(".run[data-state=running]")).to_have_count(0)
    labeler.go_to("frame", 22)
    labeler.expect_figures(1)
    camera.still("video")


def take_volume(demo: Demo, camera: Camera, labeler: Labeler) -> None:
    """Three planes of a volume, with a mask on one slice."""
    labeler.open(demo.url)
    labeler.choose("blobs.nrrd")
    page = labeler.page
    page.mouse.move(*labeler.spot(63, 32))
    labeler.press("x")
    labeler.box(46, 22, 80, 43)
    labeler.expect_state("mask")
    camera.still("volume")


TAKES: dict[str, Callable[[Demo, Camera, Labeler], None]] = {
    name.removeprefix("take_"): take
    for name, take in list(globals().items())
    if name.startswith("take_")
}


@contextmanager
def running_demo() -> Iterator[Demo]:
    """Run workspace and app over the samples; nano is served."""
    with tempfile.TemporaryDirectory() as folder:
        media, data, app_port = Path(folder) / "samples", Path(folder) / "data", free_port()
        make_samples(media)
        with (
            workspace_process(data, media, f"http://127.0.0.1:{app_port}", free_port()) as url,
            app_process(data, url, app_port),
        ):
            demo = Demo(url)
            demo.serve_nano()
            yield demo


def take(name: str, demo: Demo, browser: Browser) -> None:
    """Take one picture, in a page of its own, over a workspace without figures."""
    demo.clear_figures()
    context = browser.new_context(viewport=WINDOW, color_scheme="light")  # type: ignore[arg-type]
    page = context.new_page()
    TAKES[name](demo, Camera(page), Labeler(page))
    context.close()


def main() -> None:
    """Take the pictures that are named, or all."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", choices=[[], *TAKES], help="default: all")
    names = arguments.parse_args().names or list(TAKES)
    PICTURES.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=WAIT_MS)
    with running_demo() as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        for name in names:
            print(name, flush=True)
            take(name, demo, browser)
        browser.close()


if __name__ == "__main__":
    main()
