"""The routes of tracking (contract, sections 3.3 to 3.6)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from sam2_serving.app.bodies import parse_json
from sam2_serving.app.reporting import (
    BadRequest,
    MediaTooLarge,
    ReportingRoute,
    note,
    validation_sentence,
)
from sam2_serving.app.tracking.jobs import RunningJob
from sam2_serving.app.tracking.reports import EventStream
from sam2_serving.app.tracking.requests import (
    InlineTrackRequest,
    ResultsRequest,
    TrackApiRequest,
    TrackFilesSettings,
    TrackRequest,
)
from sam2_serving.app.tracking.tool import TrackTool
from sam2_serving.app.workers import Workers

MAX_FRAME_FILES = 10_000
MAX_SETTINGS_BYTES = 16 * 2**20
"""Of the form field that holds the figures to follow."""
_STREAM_HEADERS = {
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
}


class Started(BaseModel):
    """A job runs."""

    message: str
    inference_request_uuid: str


class Counted(BaseModel):
    """How far a job is, in frames."""

    current: int
    total: int


class Popped(BaseModel):
    """What a job found since the last time.

    Attributes:
        progress: of the job; at its end `is_inferring` is false.
        pending_results: figures in the form in which they came.
        exception: why the job ended early.
        review: frames that a person should look at: objectId, frameRange, reason.
    """

    progress: Counted
    is_inferring: bool
    cancel_inference: bool
    result: None = None
    preparing_progress: Counted
    exception: str | None
    pending_results: list[dict[str, Any]]
    review: list[dict[str, Any]]


class Stopping(BaseModel):
    """The job ends within a frame."""

    message: str = "Inference will be stopped."
    success: Literal[True] = True


class Cleared(BaseModel):
    """Nothing is kept of the job."""

    success: Literal[True] = True


def tracking_router(tool: TrackTool, workers: Workers) -> APIRouter:
    """Make the router."""
    router = APIRouter(route_class=ReportingRoute)

    @router.post("/track")
    def track(body: TrackRequest, request: Request) -> Started:
        _note(request, body.context)
        job = tool.track(body)
        return Started(message="Tracking task started", inference_request_uuid=job.uuid)

    @router.post("/track_async")
    def track_async(body: InlineTrackRequest, request: Request) -> Started:
        _note(request, body.context)
        job = tool.track_inline(body)
        return Started(message="Inference has started.", inference_request_uuid=job.uuid)

    @router.post("/track_stream")
    async def track_stream(body: InlineTrackRequest, request: Request) -> StreamingResponse:
        _note(request, body.context)
        context, results_of = body.context, uuid.uuid4().hex
        first = {"inference_request_uuid": results_of}
        stream = EventStream(context.videoId, context.trackId, context.sessionId, first)
        job = await run_in_threadpool(tool.track_inline, body, stream, results_of)
        return StreamingResponse(
            _events(stream, job), media_type="text/event-stream", headers=_STREAM_HEADERS
        )

    @router.post("/pop_tracking_results")
    def pop_tracking_results(body: ResultsRequest) -> Popped:
        results = tool.jobs.with_results(_uuid(body))
        # read before the figures are taken: whoever sees the end has got everything
        running, error = results.running, results.error
        wanted = body.context.frameRange
        figures = results.pop(min(wanted), max(wanted)) if wanted else results.pop(None, None)
        results.end_told = not running
        progress = Counted(current=results.current, total=results.total)
        return Popped(
            progress=progress,
            is_inferring=running,
            cancel_inference=results.cancel.cancelled,
            preparing_progress=Counted(current=progress.total, total=progress.total),
            exception=error,
            pending_results=figures,
            review=[span.json() for span in list(results.review)],
        )

    @router.post("/stop_tracking")
    def stop_tracking(body: ResultsRequest) -> Stopping:
        context = body.context
        tool.jobs.stop(context.inference_request_uuid, context.trackId, body.token_hash)
        return Stopping()

    @router.post("/clear_tracking_results")
    def clear_tracking_results(body: ResultsRequest) -> Cleared:
        tool.jobs.clear(_uuid(body))
        return Cleared()

    @router.post("/track-api")
    async def track_api(body: TrackApiRequest, request: Request) -> list[list[Any]]:
        return await workers.run(
            request, lambda cancel: tool.track_api(body, cancel), body.token_hash
        )

    @router.post("/track-api-files")
    async def track_api_files(request: Request) -> list[list[Any]]:
        settings, files = await _form(request, tool.limits.bytes)
        return await workers.run(
            request, lambda cancel: tool.track_files(_files_settings(settings), files, cancel)
        )

    return router


async def _events(stream: EventStream, job: RunningJob) -> AsyncIterator[str]:
    """Send events; a client that goes away stops the job."""
    assert job.results is not None
    try:
        async for event in stream.read():
            yield event
    finally:
        if job.results.running:
            job.cancel.cancel()


async def _form(request: Request, max_bytes: int) -> tuple[str, list[bytes]]:
    """Read a multipart body: the field `settings`, and the files in their order."""
    limits = {"max_files": MAX_FRAME_FILES, "max_part_size": MAX_SETTINGS_BYTES}
    async with request.form(**limits) as form:
        text = form.get("settings", "{}")
        if not isinstance(text, str):
            raise BadRequest("The form field 'settings' must be text: a JSON object.")
        files = [one for one in form.getlist("files") if isinstance(one, UploadFile)]
        if any((one.size or 0) > max_bytes for one in files):
            raise MediaTooLarge(f"A frame is larger than {max_bytes / 2**20:.0f} MiB.")
        return text, [await one.read() for one in files]


def _files_settings(text: str) -> TrackFilesSettings:
    try:
        return TrackFilesSettings.model_validate(parse_json(text.encode()))
    except ValidationError as error:
        raise BadRequest(f"settings: {validation_sentence(error.errors())}") from error


def _note(request: Request, context: Any) -> None:
    note(
        request,
        video_id=context.videoId,
        frame=context.frameIndex,
        frames=context.frames,
        direction=context.direction,
        track_id=ascii(context.trackId)[:200],
    )


def _uuid(body: ResultsRequest) -> str:
    if body.context.inference_request_uuid is None:
        raise BadRequest("inference_request_uuid is required.")
    return body.context.inference_request_uuid
