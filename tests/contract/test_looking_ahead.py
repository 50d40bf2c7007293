"""What is encoded before the click: named by `/smart_cache`, or next to what was opened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from live import OWNER_TOKEN, Platform, RunningApp
from test_deploying import deploy
from test_permissions import MEMBER, STRANGER
from test_sources import click, frame, slice_of

from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.edit_masks import EditMasks
from sam2_serving.app.editing import Editing
from sam2_serving.app.media import MediaLibrary
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.prefetching import LookAhead, SmartCacheState
from sam2_serving.app.requests import SmartToolRequest
from sam2_serving.app.smart_tool import SmartTool
from sam2_serving.engine import CancelToken, Engine
from sam2_serving.model import load_model
from sam2_serving.pretrained import REPOSITORY


def test_what_is_named_is_there_when_it_is_clicked(app: RunningApp, platform: Platform) -> None:
    deploy(app)  # a new engine, with nothing in its store
    platform.workspace.counts.reset()
    first, second = platform.images["scene1"], platform.images["scene2"]
    answer = platform.send("smart_cache", {}, {"image_ids": [first, second]})
    assert answer["success"]
    app.until(lambda: platform.count("images.download") == 2)
    for image_id in (second, first):  # the second may still be on its way
        assert click(app, platform, {"image_id": image_id}).status_code == 200
    assert platform.count("images.download") == 2


def test_no_download_without_a_right(app: RunningApp, platform: Platform) -> None:
    deploy(app)
    platform.workspace.store.put_member("member", MEMBER, [platform.datasets["open"]])
    platform.workspace.counts.reset()
    ids = {"image_ids": [platform.images["scene3"], platform.images["scene1"]]}
    for token in (STRANGER, MEMBER):
        assert app.post("smart_cache", platform.envelope({}, ids, api_token=token)).is_success
    app.until(lambda: platform.count("images.download") == 1)
    time.sleep(0.1)
    assert platform.count("images.download") == 1


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"image_ids": "17"},
        {"image_ids": [1.5]},
        {"video_id": 0},
        {"video_id": 1, "frame_ranges": [[1]]},
        {"video_id": 1, "frame_indexes": [-1]},
        {"frame_ranges": [[0, 1]]},
    ],
)
def test_a_request_that_makes_no_sense(
    state: dict[str, Any], app: RunningApp, platform: Platform
) -> None:
    answer = app.post("smart_cache", platform.envelope({}, state))
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["message"].split()) > 3


def test_nobody_in_particular_may_name_nothing(app: RunningApp, platform: Platform) -> None:
    body = platform.envelope({}, {"image_ids": [1]})
    assert app.post("smart_cache", {**body, "api_token": None}).status_code == 401
    with_token = {**body["state"], "api_token": OWNER_TOKEN}
    assert app.post("smart_cache", {**body, "api_token": None, "state": with_token}).is_success


@dataclass
class Tool:
    """The Smart Tool on a real engine, in front of the real workspace, with no app round it."""

    platform: Platform
    engine: Engine
    folder: Path
    use_box: bool = True
    refine: Literal["two_pass"] = "two_pass"

    def __post_init__(self) -> None:
        client = PlatformClient(10)
        library = MediaLibrary(client, max_bytes=2**30, max_pixels=10**8)
        servers = ServerPolicy(self.platform.address, [])
        editing = Editing(EditMasks(self.folder), client, 10**8)
        self.tool = SmartTool(self, library, editing, servers, LookAhead(library, client, 1))

    def ready_engine(self) -> Engine:
        return self.engine

    def click(self, source: dict[str, Any], token: str = OWNER_TOKEN) -> None:
        context = {"positive": [{"x": 160, "y": 120}], "negative": [], **source}
        body = self.platform.envelope(context, api_token=token)
        self.tool.segment(SmartToolRequest.model_validate(body), CancelToken())

    @property
    def made_ahead(self) -> int:
        return self.engine.stats().ahead.embeddings.made

    def until(self, happened: Callable[[], bool]) -> None:
        for _ in range(500):
            if happened():
                return
            time.sleep(0.01)
        raise AssertionError(f"it never happened: {self.engine.stats()}")


@pytest.fixture
def tool(platform: Platform, tmp_path: Path) -> Iterator[Tool]:
    nano = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    with Engine(nano, store_bytes=2**30) as engine:
        platform.workspace.counts.reset()
        yield Tool(platform, engine, tmp_path)


def image(platform: Platform, number: int) -> dict[str, Any]:
    return {"image_id": platform.images[f"scene{number}"]}


@pytest.mark.parametrize("source", [image, frame, slice_of])
def test_the_next_one_is_warm_forwards_and_back(
    source: Any, platform: Platform, tool: Tool
) -> None:
    tool.click(source(platform, 0))
    tool.until(lambda: tool.made_ahead == 1)
    tool.click(source(platform, 1))
    tool.until(lambda: tool.made_ahead == 2)
    tool.click(source(platform, 2))
    counters = tool.engine.stats().store
    assert (counters.misses, counters.hits) == (1, 2)
    assert tool.engine.stats().ahead.plans.failed == 0, "nothing is asked for past the end"
    downloads = sum(
        platform.count(route)
        for route in ("images.download", "videos.download-frame", "volumes.slices.images.download")
    )
    assert downloads == 3, "each once"


def test_who_moves_back_finds_the_one_before(platform: Platform, tool: Tool) -> None:
    tool.click(image(platform, 2))
    time.sleep(0.1)
    assert tool.made_ahead == 0, "it is the last of its dataset"
    tool.click(image(platform, 1))
    tool.until(lambda: tool.made_ahead == 1)
    tool.click(image(platform, 0))
    assert tool.engine.stats().store.misses == 2


def test_each_goes_in_their_own_direction_with_their_own_rights(
    platform: Platform, tool: Tool
) -> None:
    platform.workspace.store.put_member("member", MEMBER, [platform.datasets["open"]])
    tool.click(image(platform, 2))
    tool.click(image(platform, 1), MEMBER)
    time.sleep(0.1)
    assert tool.made_ahead == 0, "the owner's next is none, the member's is here"
    tool.click(image(platform, 1))
    tool.until(lambda: tool.made_ahead == 1)
    tool.click(image(platform, 0), MEMBER)
    assert tool.engine.stats().ahead.embeddings.used == 1


@pytest.mark.parametrize(
    ("state", "made"),
    [
        ({"video_id": "video"}, [0]),
        ({"video_id": "video", "frame_ranges": [[1, 2]]}, [1, 2]),
        ({"video_id": "video", "frame_indexes": [2, 0, 99]}, [0, 2]),
    ],
)
def test_frames_that_are_named(
    state: dict[str, Any], made: list[int], platform: Platform, tool: Tool
) -> None:
    named = SmartCacheState.model_validate({**state, "video_id": platform.others["video"]})
    caller = Caller(platform.address, OWNER_TOKEN)
    tool.tool.ahead.named(tool.engine, caller, named)
    tool.until(lambda: tool.made_ahead == len(made))
    platform.workspace.counts.reset()
    for index in made:
        tool.click(frame(platform, index))
    assert tool.engine.stats().store.misses == 0
