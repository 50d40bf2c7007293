"""A film on the page: played, tracked, stopped, corrected."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from labeler import WAIT_MS, Labeler, sent
from PIL import Image
from playwright.sync_api import Locator, Page, Request, Route, expect
from servers import SCREENSHOTS, Demo
from targets import Target, largest_of

from sam2_serving.masks.bitmap import decode_bitmap
from sam2_serving.scenes import Clip

START, FRAMES = 4, 20
SLOW_S = 0.5
"""Longer than the page waits before it looks again: it sees a job grow."""

Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]

WATCH_PLAYBACK = """() => {
  const [canvas, where] = ["#canvas", "#where"].map((id) => document.querySelector(id));
  const small = new OffscreenCanvas(64, 48).getContext("2d", { willReadFrequently: true });
  window.played = [];
  let before = null;
  const look = () => {
    const name = /frame (\\d+)/.exec(where.textContent)[1];
    if (name !== before && canvas.dataset.shown === "yes") {
      const [x, y, scale] = ["x", "y", "scale"].map((key) => Number(canvas.dataset[key]));
      small.drawImage(canvas, x, y, 320 * scale, 240 * scale, 0, 0, 64, 48);
      const { data } = small.getImageData(0, 0, 64, 48);
      const number = Number(document.querySelector("[aria-label='Number of the frame']").value);
      played.push({ frame: Number(name), number, at: performance.now(), pixels: Array.from(data) });
      before = name;
    }
    requestAnimationFrame(look);
  };
  look();
}"""


@pytest.fixture(scope="session")
def target(clip: Clip) -> Target:
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
    _wait_for_the_end(served, video)


def _wait_for_the_end(served: Demo, video: dict[str, Any]) -> None:
    end = time.monotonic() + 20
    while any(one["state"] == "running" for one in served.get(f"videos/{video['id']}/tracks")):
        assert time.monotonic() < end
        time.sleep(0.1)


def _save_object(labeler: Labeler, target: Target, frame: int) -> None:
    labeler.go_to("frame", frame)
    labeler.box(*target.box)
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    labeler.press("Space")
    labeler.expect_figures(1)


def _bars(page: Page) -> list[tuple[int, int, bool]]:
    """What the bars on the page say: first frame, last frame, whether a person drew it."""
    bars = page.locator(".lane .bar")
    found: list[list[Any]] = bars.evaluate_all(
        "all => all.map(({dataset: {from, to}, classList}) =>"
        " [Number(from), Number(to), classList.contains('human')])"
    )
    return [(int(first), int(last), bool(human)) for first, last, human in found]


def _expect_bars(page: Page, *bars: tuple[int, int, bool]) -> None:
    expect(page.locator(".lane .bar")).to_have_count(len(bars), timeout=WAIT_MS)
    for number, (first, last, _) in enumerate(bars):
        bar = page.locator(".lane .bar").nth(number)
        expect(bar).to_have_attribute("data-from", str(first), timeout=WAIT_MS)
        expect(bar).to_have_attribute("data-to", str(last), timeout=WAIT_MS)
    assert _bars(page) == list(bars)


def _run(page: Page, state: str) -> Locator:
    """The lines about runs of tracking in a state."""
    return page.locator(f".run[data-state={state}]")


def _mask(figure: dict[str, Any], like: Mask) -> Mask:
    bitmap = figure["geometry"]["bitmap"]
    part = decode_bitmap(bitmap["data"])
    x, y = bitmap["origin"]
    mask = np.zeros_like(like)
    mask[y : y + part.shape[0], x : x + part.shape[1]] = part
    return mask


def _overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


def _canvas(page: Page) -> Picture:
    """The picture as it is drawn on the stage, masks included, H x W x 3 in its own size."""
    data = page.evaluate("document.querySelector('#canvas').toDataURL()")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))))[..., :3]
    where = page.locator("#canvas")
    scale, x, y = (
        float(where.get_attribute(f"data-{name}") or "nan") for name in ("scale", "x", "y")
    )
    columns = np.floor(x + (np.arange(320) + 0.5) * scale).astype(int)
    rows = np.floor(y + (np.arange(240) + 0.5) * scale).astype(int)
    return np.ascontiguousarray(drawn[np.ix_(rows, columns)])


def _tinted(page: Page, frame: Picture, color: str) -> Mask:
    """Which pixels of the frame are drawn in a figure's colour."""
    tint = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)], np.float64)
    drawn, plain = _canvas(page).astype(np.float64), frame.astype(np.float64)
    far = np.linalg.norm(drawn - plain, axis=-1)
    return np.asarray(np.linalg.norm(drawn - (0.6 * plain + 0.4 * tint), axis=-1) < far)


