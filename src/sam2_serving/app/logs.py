"""The log: one id for all lines of a request, and lines of JSON for programs that read them.

The SDK's logger writes JSON in any case; the platform reads its lines of progress. What else writes
(the web server, the engine, Python's warnings) does so in the same form if the setting says `json`.
"""

from __future__ import annotations

import logging
from typing import Literal

from supervisely.sly_logger import create_formatter

from sam2_serving.app import redaction, telemetry

LogFormat = Literal["sdk", "json"]

_APP = "logger"
_SERVER = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


class RequestFilter(logging.Filter):
    """Adds the id of the request, and of its trace, in whose name a line is written."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the record in place; never drops it."""
        current = telemetry.current.get()
        if current is not None:
            record.__dict__.setdefault("request_id", current.id)
            if current.trace_id is not None:
                record.trace_id = current.trace_id
        record.__dict__.pop("color_message", None)  # the web server's, for terminals
        return True


def install(form: LogFormat) -> None:
    """Bring all handlers there are into form; may be called again when others made new ones."""
    if form == "json":
        _write_json()
    redaction.install()
    for name in ("", _APP, *_SERVER):
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(present, RequestFilter) for present in handler.filters):
                handler.addFilter(RequestFilter())


def _write_json() -> None:
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    for name in ("", *_SERVER):
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(create_formatter())
    # the app's own line for each request says more, and has its id
    logging.getLogger("uvicorn.access").disabled = True
    logging.captureWarnings(True)
