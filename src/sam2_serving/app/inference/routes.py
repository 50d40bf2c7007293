"""The `/inference_*` routes and those about requests that were started (contract, 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from supervisely.nn.utils import get_gpu_usage, get_ram_usage

from sam2_serving.app.bodies import parse_json
from sam2_serving.app.inference.jobs import InferenceJob
from sam2_serving.app.inference.named import NamedFile
from sam2_serving.app.inference.requests import (
    MAX_IMAGES,
    BoxesRequest,
    BoxesState,
    FramesState,
    ImageRequest,
    ImagesRequest,
    InferenceState,
    JobRequest,
    ProjectRequest,
    UrlRequest,
    VideoRequest,
)
from sam2_serving.app.inference.tool import InferenceTool
from sam2_serving.app.reporting import (
    BadRequest,
    MediaTooLarge,
    ReportingRoute,
    note,
    validation_sentence,
)
from sam2_serving.app.requests import Body
from sam2_serving.app.workers import Workers
from sam2_serving.engine import CancelToken

SCHEDULED = "Scheduled inference task."
STARTED = "Inference has started."
_FORM_LIMITS = {"max_files": MAX_IMAGES, "max_part_size": 16 * 2**20}
"""The state may hold a mask."""


class Started(BaseModel):
    """A job runs."""

    message: str
    inference_request_uuid: str


class Stopping(BaseModel):
    """The job ends soon."""

    message: str = "Inference will be stopped."
    success: bool = True


class Cleared(BaseModel):
    """Nothing is kept of the job."""

    success: bool = True


def inference_router(tool: InferenceTool, workers: Workers, max_file_bytes: int) -> APIRouter:
    """Make the router.

    Args:
        tool: answers.
        workers: threads for it.
        max_file_bytes: of one picture that comes with a request.
    """
    router = APIRouter(route_class=ReportingRoute)

    async def answer(
        request: Request, body: Body | None, work: Callable[[CancelToken], bytes]
    ) -> Response:
        client = "" if body is None else body.token_hash
        content = await workers.run(request, work, client)
        return Response(content, media_type="application/json")

    @router.post("/inference_image_id")
    async def inference_image_id(body: ImageRequest, request: Request) -> Response:
        note(request, image_id=body.state.image_id)
        return await answer(request, body, lambda cancel: tool.image(body, cancel))

    @router.post("/inference_batch_ids")
    async def inference_batch_ids(body: ImagesRequest, request: Request) -> Response:
        note(request, images=len(body.state.image_ids))
        return await answer(request, body, lambda cancel: tool.images(body, cancel))

    @router.post("/inference_image_url")
    async def inference_image_url(body: UrlRequest, request: Request) -> Response:
        return await answer(request, body, lambda cancel: tool.url(body, cancel))

    @router.post("/inference_boxes")
    async def inference_boxes(body: BoxesRequest, request: Request) -> Response:
        note(request, image_id=body.state.image_id, boxes=len(body.state.boxes))
        return await answer(request, body, lambda cancel: tool.image_boxes(body, cancel))

    @router.post("/inference_boxes_file")
    async def inference_boxes_file(request: Request) -> Response:
        state, files = await _form(request, max_file_bytes, BoxesState)
        file = _only(files)
        return await answer(request, None, lambda cancel: tool.file_boxes(file, state, cancel))

    @router.post("/inference_image")
    async def inference_image(request: Request) -> Response:
        state, files = await _form(request, max_file_bytes, InferenceState)
        file = _only(files)
        return await answer(request, None, lambda cancel: tool.file(file, state, cancel))

    @router.post("/inference_batch")
    async def inference_batch(request: Request) -> Response:
        state, files = await _form(request, max_file_bytes, InferenceState)
        return await answer(request, None, lambda cancel: tool.files(files, state, cancel))

    @router.post("/inference_video_id")
    async def inference_video_id(body: VideoRequest, request: Request) -> Response:
        note(request, video_id=body.state.video_id)
        return await answer(request, body, lambda cancel: tool.video(body, cancel))

    @router.post("/inference_image_id_async")
    def inference_image_id_async(body: ImageRequest) -> Started:
        job = tool.start_images(body, [body.state.image_id])
        return Started(message=SCHEDULED, inference_request_uuid=job.uuid)

    @router.post("/inference_batch_ids_async")
    def inference_batch_ids_async(body: ImagesRequest) -> Started:
        job = tool.start_images(body, body.state.image_ids)
        return Started(message=SCHEDULED, inference_request_uuid=job.uuid)

    @router.post("/inference_batch_async")
    async def inference_batch_async(request: Request) -> Started:
        state, files = await _form(request, max_file_bytes, InferenceState)
        job = tool.start_files(files, state)
        return Started(message=SCHEDULED, inference_request_uuid=job.uuid)

    @router.post("/inference_video_id_async")
    def inference_video_id_async(body: VideoRequest) -> Started:
        job = tool.start_video(body)
        return Started(message=STARTED, inference_request_uuid=job.uuid)

    @router.post("/inference_video_async")
    async def inference_video_async(request: Request) -> Started:
        async with request.form(**_FORM_LIMITS) as form:
            state, videos = _state(form, FramesState), _files(form)
            if len(videos) != 1:
                raise BadRequest(f"One video is expected in 'files', {len(videos)} came.")
            name, content = videos[0].filename, videos[0].file
            job = await run_in_threadpool(tool.start_video_file, name, content, state)
        return Started(message=SCHEDULED, inference_request_uuid=job.uuid)

    @router.post("/inference_project_id_async")
    def inference_project_id_async(body: ProjectRequest) -> Started:
        job = tool.start_project(body)
        return Started(message=STARTED, inference_request_uuid=job.uuid)

    _add_job_routes(router, tool)
    return router


def _add_job_routes(router: APIRouter, tool: InferenceTool) -> None:
    def find(body: JobRequest) -> InferenceJob:
        uuid = body.state.inference_request_uuid
        if uuid is None:
            raise BadRequest("Error: 'inference_request_uuid' is required.")
        return tool.jobs.find(uuid)

    @router.post("/get_inference_progress")
    def get_inference_progress(body: JobRequest) -> dict[str, Any]:
        return find(body).state()

    @router.post("/pop_inference_results")
    def pop_inference_results(body: JobRequest) -> Response:
        return Response(find(body).pop(), media_type="application/json")

    @router.post("/get_inference_result")
    def get_inference_result(body: JobRequest) -> None:
        find(body)  # predictions are fetched one by one; there is nothing beside them

    @router.post("/get_inference_status")
    def get_inference_status(body: JobRequest) -> dict[str, Any]:
        state = find(body).state()
        for name in ("pending_results", "final_result", "created_at", "updated_at"):
            del state[name]
        (used, total), (used_there, total_there) = get_ram_usage(), get_gpu_usage()
        return state | {
            "gpu_memory": {"allocated": used_there, "total": total_there},
            "ram_memory": {"allocated": used, "total": total},
        }

    @router.post("/get_preparing_progress")
    def get_preparing_progress(body: JobRequest) -> dict[str, Any]:
        progress: dict[str, Any] = find(body).state()["preparing_progress"]
        return progress

    @router.post("/stop_inference")
    def stop_inference(body: JobRequest) -> Stopping:
        find(body).cancel.cancel()
        return Stopping()

    @router.post("/clear_inference_request")
    def clear_inference_request(body: JobRequest) -> Cleared:
        find(body).clear()
        return Cleared()


State = TypeVar("State", bound=BaseModel)


async def _form(
    request: Request, max_bytes: int, kind: type[State]
) -> tuple[State, list[NamedFile]]:
    """Read a form: its `files` in their order, and its `state` (or `settings`), a JSON object."""
    async with request.form(**_FORM_LIMITS) as form:
        state, files = _state(form, kind), _files(form)
        if any((one.size or 0) > max_bytes for one in files):
            raise MediaTooLarge(
                f"A file is larger than {max_bytes / 2**20:.0f} MiB "
                "(server setting SAM2_SERVING_MAX_IMAGE_MB)."
            )
        return state, [NamedFile(one.filename, await one.read()) for one in files]


def _files(form: FormData) -> list[UploadFile]:
    files = [one for one in form.getlist("files") if isinstance(one, UploadFile)]
    if not files:
        raise BadRequest("The form has no 'files'.")
    return files


def _only(files: list[NamedFile]) -> NamedFile:
    if len(files) != 1:
        raise BadRequest(f"One file is expected in the form's 'files', {len(files)} came.")
    return files[0]


def _state(form: FormData, kind: type[State]) -> State:
    named = {name: _object(form, name) for name in ("state", "settings")}
    name = "state" if named["state"] or not named["settings"] else "settings"
    try:
        return kind.model_validate(named[name])
    except ValidationError as error:
        raise BadRequest(f"{name}: {validation_sentence(error.errors())}") from error


def _object(form: FormData, name: str) -> dict[str, Any]:
    """Read a field of a form; empty if there is none."""
    text = form.get(name)
    if not isinstance(text, str | None):
        raise BadRequest(f"The form field {name!r} must be text: a JSON object.")
    content = parse_json(text.encode(errors="replace")) if text else {}
    if not isinstance(content, dict):
        raise BadRequest(f"The form field {name!r} must be a JSON object.")
    return content