def test_an_object_is_followed(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], clip: Clip, target: Target
) -> None:
    _save_object(labeler, target, START)
    with served.slow_reports(SLOW_S), page.expect_request("**/track") as asked:
        labeler.press("t")
        expect(_run(page, "running").locator("progress")).to_have_js_property("max", FRAMES)
        lengths = set()
        while _run(page, "finished").count() == 0:
            lengths.update(last for _, last, human in _bars(page) if not human)
            if lengths and len(lengths) == 1:
                page.screenshot(path=SCREENSHOTS / "tracking.png")
            page.wait_for_timeout(50)
    figure = served.figure(film["id"], START)
    assert sent(asked.value) == {
        "frame": START,
        "frames": FRAMES,
        "direction": "forward",
        "objectIds": [figure["objectId"]],
    }
    expect(_run(page, "finished")).to_contain_text(
        f"from frame {START}: {FRAMES} frames", timeout=WAIT_MS
    )
    _expect_bars(page, (START, START, True), (START + 1, START + FRAMES, False))
    assert len(lengths) > 1, "the bar grows while the job runs"

    at = START + 12
    labeler.go_to("frame", at)
    labeler.expect_figures(1)
    tracked = served.figure(film["id"], at)
    assert tracked["objectId"] == figure["objectId"]
    mask = _mask(tracked, target.mask)
    number = int(np.argmax([(target.mask & one).sum() for one in clip.masks[START]]))
    assert _overlap(mask, clip.masks[at][number]) > 0.7
    color = served.get("classes")[0]["color"]
    assert _overlap(_tinted(page, clip.frames[at], color), mask) > 0.85
    page.screenshot(path=SCREENSHOTS / "tracked.png")


def test_what_arrives_on_the_open_frame_is_drawn(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], target: Target
) -> None:
    _save_object(labeler, target, START)
    with served.slow_reports(SLOW_S):
        labeler.press("t")
        expect(_run(page, "running")).to_have_count(1, timeout=WAIT_MS)
        labeler.go_to("frame", START + FRAMES)
        labeler.expect_figures(0)
        expect(page.locator("li.figure")).to_have_count(1, timeout=WAIT_MS)
        labeler.expect_figures(1)
    expect(_run(page, "finished")).to_have_count(1, timeout=WAIT_MS)
    served.figure(film["id"], START + FRAMES)


def test_stop(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], target: Target
) -> None:
    _save_object(labeler, target, START)
    page.get_by_label("Frames to track").fill("25")
    with served.slow_reports(SLOW_S):
        page.get_by_role("button", name="Track", exact=True).click()
        expect(_run(page, "running")).to_contain_text(
            re.compile(r"[1-9]\d* of 25"), timeout=WAIT_MS
        )
        page.get_by_role("button", name="Stop").click()
        expect(_run(page, "stopped")).to_contain_text("Stopped tracking forward", timeout=WAIT_MS)
        places = served.get(f"videos/{film['id']}/places")
        assert 1 < len(places) < 25
        page.wait_for_timeout(1000)
    assert served.get(f"videos/{film['id']}/places") == places
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    _expect_bars(page, (START, START, True), (START + 1, START + len(places) - 1, False))


def test_backward_and_both_ways(
    page: Page, labeler: Labeler, film: dict[str, Any], clip: Clip, served: Demo
) -> None:
    _save_object(labeler, largest_of(clip.masks[10]), 10)
    page.get_by_label("Frames to track").fill("4")
    page.get_by_label("Direction of tracking").select_option("backward")
    page.get_by_label("Frames to track").press("Enter")
    _expect_bars(page, (6, 9, False), (10, 10, True))
    page.get_by_label("Direction of tracking").select_option("both")
    page.get_by_label("Frames to track").fill("6")
    page.locator("#canvas").focus()
    labeler.press("t")
    _expect_bars(page, (4, 9, False), (10, 10, True), (11, 16, False))
    expect(_run(page, "finished")).to_have_count(2, timeout=WAIT_MS)
    assert all(count == 1 for count in served.get(f"videos/{film['id']}/places").values())


def test_a_reload_finds_the_job_again(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], target: Target
) -> None:
    _save_object(labeler, target, START)
    with served.slow_reports(SLOW_S):
        labeler.press("t")
        expect(_run(page, "running")).to_contain_text(
            re.compile(r"[1-9]\d* of 20"), timeout=WAIT_MS
        )
        page.reload()
        expect(_run(page, "running")).to_contain_text(
            f"forward from frame {START}", timeout=WAIT_MS
        )
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(_run(page, "finished")).to_have_count(1, timeout=WAIT_MS)
    _expect_bars(page, (START, START, True), (START + 1, START + FRAMES, False))
    assert len(served.get(f"videos/{film['id']}/places")) == FRAMES + 1


