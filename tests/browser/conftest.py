from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from chromium import FLAGS, NoChromium, find_chromium
from labeler import WAIT_MS, Labeler
from playwright.sync_api import Browser, Page, expect, sync_playwright
from servers import Demo, app_process, free_port, workspace_process
from targets import Target, largest_of
from tracks import START, wait_for_the_end

from sam2_serving.scenes import Clip, Scene, draw_clip, draw_scene
from sam2_serving.workspace.samples import draw_volume, write_cloud, write_video, write_volume

SKIPPED = "NO_BROWSER=1: the browser tests were LEFT OUT; the page is untested in this run."
SEEDS = (101, 102)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)
            if os.environ.get("NO_BROWSER") == "1":
                item.add_marker(pytest.mark.skip(reason=SKIPPED))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if any(SKIPPED in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.section("browser tests", sep="!", red=True, bold=True)
        terminalreporter.line(SKIPPED, red=True, bold=True)


@pytest.fixture(scope="session")
def chromium() -> str:
    try:
        return find_chromium()
    except NoChromium as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def scenes() -> list[Scene]:
    """Drawn images whose objects are known."""
    return [draw_scene(seed, size=(640, 480), difficulty="easy") for seed in SEEDS]


@pytest.fixture(scope="session")
def target(scenes: list[Scene]) -> Target:
    """The largest object of the first scene."""
    return largest_of(scenes[0].masks)


@pytest.fixture(scope="session")
def clip() -> Clip:
    """A drawn film whose objects are known on every frame."""
    return draw_clip(6, frames=30, size=(320, 240))


@pytest.fixture(scope="session")
def leaving() -> Clip:
    """A drawn film whose object 0 is gone from frame 9 on.

    Its shape and colour are like nothing else's: the tracker is sure that it is gone. Of objects
    that are like others, nano rather follows another one.
    """
    return draw_clip(15, frames=20, size=(320, 240))


@pytest.fixture(scope="session")
def media(
    scenes: list[Scene], clip: Clip, leaving: Clip, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for number, scene in enumerate(scenes, start=1):
        bgr = cv2.cvtColor(np.ascontiguousarray(scene.image), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"scene-{number}.png"), bgr)
    (folder / "about.txt").write_text("Scenes of the tests.")
    for name in ("film", "scan", "street"):
        (folder / name).mkdir()
    write_video(folder / "film" / "clip.avi", clip.frames)
    write_video(folder / "film" / "leaving.avi", leaving.frames)
    write_volume(folder / "scan" / "blobs.nrrd", draw_volume((128, 112, 64)))
    write_cloud(folder / "street" / "a.pcd")
    photos = folder / "street" / "related_images" / "a_pcd"
    photos.mkdir(parents=True)
    (photos / "photo.png").write_bytes((folder / "scene-2.png").read_bytes())
    return folder


@pytest.fixture(scope="session")
def demo(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The workspace and the app (nano is not served yet)."""
    data = tmp_path_factory.mktemp("data")
    app_port = free_port()
    app_url = f"http://127.0.0.1:{app_port}"
    with (
        workspace_process(data, media, app_url, free_port()) as url,
        app_process(data, url, app_port),
    ):
        yield Demo(url)


@pytest.fixture
def served(demo: Demo) -> Demo:
    """The same with nano served, and with no figures."""
    demo.serve_nano()
    demo.clear_figures()
    return demo


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose scripts must not fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    # Tests say themselves where they click; what is on at first has tests of its own.
    context.add_init_script(
        "if (!localStorage.getItem('sam2-serving.habits'))"
        " localStorage.setItem('sam2-serving.habits', JSON.stringify({ autoPoint: false }));"
    )
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert not problems


@pytest.fixture
def labeler(page: Page) -> Labeler:
    return Labeler(page)


@pytest.fixture(scope="session")
def followed(clip: Clip) -> Target:
    """The object of the film that the tests follow."""
    return largest_of(clip.masks[START])


@pytest.fixture
def film(served: Demo, labeler: Labeler) -> Iterator[dict[str, Any]]:
    """The film, open on its first frame; no run of tracking outlives the test."""
    labeler.open(served.url)
    labeler.choose("clip.avi")
    video = served.media("videos")
    yield video
    for track in served.get(f"videos/{video['id']}/tracks"):
        served.client.post(f"{served.url}/workspace/api/tracks/{track['trackId']}/stop")
    wait_for_the_end(served, video)
