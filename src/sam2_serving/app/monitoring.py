"""`/metrics` for Prometheus and `/health` for whoever restarts what does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sam2_serving.app.deployment import Deployment, Served
from sam2_serving.app.health import DeepCheck, Health
from sam2_serving.app.reporting import ReportingRoute
from sam2_serving.app.telemetry import PREFIX, REGISTRY
from sam2_serving.engine import EngineStats

STATES = ("stopped", "loading", "ready", "frozen", "failed")


def monitoring_router(deployment: Deployment, store_bytes: int) -> APIRouter:
    """Make the router.

    Args:
        deployment: what is served.
        store_bytes: budget of stored embeddings on the device.
    """
    router = APIRouter(route_class=ReportingRoute)
    own = CollectorRegistry()
    own.register(ServedCollector(deployment, store_bytes))
    check = DeepCheck(deployment)

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(REGISTRY) + generate_latest(own), 200, None, _TYPE)

    @router.get("/health")
    async def health() -> JSONResponse:
        found: Health = await check.report()
        return JSONResponse(found.model_dump(), 200 if found.well else 503)

    return router


_TYPE = CONTENT_TYPE_LATEST


class ServedCollector(Collector):
    """Reads what the engine counts when somebody asks; nothing is added to the way of a click."""

    def __init__(self, deployment: Deployment, store_bytes: int) -> None:
        self._deployment = deployment
        self._store_bytes = store_bytes

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of what is served now; an engine's counters begin anew with it."""
        served = self._deployment.served
        yield _state(self._deployment, served)
        yield _gauge("store_budget_bytes", "Budget of the device's embeddings.", self._store_bytes)
        if served is None:
            return
        info = GaugeMetricFamily(
            f"{PREFIX}_model", "The model that is served; 1.", labels=["device", "numeric_path"]
        )
        info.add_metric([served.device, served.numeric_path], 1)
        yield info
        if served.engine is not None:
            yield from _engine(served.engine.stats())


def _state(deployment: Deployment, served: Served | None) -> Metric:
    state: str = deployment.state
    if state == "ready" and served is not None and served.engine is None:
        state = "frozen"
    return _labelled(
        GaugeMetricFamily, "state", "1 for the state of serving.", "state",
        {one: one == state for one in STATES},
    )  # fmt: skip


def _engine(stats: EngineStats) -> Iterator[Metric]:
    store, ahead = stats.store, stats.ahead
    yield _labelled(
        GaugeMetricFamily, "queue_units", "Units of work that wait for the device.", "priority",
        {priority.name.lower(): count for priority, count in stats.waiting.items()},
    )  # fmt: skip
    yield _gauge("store_bytes", "Embeddings kept in memory.", stats.store_bytes)
    yield _labelled(
        CounterMetricFamily, "store_requests", "Embeddings asked of the store.", "result",
        {"hit": store.hits, "miss": store.misses},
    )  # fmt: skip
    yield _counter("embeddings_made", "Images encoded.", store.made)
    yield _counter("store_evictions", "Embeddings dropped for the budget.", store.evicted)
    yield _labelled(
        CounterMetricFamily, "prefetch", "Embeddings made before anybody asked.", "outcome",
        {
            "made": ahead.embeddings.made,
            "used": ahead.embeddings.used,
            "wasted": ahead.embeddings.wasted,
            "given_up": ahead.plans.given_up,
            "failed": ahead.plans.failed,
        },
    )  # fmt: skip
    if stats.files is not None:
        files = stats.files
        yield _gauge("embedding_files_bytes", "Embeddings kept on disk.", files.nbytes)
        yield _labelled(
            CounterMetricFamily, "embedding_files", "What was done with files of embeddings.",
            "action",
            {name: getattr(files, name) for name in _FILE_ACTIONS},
        )  # fmt: skip
    if stats.memory is not None:
        memory = stats.memory
        yield _labelled(
            GaugeMetricFamily, "device_memory_bytes", "Memory of the GPU.", "kind",
            {name: getattr(memory, name) for name in ("allocated", "reserved", "free", "total")},
        )  # fmt: skip


_FILE_ACTIONS = ("read", "written", "skipped", "damaged", "removed")


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}_{name}", text, value)


def _labelled(
    make: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    text: str,
    label: str,
    values: dict[str, float] | dict[str, int] | dict[str, bool],
) -> Metric:
    family = make(f"{PREFIX}_{name}", text, labels=[label])
    for one, value in values.items():
        family.add_metric([one], value)
    return family


def route_names(paths: Callable[[], Iterable[str]]) -> Callable[[str], str]:
    """Return what names a request's route in metrics and traces: never what a client made up.

    Args:
        paths: of all routes, with placeholders; asked at the first request, when all are there.
    """
    known: set[str] = set()

    def name(path: str) -> str:
        if not known:
            known.update(one for one in paths() if one.count("/") == 1 and "{" not in one)
        return path if path in known else "other"

    return name