def test_a_correction_is_tracked_on(
    page: Page, labeler: Labeler, film: dict[str, Any], served: Demo, target: Target
) -> None:
    """And the bars lead to the frames that they stand for."""
    _save_object(labeler, target, START)
    page.get_by_label("Frames to track").fill("8")
    page.locator("#canvas").focus()
    labeler.press("t")
    _expect_bars(page, (START, START, True), (START + 1, START + 8, False))
    before = served.figure(film["id"], START + 8)

    lane = page.locator(".lane")
    box = lane.bounding_box()
    assert box is not None

    def spot(frame: int) -> tuple[float, float]:
        return box["x"] + (frame + 0.5) * box["width"] / film["frames"], box["y"] + 12

    page.mouse.click(*spot(START + 5))
    expect(page.locator("#where")).to_contain_text(f"frame {START + 5} ")
    labeler.expect_picture()
    labeler.expect_figures(1)
    page.locator("li.figure").get_by_role("button", name=re.compile("Edit")).click()
    labeler.expect_state("edit")
    labeler.press("t")
    expect(page.locator(".runs .problem")).to_contain_text("Save the object")
    labeler.click(*target.outside, "Shift")
    labeler.expect_state("mask")
    labeler.press("Space")
    expect(page.locator(".lane .bar.human")).to_have_count(2, timeout=WAIT_MS)
    labeler.press("t")
    _expect_bars(
        page,
        (START, START, True),
        (START + 1, START + 4, False),
        (START + 5, START + 5, True),
        (START + 6, START + 13, False),
    )
    after = served.figure(film["id"], START + 8)
    assert (after["objectId"], after["id"] != before["id"]) == (before["objectId"], True)

    page.mouse.move(*spot(START))
    page.mouse.down()
    page.mouse.move(*spot(START + 10), steps=4)
    page.mouse.up()
    expect(page.locator("#where")).to_contain_text(f"frame {START + 10} ")


def test_an_edit_outlives_the_figure_that_tracking_replaces(
    page: Page, labeler: Labeler, film: dict[str, Any], served: Demo, target: Target
) -> None:
    at = START + 5
    _save_object(labeler, target, START)
    page.get_by_label("Frames to track").fill("8")
    page.locator("#canvas").focus()
    labeler.press("t")
    _expect_bars(page, (START, START, True), (START + 1, START + 8, False))
    expect(page.locator(".ticks span")).to_have_count(1)
    page.locator(".ticks span").evaluate("one => { one.dataset.seen = 'yes'; }")
    labeler.go_to("frame", at)
    labeler.expect_figures(1)
    assert page.locator(".ticks span").get_attribute("data-seen") == "yes", "nothing is drawn anew"

    before = served.figure(film["id"], at)
    page.get_by_role("button", name=f"Edit object #{before['id']}").click()
    labeler.click(*target.outside, "Shift")
    labeler.expect_state("mask")
    again = {"frame": START, "frames": 8, "direction": "forward"}
    served.client.post(
        f"{served.url}/workspace/api/videos/{film['id']}/track", json=again
    ).raise_for_status()
    _wait_for_the_end(served, film)
    replaced = served.figure(film["id"], at)
    assert replaced["id"] != before["id"]
    labeler.press("Space")
    labeler.expect_state("idle")
    kept = served.figure(film["id"], at)
    assert (kept["id"], kept["objectId"]) == (replaced["id"], before["objectId"])
    assert not kept["nnUpdated"]
    assert kept["geometry"] != replaced["geometry"]

    tracked = served.figure(film["id"], START + 1)
    labeler.go_to("frame", START + 1)
    page.get_by_role("button", name=re.compile("Delete object")).click()
    page.locator(".undo button").click()
    labeler.expect_figures(1)
    assert served.figure(film["id"], START + 1)["nnUpdated"], "a model's, as it was"
    assert served.figure(film["id"], START + 1)["geometry"] == tracked["geometry"]


