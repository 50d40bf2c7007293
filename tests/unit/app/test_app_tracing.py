"""Traces, sent to a receiver over real HTTP by a process of its own."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sam2_serving.app import tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REQUEST = f"""
import contextvars, sys, threading
from sam2_serving.app import telemetry, tracing
tracing.start()
headers = {{"traceparent": "{PARENT}"}}
trace_id, finish = tracing.begin("POST", "/smart_segmentation", "click-7", headers)
work = contextvars.copy_context()
for _ in range(tracing.MOST_SPANS - 1):
    telemetry.took("decode", 0.01)
thread = threading.Thread(target=work.run, args=(telemetry.took, "encode", 0.5))
thread.start()
thread.join()
telemetry.took("decode", 7)  # one too many
finish(503)
telemetry.took("decode", 0.01)  # in nobody's name
print(trace_id, any(name.startswith("opentelemetry") for name in sys.modules))
"""


class Receiver:
    """What takes spans over OTLP/HTTP."""

    def __init__(self) -> None:
        received = self.received = list[ExportTraceServiceRequest]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                received.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def spans(self) -> list[Span]:
        return [
            span
            for one in self.received
            for resource in one.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def answer_a_request(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", REQUEST],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_request_and_its_stages_are_spans_of_the_callers_trace(receiver: Receiver) -> None:
    trace_id, imported = answer_a_request(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.address)
    assert (trace_id, imported) == (PARENT.split("-")[1], "True")
    spans = receiver.spans()
    assert {span.trace_id.hex() for span in spans} == {trace_id}
    [request] = [span for span in spans if span.name == "POST /smart_segmentation"]
    assert request.parent_span_id.hex() == PARENT.split("-")[2]
    attributes = {one.key: one.value for one in request.attributes}
    assert attributes["http.response.status_code"].int_value == 503
    assert attributes["sam2_serving.request_id"].string_value == "click-7"
    assert request.status.code == 2, "an error"
    stages = [span for span in spans if span is not request]
    assert {span.parent_span_id for span in stages} == {request.span_id}
    assert len(stages) == tracing.MOST_SPANS
    took = {
        (one.name, round((one.end_time_unix_nano - one.start_time_unix_nano) / 1e6))
        for one in stages
    }
    assert took == {("decode", 10), ("encode", 500)}
    [resource] = {str(one.resource_spans[0].resource) for one in receiver.received}
    assert "sam2-serving" in resource


@pytest.mark.long  # a process of its own
def test_nothing_is_imported_or_sent_unless_wanted(receiver: Receiver) -> None:
    assert answer_a_request() == ["None", "False"]
    off = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address, "OTEL_TRACES_EXPORTER": "none"}
    assert not tracing.wanted(off)
    assert not tracing.wanted(off | {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"})
    assert tracing.wanted(off | {"OTEL_TRACES_EXPORTER": "otlp"})
    assert receiver.received == []
