"""OpenTelemetry traces, if its standard environment variables ask for them.

Nothing of OpenTelemetry is imported otherwise. Spans end when they are made: a stage is told of
when it is over, so nothing has to be carried through the program meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING

from supervisely.sly_logger import logger

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

MOST_SPANS = 256
"""Of one request: a job tracks thousands of frames, and its first ones tell enough."""

Finish = Callable[[int], None]
"""Ends a request's span; given the status of the answer."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_OURS = "http/protobuf"

_tracer: Tracer | None = None
_room: ContextVar[list[int] | None] = ContextVar("spans_left", default=None)


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether the environment asks for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "otlp")
    return exporter == "otlp" and any(environment.get(name) for name in _ENDPOINTS)


def start() -> None:
    """Send traces from now on, if that is wanted; what lacks is told in the log, once."""
    global _tracer
    if _tracer is not None or not wanted():
        return
    protocol = next(
        (os.environ[name] for name in reversed(_PROTOCOLS) if name in os.environ), _OURS
    )
    if protocol != _OURS:
        logger.warning("Traces are sent as %s only, not as %s: none are sent.", _OURS, protocol)
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        logger.warning("No traces are sent: install the extra `otel` (%s).", error)
        return
    named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named:
        os.environ.setdefault("OTEL_SERVICE_NAME", "sam2-serving")
    provider = TracerProvider(resource=Resource.create({"service.version": _version()}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("sam2_serving", _version())
    logger.info("Traces are sent", extra={"service": os.environ.get("OTEL_SERVICE_NAME")})


def begin(
    method: str, route: str, request_id: str, headers: Mapping[str, str]
) -> tuple[str | None, Finish]:
    """Begin the span of a request; the context of the caller holds it until it is finished.

    Args:
        method: of HTTP.
        route: of the program, not the path that was sent.
        request_id: as in the log.
        headers: of the request, names in lower case; may say of which trace it is a part.

    Returns:
        the id of the trace, if there is one, and what ends the span.
    """
    if _tracer is None:
        return None, _nothing
    from opentelemetry import context, propagate, trace

    span = _tracer.start_span(
        f"{method} {route}",
        propagate.extract(dict(headers)),
        trace.SpanKind.SERVER,
        {"http.request.method": method, "http.route": route, "sam2_serving.request_id": request_id},
    )
    attached = context.attach(trace.set_span_in_context(span))
    room = _room.set([MOST_SPANS])

    def finish(status: int) -> None:
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        span.end()
        _room.reset(room)
        context.detach(attached)

    return trace.format_trace_id(span.get_span_context().trace_id), finish


def ended(name: str, seconds: float) -> None:
    """Note that something has just ended in the name of the current request, if there is one."""
    if _tracer is None:
        return
    room = _room.get()
    if room is None or room[0] <= 0:
        return
    room[0] -= 1
    end = time.time_ns()
    _tracer.start_span(name, start_time=end - int(seconds * 1e9)).end(end)


def _nothing(_: int) -> None:
    """End nothing."""


def _version() -> str:
    return version("sam2-serving")