def test_a_key_that_is_held_acts_once(
    page: Page, labeler: Labeler, film: dict[str, Any], target: Target
) -> None:
    asked: list[Request] = []
    page.on("request", lambda one: asked.append(one) if one.url.endswith("/track") else None)
    labeler.go_to("frame", START)
    labeler.box(*target.box)
    labeler.expect_state("mask")
    for _ in range(3):
        page.keyboard.down("Space")
    labeler.expect_figures(1)
    for _ in range(3):
        page.keyboard.down("Space")
    page.keyboard.up("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.get_by_label("Frames to track").fill("0")
    page.locator("#canvas").focus()
    labeler.press("t")
    expect(page.locator(".runs .problem")).to_contain_text("how many frames")
    page.get_by_label("Frames to track").fill("2")
    page.locator("#canvas").focus()
    page.keyboard.down("t")
    expect(_run(page, "finished")).to_have_count(1, timeout=WAIT_MS)
    for _ in range(3):
        page.keyboard.down("t")
    page.keyboard.up("t")
    page.wait_for_timeout(300)
    assert len(asked) == 1


def test_a_stop_that_is_not_heard_is_said(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], target: Target
) -> None:
    _save_object(labeler, target, START)
    stop = page.get_by_role("button", name="Stop")
    with served.slow_reports(SLOW_S):
        labeler.press("t")
        expect(stop).to_be_visible(timeout=WAIT_MS)
        page.route("**/stop", lambda route: route.abort())
        stop.click()
        expect(page.locator(".runs .problem")).to_contain_text("Not stopped: ")
        expect(stop).to_be_enabled()
        page.unroute("**/stop")
        stop.click()
        expect(_run(page, "stopped")).to_have_count(1, timeout=WAIT_MS)


def test_losses_and_refusals_are_said(
    served: Demo, page: Page, labeler: Labeler, film: dict[str, Any], leaving: Clip
) -> None:
    """And where an object is shown again, its track goes on."""
    video = film["id"] + 1
    labeler.choose("leaving.avi")
    labeler.go_to("frame", 2)
    labeler.press("t")
    expect(page.locator(".runs .problem")).to_contain_text("no saved figure on this frame")
    _save_object(labeler, largest_of(leaving.masks[4][3:4]), 4)
    labeler.press("t")
    expect(page.locator(".warned")).to_contain_text("is lost from frame", timeout=WAIT_MS)
    expect(_run(page, "finished")).to_have_count(1, timeout=WAIT_MS)
    page.screenshot(path=SCREENSHOTS / "lost.png")
    page.locator(".warned").get_by_role("button", name="Show").click()
    lost = int(page.locator("#where").text_content().split("frame ")[1].split()[0])
    assert 4 < lost < 14

    labeler.expect_picture()
    page.get_by_role("button", name=re.compile("Draw object")).click()
    expect(page.locator("#toolbar")).to_contain_text("For object")
    _save_object(labeler, largest_of(leaving.masks[lost]), lost)
    first, again = (served.figure(video, frame) for frame in (4, lost))
    assert first["objectId"] == again["objectId"]
    expect(page.locator(".lane")).to_have_count(1)

    served.stop_model()
    labeler.press("t")
    expect(page.locator(".runs .problem")).to_contain_text("Not tracked: ")
    page.screenshot(path=SCREENSHOTS / "not-tracked.png")
    page.get_by_role("button", name="Close the messages").click()
    expect(page.locator(".runs .problem")).to_have_count(0)


def test_playback_shows_the_frames_that_it_names(
    page: Page, labeler: Labeler, film: dict[str, Any], clip: Clip
) -> None:
    """Also when some cannot be had in time; and it keeps the film's pace."""

    def late(route: Route) -> None:
        time.sleep(0.25)
        route.continue_()

    page.route("**/frames/12/view*", late)
    page.evaluate(WATCH_PLAYBACK)
    labeler.press("k")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible(timeout=WAIT_MS)
    played = page.evaluate("played")
    frames = [one["frame"] for one in played]
    assert frames == sorted(set(frames))
    assert frames[0] == 0
    assert frames[-1] == film["frames"] - 1
    assert len(frames) < film["frames"], "the late frame held some others up"
    assert [one["number"] for one in played] == frames
    lasted = (played[-1]["at"] - played[0]["at"]) / 1000
    assert lasted == pytest.approx((film["frames"] - 1) / film["fps"], abs=0.6)

    drawn = np.array([one["pixels"] for one in played], np.float64).reshape(-1, 48, 64, 4)[..., :3]
    known = np.array(
        [cv2.resize(one, (64, 48), interpolation=cv2.INTER_AREA) for one in clip.frames], np.float64
    )
    nearest = [int(np.abs(known - one).mean(axis=(1, 2, 3)).argmin()) for one in drawn]
    assert nearest == frames


def test_space_plays_unless_an_object_is_in_the_making(
    page: Page, labeler: Labeler, film: dict[str, Any], target: Target
) -> None:
    labeler.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    labeler.click(*target.inside)  # stops there
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    labeler.expect_state("idle")
    expect(page).to_have_url(re.compile(rf"#video={film['id']}&frame=\d+"))
    _save_object(labeler, target, START)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
