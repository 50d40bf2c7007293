"""Parts of tracking jobs: limits, contexts, what puts off freezing."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.app import SegmentAnything2
from sam2_serving.app.idle import IdleWatch
from sam2_serving.app.platform.api import PlatformClient
from sam2_serving.app.redaction import request_tokens
from sam2_serving.app.reporting import MediaTooLarge
from sam2_serving.app.tracking.figures import Finish
from sam2_serving.app.tracking.job import LOST, MOST_SPANS, Reviews
from sam2_serving.app.tracking.jobs import RunningJob
from sam2_serving.app.tracking.line import Run
from sam2_serving.app.tracking.reports import Silence
from sam2_serving.app.tracking.results import TrackResults
from sam2_serving.app.tracking.starts import MAX_MASK_BYTES, StartFigure, read_starts
from sam2_serving.app.tracking.tool import make_track_tool
from sam2_serving.app.video_files import VideoFiles, VideoKey
from sam2_serving.app.video_frames import VideoFrames
from sam2_serving.engine import CancelToken
from sam2_serving.masks.cleanup import Cleanup
from sam2_serving.settings import ServerSettings

FRAME = np.zeros((4, 4, 3), np.uint8)


class Listener(Silence):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, sentence: str) -> None:
        self.warnings.append(sentence)


def test_spans_are_joined_and_each_loss_is_told_once():
    listener = Listener()
    reviews = Reviews(listener, [])
    for frame, (one, other) in enumerate(
        [(None, LOST), (LOST, LOST), (LOST, None), ("jump", LOST), ("jump", LOST)]
    ):
        reviews.see("one", frame, one)
        reviews.see("other", frame, other)
    spans = [(s.object_id, s.first, s.last, s.reason) for s in reviews.spans]
    assert spans == [
        ("other", 0, 1, LOST),
        ("one", 1, 2, LOST),
        ("one", 3, 4, "jump"),
        ("other", 3, 4, LOST),
    ]
    assert len(listener.warnings) == 3


def test_an_object_that_flickers_is_not_told_of_for_ever():
    listener = Listener()
    reviews = Reviews(listener, [])
    for frame in range(4 * MOST_SPANS):
        reviews.see("one", frame, LOST if frame % 2 else None)
    assert len(reviews.spans) == len(listener.warnings) == MOST_SPANS
    assert reviews.spans[-1].last == 2 * MOST_SPANS - 1


def test_more_masks_than_fit_the_memory_are_refused_before_they_are_drawn():
    side = 20_000
    box = {"points": {"exterior": [[0, 0], [1, 1]], "interior": []}}
    most = MAX_MASK_BYTES // side**2
    figures = [StartFigure(i, f"{i}", "rectangle", box) for i in range(most + 1)]
    with pytest.raises(MediaTooLarge, match=f"{most} objects"):
        read_starts(figures, (side, side))


def test_frames_are_fetched_under_the_tokens_of_the_request():
    """Else a token that the platform repeats in a refusal would reach the log."""
    request_tokens.set(("secret",))
    seen = []

    def fetch(_: int) -> np.ndarray:
        seen.append(request_tokens.get())
        return FRAME

    frames = VideoFrames(fetch, lambda _: None, lambda: False, (0, FRAME), CancelToken())
    assert len(list(frames.run([1, 2, 3]))) == 3
    frames.close()
    assert seen == [("secret",)] * 3


def test_videos_are_fetched_under_the_tokens_of_the_request(tmp_path):
    request_tokens.set(("secret",))
    seen = []

    def stream() -> Iterator[bytes]:
        seen.append(request_tokens.get())
        yield b"no video"

    files = VideoFiles(tmp_path / "videos", 2**20)
    files.want(VideoKey("s", 1, "v"), 1, 8, stream)
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        time.sleep(0.01)
    files.close()
    assert seen == [("secret",)]


def test_a_long_job_is_no_idleness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLY_APP_DATA_DIR", str(tmp_path / "app"))
    monkeypatch.setenv("SMART_CACHE_CONTAINER_DIR", str(tmp_path / "cache"))
    settings = ServerSettings(data_dir=tmp_path)
    app = SegmentAnything2(settings, headless=True)
    app._idle = IdleWatch(1.5, app._freeze_model)
    app.deploy(app.catalogue.named("nano"), "cpu:0")
    tool = make_track_tool(app, PlatformClient(1.0), settings, ServerPolicy([]))
    job = RunningJob("t", "", CancelToken())
    run = Run(job, app.ready_engine(), Silence(), tool.line.defaults)
    landed = tool.line._landed(run)
    for frame in range(12):
        landed(frame)
        time.sleep(0.15)
    try:
        assert app.deployment.served.engine is run.engine, "frozen under a job"
        deadline = time.monotonic() + 30
        while app.deployment.served.engine is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert app.deployment.served.engine is None, "nothing freezes it: this proves nothing"
    finally:
        app.shutdown_model()


def test_results_take_the_memory_that_they_are_counted_with():
    """As lists of numbers, outlines take more than ten times as much as their text."""
    outline = [[1000 + i, 3000 + i] for i in range(2000)]
    figure = json.dumps({"geometry": {"points": {"exterior": outline, "interior": []}}})
    results = TrackResults(2**30, CancelToken())
    tracemalloc.start()
    for frame in range(50):
        results.put(frame, [json.loads(figure)])
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert results.nbytes <= taken < 1.5 * results.nbytes
    assert results.pop(3, 4) == [json.loads(figure)] * 2
    assert len(results.pop(None, None)) == 48
    assert results.nbytes == 0


@pytest.mark.parametrize("kind", ["bitmap", "polygon", "rectangle"])
def test_what_is_told_of_a_tracked_mask_is_cleaned_and_so_is_what_comes_back(kind):
    mask = np.zeros((40, 60), bool)
    mask[5:25, 5:25] = mask[30:33, 40:43] = True
    clean = mask.copy()
    clean[30:33, 40:43] = False
    mask[10:14, 10:14] = False
    as_it_is, cleaned = Finish(0), Finish(0, Cleanup(hole_area=17, island_area=10))
    assert cleaned.geometries(mask, kind) == as_it_is.geometries(clean, kind)
    assert cleaned.geometries(mask, kind) != as_it_is.geometries(mask, kind)
    np.testing.assert_array_equal(cleaned.read_back(mask, kind), clean)
    assert cleaned.geometries(np.zeros_like(mask), kind) == []
