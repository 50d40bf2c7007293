"""Every failure becomes an answer in words."""

from __future__ import annotations

import json

import pytest
from fastapi import HTTPException

from sam2_serving.app import reporting
from sam2_serving.app.reporting import (
    AppError,
    as_app_error,
    error_body,
    error_response,
    smart_tool_error_body,
)
from sam2_serving.engine import Busy, Cancelled, EngineClosed
from sam2_serving.images import ImageTooLarge, UnreadableImage

KINDS = [
    kind
    for kind in vars(reporting).values()
    if isinstance(kind, type) and issubclass(kind, AppError) and kind is not AppError
]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Busy(2.2), 503),
        (EngineClosed("closed"), 503),
        (Cancelled("gone"), 499),
        (ImageTooLarge("too large"), 413),
        (UnreadableImage("damaged"), 422),
        (HTTPException(400, "There was an error parsing the body"), 400),
        (HTTPException(500, "secret"), 500),
        (ValueError("secret"), 500),
    ],
)
def test_place_of_other_failures(failure: Exception, status: int) -> None:
    error = as_app_error(failure)
    assert error.status == status
    assert "secret" not in str(error)
    assert len(str(error).split()) >= 2 or status in (413, 422)


def test_busy_says_when_to_come_back() -> None:
    assert error_response(as_app_error(Busy(2.2)), "id").headers["retry-after"] == "3"
    assert error_response(as_app_error(Busy(0.01)), "id").headers["retry-after"] == "1"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_own_errors_keep_their_sentence(kind: type[AppError]) -> None:
    error = as_app_error(kind("A sentence."))
    assert type(error) is kind
    assert 400 <= error.status < 600
    body = json.loads(error_response(error, "the-id").body)
    assert body == {"message": "A sentence.", "success": False, "request_id": "the-id"}


def test_smart_tool_gets_nulls_beside_the_sentence() -> None:
    error = reporting.BadRequest("A sentence.")
    assert smart_tool_error_body(error, "the-id") == {
        "origin": None,
        "bitmap": None,
        "error": "A sentence.",
        **error_body(error, "the-id"),
    }
