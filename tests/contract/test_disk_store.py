"""An app that keeps embeddings on disk: what a kill costs, and who gets what was kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import Platform, RunningApp
from test_determinism import ask
from test_sources import DOWNLOADS, MEMBER, SOURCES, STRANGER, click

KEPT_WITHOUT_DOWNLOAD = ("image", "frame", "slice")
"""Of the others the download itself is the permission check."""


@pytest.fixture
def keeping(
    app: RunningApp, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningApp, Path]]:
    """The app with a folder for embeddings; without one again for the tests after."""
    folder = tmp_path_factory.mktemp("embeddings")
    added = {
        "SAM2_SERVING_DISK_STORE_MB": "64",
        "SAM2_SERVING_DISK_STORE_DIR": str(folder / "kept"),
    }
    app.stop()
    app.environment.update(added)
    app.start()
    yield app, folder / "kept"
    app.stop()
    for name in added:
        del app.environment[name]
    app.start()


@pytest.mark.long
def test_after_a_kill_the_same_bytes_without_the_pixels_and_only_for_who_may_see_them(
    keeping: tuple[RunningApp, Path], platform: Platform
) -> None:
    app, folder = keeping
    platform.workspace.store.put_member("member", MEMBER, [platform.datasets["closed"]])
    sources = {kind: make(platform) for kind, make in SOURCES.items()}
    before = {kind: click(app, platform, source).content for kind, source in sources.items()}
    box = {"positive": [platform.objects["scene0"].click], "negative": []}
    body = platform.envelope({**box, "image_id": platform.images["scene0"]})
    answer = ask(app, body)
    app.until(lambda: len(list(folder.glob("*.safetensors"))) >= len(sources))
    assert app.process is not None
    app.process.send_signal(signal.SIGKILL)
    app.process.wait(10)
    app.start()
    platform.workspace.counts.reset()
    for kind, source in sources.items():
        assert click(app, platform, source, api_token=STRANGER).status_code == 401, kind
        assert click(app, platform, source, api_token=MEMBER).status_code == 403, kind
        assert click(app, platform, source).content == before[kind], kind
    assert ask(app, body) == answer
    for kind in KEPT_WITHOUT_DOWNLOAD:
        assert platform.count(DOWNLOADS[kind]) == 0, kind
