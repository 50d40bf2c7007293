"""A film that is played on the page."""

from __future__ import annotations

import re
import time
from typing import Any

import cv2
import numpy as np
import pytest
from labeler import Labeler
from playwright.sync_api import Page, Route, expect
from targets import Target
from tracks import START, save_object

from sam2_serving.scenes import Clip

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
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
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


@pytest.mark.long
def test_space_plays_unless_an_object_is_in_the_making(
    page: Page, labeler: Labeler, film: dict[str, Any], followed: Target
) -> None:
    labeler.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    labeler.click(*followed.inside)  # stops there
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    labeler.expect_state("idle")
    expect(page).to_have_url(re.compile(rf"#video={film['id']}&frame=\d+"))
    save_object(labeler, followed, START)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
