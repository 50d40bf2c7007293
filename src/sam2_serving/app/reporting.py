"""Errors, and the one place that turns them into answers.

Every route of ours is a `ReportingRoute`: whatever goes wrong inside becomes a JSON answer with a
sentence for the user and the request id that is also in the log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from supervisely.sly_logger import logger

from sam2_serving.engine import Busy, Cancelled, EngineClosed, OutOfMemory
from sam2_serving.engine.shortage import is_out_of_memory
from sam2_serving.images import ImageTooLarge, UnreadableImage

REQUEST_ID_HEADER = "X-Request-Id"


class AppError(Exception):
    """Something that a user should be told in words.

    Attributes:
        status: HTTP status of the answer.
        retry_after_s: seconds after which trying again makes sense, or None.
    """

    status = 400
    retry_after_s: float | None = None


class BadRequest(AppError):
    """The request cannot be understood or makes no sense."""


class UnsupportedSource(AppError):
    """The request is right, but names something that is not served yet."""


class UnsupportedGeometry(AppError):
    """The figure to edit has no area, or cannot be read."""

    status = 422


class NothingToTrack(AppError):
    """None of the figures can be tracked."""

    status = 422


class EditForgotten(AppError):
    """A later click of an edit whose first mask is gone."""

    status = 409


class NotServedYet(AppError):
    """A route of the SDK's that this app does not answer."""

    status = 501


class UnsupportedMediaType(AppError):
    """The body is not JSON."""

    status = 415


class Unauthorized(AppError):
    """The request has no token, or one that the platform does not know."""

    status = 401


class PermissionDenied(AppError):
    """The request's token has no right to what it names."""

    status = 403


class MediaNotFound(AppError):
    """The platform has no such image, video or volume."""

    status = 404


class Conflict(AppError):
    """Another deploy is under way."""

    status = 409


class MediaTooLarge(AppError):
    """A file or picture is over a limit."""

    status = 413


class UnreadableMedia(AppError):
    """The platform sent a file that is no readable picture."""

    status = 422


class PlatformUnavailable(AppError):
    """The platform could not be reached, or answered nonsense."""

    status = 502


class PlatformTimeout(AppError):
    """The platform did not answer in time."""

    status = 504


class ModelNotReady(AppError):
    """No model is being served."""

    status = 503


class DeployFailed(AppError):
    """A model could not be loaded."""

    status = 422


class Overloaded(AppError):
    """Too many requests wait already."""

    status = 503


class NotEnoughMemory(AppError):
    """The device or the machine has no memory for this."""

    status = 503
    retry_after_s = 10.0


class ClientGone(AppError):
    """The client closed the connection; nobody reads this answer."""

    status = 499


class Unexpected(AppError):
    """A defect of ours."""

    status = 500


def as_app_error(error: Exception) -> AppError:
    """Give any exception its place among the errors above."""
    match error:
        case AppError():
            return error
        case Busy():
            overloaded = Overloaded("The server is busy: try again in a moment.")
            overloaded.retry_after_s = error.retry_after_s
            return overloaded
        case OutOfMemory() | MemoryError():
            return NotEnoughMemory(
                "There is not enough memory for this now: try again, or ask for less at once."
            )
        case RuntimeError() if is_out_of_memory(error):
            return as_app_error(OutOfMemory())
        case EngineClosed():
            return ModelNotReady("The model was stopped or replaced meanwhile: try again.")
        case Cancelled():
            return ClientGone("The request was cancelled.")
        case ImageTooLarge():
            return MediaTooLarge(str(error))
        case UnreadableImage():
            return UnreadableMedia(str(error))
        case RequestValidationError():
            return BadRequest(validation_sentence(error.errors()))
        case HTTPException() if error.status_code < 500:
            detail = str(error.detail).rstrip(".")
            problem = BadRequest(f"The request cannot be read: {detail}.")
            problem.status = error.status_code
            return problem
        case _:
            logger.error("Unexpected error", exc_info=error, extra={"error": repr(error)})
            return Unexpected("Something went wrong inside the app; its log has the details.")


def validation_sentence(errors: Sequence[Any]) -> str:
    """Say what is wrong with a body; never repeats what was sent, only where it stood."""
    said = []
    for error in errors[:3]:
        steps = [step for step in error["loc"] if step != "body"]
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        problem = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
        said.append(f"{ascii(place.lstrip('.') or 'the body')[1:-1][:200]}: {problem[:200]}")
    more = len(errors) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "") + "."


def request_id(request: Request) -> str:
    """Return the id under which the log knows this request."""
    return str(getattr(request.state, "request_id", "unknown"))


def error_body(error: AppError, request_id: str) -> dict[str, Any]:
    """Shape an error for every route but the Smart Tool's."""
    return {"message": str(error), "success": False, "request_id": request_id}


def smart_tool_error_body(error: AppError, request_id: str) -> dict[str, Any]:
    """Shape an error for the Smart Tool (contract, section 3.1)."""
    body = {"origin": None, "bitmap": None, "success": False, "error": str(error)}
    return body | {"message": str(error), "request_id": request_id}


def error_response(
    error: AppError,
    request_id: str,
    shape: Callable[[AppError, str], dict[str, Any]] = error_body,
) -> JSONResponse:
    """Turn an error into an answer."""
    response = JSONResponse(shape(error, request_id), status_code=error.status)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


class ReportingRoute(APIRoute):
    """A route whose every failure becomes an answer in words."""

    shape: Callable[[AppError, str], dict[str, Any]] = staticmethod(error_body)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's own handler, body parsing and answer checking included."""
        handle = super().get_route_handler()

        async def report(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as failure:
                error = as_app_error(failure)
                note(request, error=str(error), kind=type(error).__name__)
                return error_response(error, request_id(request), self.shape)

        return report


class SmartToolRoute(ReportingRoute):
    """A route whose failures have the shape that the Smart Tool shows."""

    shape = staticmethod(smart_tool_error_body)


def note(request: Request, **fields: Any) -> None:
    """Add fields to the line that the log gets for this request."""
    if not hasattr(request.state, "log_fields"):
        request.state.log_fields = {}
    request.state.log_fields.update(fields)
