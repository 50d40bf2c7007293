"""What operators see: metrics, a check that runs the model, and a log with one id a request."""

from __future__ import annotations

import json
import re
from typing import Any

from live import OWNER_TOKEN, REPOSITORY, Platform, RunningApp
from prometheus_client.parser import text_string_to_metric_families
from timeline import Timeline

DASHBOARD = REPOSITORY / "docs" / "grafana" / "sam2-serving.json"
DOCUMENT = REPOSITORY / "docs" / "monitoring.md"
ONLY_WITH = {"sam2_serving_device_memory_bytes": "a GPU", "sam2_serving_embedding_files": "a disk"}
"""Metrics that this app does not have, by what they need."""


def samples(app: RunningApp) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read all metrics, when the requests before this one are counted: they are answered first."""
    while True:
        answer = app.client.get("/metrics")
        assert answer.status_code == 200
        found = {
            (one.name, tuple(sorted(one.labels.items()))): one.value
            for family in text_string_to_metric_families(answer.text)
            for one in family.samples
        }
        if found["sam2_serving_requests_in_progress", ()] == 1:  # that for the metrics itself
            return found


def value(app: RunningApp, name: str, **labels: str) -> float:
    return samples(app).get((f"sam2_serving_{name}", tuple(sorted(labels.items()))), 0.0)


def click(platform: Platform, scene: str = "scene0") -> dict[str, Any]:
    drawn = platform.objects[scene]
    return platform.envelope(
        {
            "image_id": platform.images[scene],
            "crop": drawn.crop,
            "positive": [drawn.click],
            "negative": [],
        }
    )


OF_A_DECODER = re.compile(r"\[ ?(WARN|ERROR):\d+@|lib(png|tiff|jpeg)|Corrupt JPEG|Premature end|$")
"""What libraries of pictures write past Python, of the damaged ones that other tests send."""


def lines(app: RunningApp) -> list[dict[str, Any]]:
    *whole, _ = app.log().split("\n")  # the last one may still be written
    return [json.loads(line) for line in whole if not OF_A_DECODER.match(line)]


def test_a_click_is_counted_and_timed(platform: Platform, app: RunningApp) -> None:
    assert app.post("smart_segmentation", click(platform)).status_code == 200
    before = samples(app)
    assert app.post("smart_segmentation", click(platform)).status_code == 200
    assert app.post("smart_segmentation", {"context": {"positive": 1}}).status_code == 400
    assert app.post("no/such/route?api_token=abc").status_code == 404
    after = samples(app)

    def grown(name: str, **labels: str) -> float:
        key = (f"sam2_serving_{name}", tuple(sorted(labels.items())))
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert grown("requests_total", route="/smart_segmentation", status="200") == 1
    assert grown("requests_total", route="/smart_segmentation", status="400") == 1
    assert grown("requests_total", route="other", status="404") == 1
    assert grown("request_seconds_count", route="/smart_segmentation") == 2
    assert grown("errors_total", kind="BadRequest") == 1
    assert grown("stage_seconds_count", stage="decode") == 1
    assert grown("stage_seconds_count", stage="encode") == 0, "the embedding was stored"
    assert grown("device_seconds_count", priority="click_decode") == 1
    assert grown("queue_wait_seconds_count", priority="click_decode") == 1
    assert grown("store_requests_total", result="hit") == 1
    assert after["sam2_serving_state", (("state", "ready"),)] == 1
    assert after["sam2_serving_stage_seconds_count", (("stage", "download"),)] >= 1


def test_no_label_holds_what_a_client_sent(platform: Platform, app: RunningApp) -> None:
    app.post("smart_segmentation", click(platform))
    app.client.get("/metrics/../secret-path-7f3a")
    app.client.post("/smart-secret-7f3a", json={})
    text = app.client.get("/metrics").text
    assert OWNER_TOKEN not in text
    assert "7f3a" not in text
    assert str(platform.address) not in text


def test_tracked_frames_and_uploads_are_counted(timeline: Timeline, app: RunningApp) -> None:
    before = samples(app)
    timeline.track(0, 2, timeline.draw(0))
    ended = {"kind": "tracking", "end": "finished"}
    key = ("sam2_serving_jobs_total", tuple(sorted(ended.items())))
    app.until(lambda: samples(app).get(key, 0) > before.get(key, 0))
    after = samples(app)
    name = ("sam2_serving_tracked_frames_total", ())
    assert after[name] - before[name] == 2
    upload = ("sam2_serving_stage_seconds_count", (("stage", "upload"),))
    assert after[upload] > before[upload]


def metric_names(app: RunningApp) -> set[str]:
    return {name for name, _ in samples(app)}


def of_dashboard() -> set[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return {name for one in asked for name in re.findall(r"\b(?:sam2_serving|process)_\w+", one)}


def test_what_the_dashboard_asks_for_exists(timeline: Timeline, app: RunningApp) -> None:
    platform = timeline.platform
    app.post("smart_segmentation", click(platform))
    app.post(
        "smart_segmentation", platform.envelope({**click(platform)["context"], "image_id": 99_999})
    )
    timeline.track(0, 1, timeline.draw(0))
    app.until(lambda: value(app, "jobs_total", kind="tracking", end="finished"))
    there = metric_names(app)
    missing = {
        name
        for name in of_dashboard() - there
        if not any(name.startswith(one) for one in ONLY_WITH)
    }
    assert of_dashboard(), "it asks for something"
    assert not missing


def test_every_metric_is_explained(app: RunningApp) -> None:
    text = app.client.get("/metrics").text
    names = set(re.findall(r"^# TYPE (sam2_serving_\w+)", text, re.M))
    names = {name for name in names if not name.endswith("_created")}
    assert len(names) > 15
    explained = set(re.findall(r"`(sam2_serving_\w+)`", DOCUMENT.read_text()))
    assert names - explained == set()
    assert {name for name in explained - names if not name.startswith(tuple(ONLY_WITH))} == set()


def test_the_deep_check_runs_the_model_and_cannot_be_used_to_overload(app: RunningApp) -> None:
    def runs() -> float:
        return value(app, "device_seconds_count", priority="click_decode")

    before = runs()
    answers = [app.client.get("/health") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    found = answers[0].json()
    assert (found["status"], found["ms"] > 0) == ("ok", True)
    assert found["numeric_path"].startswith("cpu")
    assert 1 <= runs() - before <= 5, "of twenty, few ran the model"


def test_all_lines_of_a_request_have_its_id(platform: Platform, app: RunningApp) -> None:
    answer = app.post(
        "smart_segmentation",
        click(platform, "scene1") | {"server_address": platform.address},
        headers={"X-Request-Id": "click-7"},
    )
    assert answer.headers["X-Request-Id"] == "click-7"

    def line() -> dict[str, Any] | None:
        mine = [one for one in lines(app) if one.get("request_id") == "click-7"]
        return next((one for one in mine if one["message"] == "Request answered"), None)

    told = app.until(line)
    assert told["stages_ms"]["decode"] > 0
    assert told["path"] == "/smart_segmentation"


def test_every_line_is_json_and_the_platform_finds_its_progress(app: RunningApp) -> None:
    told = lines(app)
    assert {"message", "timestamp", "level"} <= set.intersection(*map(set, told))
    assert any("Uvicorn running" in line["message"] for line in told), "the server's own lines too"
    assert any(line.get("event_type") == "EventType.PROGRESS" for line in told)
