"""No token reaches a handler, however it got into a record."""

from __future__ import annotations

import json
import logging

import pytest
from supervisely.sly_logger import create_formatter

from sam2_serving.app.redaction import TokenFilter, request_tokens, tokens_in

SECRET = "s3cret-t0ken"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    logger = logging.getLogger("redaction-test")
    logger.filters = [TokenFilter()]
    caplog.set_level(logging.DEBUG, logger="redaction-test")
    caplog.handler.setFormatter(create_formatter())
    return logger


@pytest.mark.parametrize(
    "extra",
    [
        {"api_token": SECRET},
        {"state": {"api_token": SECRET, "settings": {}}},
        {"context": {"apiToken": SECRET}},
        {"headers": [{"x-api-key": SECRET}]},
        {"deep": {"a": [{"b": {"API_TOKEN": SECRET}}]}},
        {"text": f'{{"api_token": "{SECRET}"}}'},
    ],
)
def test_fields(
    log: logging.Logger, caplog: pytest.LogCaptureFixture, extra: dict[str, object]
) -> None:
    log.debug("Request state in cache endpoint", extra=extra)
    assert SECRET not in caplog.text
    assert "Request state in cache endpoint" in caplog.text
    json.loads(caplog.text)


def test_messages_and_arguments(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    log.info("api_token=%s", SECRET)
    log.info(f"{{'apiToken': '{SECRET}', 'x': 1}}")
    log.info("x-api-key: " + SECRET)
    assert SECRET not in caplog.text


def test_known_tokens_anywhere(
    log: logging.Logger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "owner-" + SECRET)
    known = request_tokens.set((SECRET,))
    try:
        log.info("calling with %s and owner-%s", SECRET, SECRET)
        try:
            raise ValueError(f"bad header {SECRET}")
        except ValueError:
            log.exception("failed")
    finally:
        request_tokens.reset(known)
    assert SECRET not in caplog.text
    assert "bad header" in caplog.text


def test_tokens_are_found_wherever_clients_put_them() -> None:
    body = {
        "api_token": "first-token",
        "context": {"apiToken": "second-token"},
        "state": {"api_token": "third-token", "settings": {}},
    }
    assert tokens_in(body) == ("first-token", "second-token", "third-token")


def test_other_records_stay_as_they_are(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    log.info("%d tokens of %s", 5, "text", extra={"points": [1, 2], "size": (3, 4)})
    assert caplog.records[0].getMessage() == "5 tokens of text"
    assert json.loads(caplog.text)["points"] == [1, 2]
