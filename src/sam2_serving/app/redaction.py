"""Keep tokens out of every log line, the platform SDK's own lines included.

The SDK logs whole request states at debug level (contract, sections 4.3 and 7.1-33), so a filter
stands before every handler instead of trust in each caller.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

HIDDEN = "***"

_SECRET_KEY = re.compile(
    r"(api[_-]?token|x-api-key|access[_-]key|authorization|spawn_?api_?token)", re.I
)
_SECRET_IN_TEXT = re.compile(
    r"""((?:api[_-]?token|x-api-key|access[_-]key|authorization)["']?\s*[:=]\s*["']?"""
    r"""(?:(?:bearer|basic)\s+)?)([^"'\s,}&]+)""",
    re.I,
)
_TOKEN_IN_QUERY = re.compile(
    r"""([?&][^=&\s"']*(?:token|key|secret|auth)[^=&\s"']*=)[^&\s"']+""", re.I
)
_SECRET_ENVIRONMENT = (
    "API_TOKEN",
    "SPAWN_API_TOKEN",
    "context.spawnApiToken",
    "SAM2_SERVING_ACCESS_KEY",
)
_SHORTEST_SECRET = 6
_LOGGERS = ("", "logger", "uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "httpcore")
_PLAIN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) - {"msg", "args"}

request_tokens: ContextVar[tuple[str, ...]] = ContextVar("request_tokens", default=())
"""The tokens that came with the request that is being answered."""


class TokenFilter(logging.Filter):
    """Replaces tokens in messages, arguments, tracebacks and extra fields of log records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record in place; never drops it."""
        secrets = _known_secrets()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _clean_text(record.exc_text, secrets)
            # JSON formatters write the traceback anew as long as they find the exception.
            record.exc_info = None
        # The arguments are merged first: a token may only appear in the finished text.
        message = record.getMessage()
        cleaned = _clean_text(message, secrets)
        if cleaned != message:
            record.msg, record.args = cleaned, ()
        for name, value in list(record.__dict__.items()):
            if name not in _PLAIN and name not in ("msg", "args"):
                record.__dict__[name] = _clean(name, value, secrets)
        return True


def install() -> None:
    """Put the filter before every handler there is, once."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        for holder in (logger, *logger.handlers):
            if not any(isinstance(present, TokenFilter) for present in holder.filters):
                holder.addFilter(TokenFilter())


def tokens_in(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Find the tokens of a request's envelope, wherever clients put them."""
    parts = (body, body.get("context"), body.get("state"))
    return tuple(
        value
        for part in parts
        if isinstance(part, Mapping)
        for key, value in part.items()
        if isinstance(value, str) and _SECRET_KEY.search(key) and len(value) >= _SHORTEST_SECRET
    )


def _known_secrets() -> tuple[str, ...]:
    own = (os.environ.get(name, "") for name in _SECRET_ENVIRONMENT)
    return (*(s for s in own if len(s) >= _SHORTEST_SECRET), *request_tokens.get())


def _clean_text(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _TOKEN_IN_QUERY.sub(rf"\g<1>{HIDDEN}", text)
    return _SECRET_IN_TEXT.sub(rf"\g<1>{HIDDEN}", text)


def _clean(name: str, value: Any, secrets: tuple[str, ...], depth: int = 0) -> Any:
    if isinstance(name, str) and _SECRET_KEY.search(name):
        return HIDDEN
    if isinstance(value, str):
        return _clean_text(value, secrets)
    if depth < 8 and isinstance(value, Mapping):
        return {k: _clean(k, v, secrets, depth + 1) for k, v in value.items()}
    if depth < 8 and isinstance(value, list | tuple):
        return [_clean("", item, secrets, depth + 1) for item in value]
    return value
