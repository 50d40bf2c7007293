"""What is counted and timed, for Prometheus; `docs/monitoring.md` says what each metric means.

Labels have few values, and none that a client chooses: routes of the program and not paths, names
of error classes and not sentences; never a token, an id or a file's name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from sam2_serving.app import tracing
from sam2_serving.engine import Priority
from sam2_serving.engine.observing import Kind
from sam2_serving.engine.observing import Stage as EngineStage

PREFIX = "sam2_serving"
Stage = EngineStage | Literal["download", "read", "upload"]
Job = Literal["tracking", "inference"]
JobEnd = Literal["finished", "stopped", "failed"]

disable_created_metrics()  # when a counter began says nothing here, and doubles its lines
REGISTRY = CollectorRegistry()
"""Of this process: what happened since it was started."""
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_REQUEST_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 120)
_STAGE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 20)

requests_in_progress = Gauge(
    f"{PREFIX}_requests_in_progress", "Requests that are being answered.", registry=REGISTRY
)
requests = Counter(
    f"{PREFIX}_requests", "Requests answered.", ["route", "status"], registry=REGISTRY
)
request_seconds = Histogram(
    f"{PREFIX}_request_seconds",
    "From the first byte of a request to the last of its answer.",
    ["route"],
    buckets=_REQUEST_S,
    registry=REGISTRY,
)
errors = Counter(
    f"{PREFIX}_errors", "Requests that were refused or failed.", ["kind"], registry=REGISTRY
)
stage_seconds = Histogram(
    f"{PREFIX}_stage_seconds",
    "Steps of answering, as the one who asked waits for them.",
    ["stage"],
    buckets=_STAGE_S,
    registry=REGISTRY,
)
platform_seconds = Histogram(
    f"{PREFIX}_platform_seconds",
    "Calls to the platform, each try.",
    ["route"],
    buckets=_REQUEST_S,
    registry=REGISTRY,
)
platform_failures = Counter(
    f"{PREFIX}_platform_failures",
    "Calls to the platform that gave nothing usable, each try.",
    ["route", "kind"],
    registry=REGISTRY,
)
queue_wait_seconds = Histogram(
    f"{PREFIX}_queue_wait_seconds",
    "How long units of work waited for the device.",
    ["priority"],
    buckets=_STAGE_S,
    registry=REGISTRY,
)
device_seconds = Histogram(
    f"{PREFIX}_device_seconds",
    "How long units of work held the device.",
    ["priority"],
    buckets=_STAGE_S,
    registry=REGISTRY,
)
batch_size = Histogram(
    f"{PREFIX}_batch_size",
    "How many went through the decoder together.",
    ["kind"],
    buckets=(1, 2, 3, 4, 6, 8),
    registry=REGISTRY,
)
jobs_running = Gauge(f"{PREFIX}_jobs_running", "Jobs under way.", ["kind"], registry=REGISTRY)
jobs = Counter(f"{PREFIX}_jobs", "Jobs that ended.", ["kind", "end"], registry=REGISTRY)
tracked_frames = Counter(
    f"{PREFIX}_tracked_frames", "Frames that tracking went through.", registry=REGISTRY
)
predictions = Counter(
    f"{PREFIX}_predictions", "Pictures that the model was applied to.", registry=REGISTRY
)

_DOWNLOADS = frozenset(
    {
        "images.download",
        "images.bulk.download-by-hash",
        "videos.download-frame",
        "volumes.slices.images.download",
        "point-clouds.images.download",
    }
)
_UPLOADS = frozenset({"figures.bulk.add", "annotations.bulk.add"})
_STAGES = {
    name: stage_seconds.labels(name)
    for name in ("download", "read", "prepare", "encode", "decode", "enlarge", "upload")
}
_WAITED = {one: queue_wait_seconds.labels(one.name.lower()) for one in Priority}
_RAN = {one: device_seconds.labels(one.name.lower()) for one in Priority}
_TOGETHER = {kind: batch_size.labels(kind) for kind in ("clicks", "prompts")}
for _kind in ("tracking", "inference"):
    jobs_running.labels(_kind)


@dataclass
class Record:
    """One request, while it is answered and in the jobs that it started.

    Attributes:
        id: under which the log knows it.
        trace_id: of the trace that it is a part of, if there is one.
        stages_ms: how long each stage took, milliseconds.
    """

    id: str
    trace_id: str | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)


current: ContextVar[Record | None] = ContextVar("current_request", default=None)
"""The request in whose name the program works here."""


def answered(route: str, status: int, seconds: float, kind: str | None) -> None:
    """Note a request that has been answered; `kind` is of its error."""
    requests_in_progress.dec()
    requests.labels(route, str(status)).inc()
    request_seconds.labels(route).observe(seconds)
    if status >= 400:
        errors.labels(kind or "other").inc()


def took(stage: Stage, seconds: float) -> None:
    """Note a stage that has just ended."""
    _STAGES[stage].observe(seconds)
    record = current.get()
    if record is not None:
        record.stages_ms[stage] = record.stages_ms.get(stage, 0.0) + seconds * 1000
    tracing.ended(stage, seconds)


@contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """Note how long the block took, if nothing went wrong in it."""
    began = time.perf_counter()
    yield
    took(stage, time.perf_counter() - began)


@contextmanager
def platform_call(route: str) -> Iterator[None]:
    """Note a call to a route of the platform that is the block; some are stages of answering."""
    began = time.perf_counter()
    try:
        yield
    except Exception as error:
        platform_failures.labels(route, type(error).__name__).inc()
        raise
    finally:
        seconds = time.perf_counter() - began
        platform_seconds.labels(route).observe(seconds)
    if route in _DOWNLOADS:
        took("download", seconds)
    elif route in _UPLOADS:
        took("upload", seconds)


@contextmanager
def job(kind: Job) -> Iterator[list[JobEnd]]:
    """Count a job that is the block; how it ended is what was put into the list last."""
    ends: list[JobEnd] = ["failed"]
    jobs_running.labels(kind).inc()
    try:
        yield ends
    finally:
        jobs_running.labels(kind).dec()
        jobs.labels(kind, ends[-1]).inc()


class EngineWatch:
    """Notes what engines tell."""

    def took(self, stage: EngineStage, seconds: float) -> None:
        """See `sam2_serving.engine.Observer`."""
        took(stage, seconds)

    def ran(self, priority: IntEnum, waited: float, seconds: float) -> None:
        """See `sam2_serving.engine.Observer`."""
        _WAITED[Priority(priority)].observe(waited)
        _RAN[Priority(priority)].observe(seconds)
        tracing.ended(f"device {priority.name.lower()}", seconds)

    def together(self, kind: Kind, size: int) -> None:
        """See `sam2_serving.engine.Observer`."""
        _TOGETHER[kind].observe(size)
