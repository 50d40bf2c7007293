"""Errors that a route raises, and the one shape in which they are answered."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

log = logging.getLogger(__name__)


class Refusal(HTTPException):
    """A request that is answered with a status and a sentence."""

    status = 400

    def __init__(self, sentence: str) -> None:
        super().__init__(self.status, sentence)


class BadRequest(Refusal):
    """The request says something that cannot be done."""


class Unauthorized(Refusal):
    """Nobody known asks."""

    status = 401


class Forbidden(Refusal):
    """Somebody known asks for what is not theirs."""

    status = 403


class NotFound(Refusal):
    """What is asked for is not here."""

    status = 404


class Conflict(Refusal):
    """Somebody else was faster."""

    status = 409


class TooLarge(Refusal):
    """The body is larger than the settings allow."""

    status = 413


class TooMany(Refusal):
    """More of this is under way than may be."""

    status = 429


class NoRoom(Refusal):
    """The disk is full."""

    status = 507


def answer_error(status: int, sentence: str, **more: object) -> JSONResponse:
    """Shape an error as the platform's clients read it."""
    content = {"error": sentence, "message": sentence, "success": False, **more}
    return JSONResponse(content, status_code=status)


def add_error_handlers(app: FastAPI) -> None:
    """Answer refusals and validation errors in one shape."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        sentence = str(error.detail)
        if error.status_code == 404 and sentence == "Not Found":
            sentence = f"There is no route {request.url.path}."
        return answer_error(error.status_code, sentence)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        details = [
            {
                # The first part says where ("body", "query"), which a client knows.
                "field": ".".join(str(part) for part in problem["loc"][1:]) or "body",
                "problem": problem["msg"].removeprefix("Value error, "),
                "type": problem["type"],
            }
            for problem in error.errors()
        ]
        first = "; ".join(f"{entry['field']}: {entry['problem']}" for entry in details[:5])
        route = request.url.path.rsplit("/", 1)[-1]
        log.warning("%s refused: %s", route, first)
        return answer_error(400, f"{route}: {first}", details=details)
