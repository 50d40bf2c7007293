"""Apply the model: to an image or many, to files, to frames of a video; now, or as a job."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from supervisely.sly_logger import logger

from sam2_serving.app import environment
from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.inference_answers import Answers, ServedModel
from sam2_serving.app.inference_boxes import BoxAnswers
from sam2_serving.app.inference_jobs import Failure, InferenceJob, InferenceJobs
from sam2_serving.app.inference_named import NamedFile, NamedPictures, Picture
from sam2_serving.app.inference_pictures import WebPictures
from sam2_serving.app.inference_requests import (
    BoxesRequest,
    BoxesState,
    FramesState,
    ImageRequest,
    ImagesRequest,
    InferenceState,
    ProjectRequest,
    UrlRequest,
    VideoRequest,
)
from sam2_serving.app.inference_settings import InferenceSettings, default_settings, read_settings
from sam2_serving.app.inference_uploads import SAME_OBJECT, SUFFIX, UploadRules, Uploads
from sam2_serving.app.inference_video_file import BroughtVideo
from sam2_serving.app.media import MediaLibrary
from sam2_serving.app.patience import Patience
from sam2_serving.app.platform_api import Caller, PlatformClient, caller_of
from sam2_serving.app.platform_projects import Projects
from sam2_serving.app.predictions import Json
from sam2_serving.app.reporting import (
    AppError,
    BadRequest,
    MediaNotFound,
    MediaTooLarge,
    NotServedYet,
    PermissionDenied,
    Unexpected,
    UnreadableMedia,
    as_app_error,
)
from sam2_serving.app.requests import Body
from sam2_serving.engine import Busy, Cancelled, CancelToken
from sam2_serving.pretrained import MODELS_FILE
from sam2_serving.settings import ServerSettings

SETTINGS_FILE = MODELS_FILE.with_name("inference_settings.yaml")
PICTURES_AT_ONCE = 4
_TOLD = 3
_OF_THE_PICTURE = (
    BadRequest,
    MediaNotFound,
    MediaTooLarge,
    PermissionDenied,
    Unexpected,
    UnreadableMedia,
)
"""What is wrong with one picture says nothing about the next; anything else ends a job."""


@dataclass(frozen=True)
class _Order:
    """What is done with each picture."""

    settings: InferenceSettings
    uploads: Uploads | None


@dataclass(frozen=True)
class InferenceTool:
    """Answers `/inference_*`. Thread-safe.

    Attributes:
        defaults: of the settings.
        patience_s: how long a job puts up with a platform that fails.
        answer_bytes: largest answer to a request for many pictures at once.
        folder: for videos that come with requests, while they are needed.
    """

    answers: Answers
    pictures: NamedPictures
    servers: ServerPolicy
    jobs: InferenceJobs
    defaults: Mapping[str, Any]
    patience_s: float
    answer_bytes: int
    folder: Path

    # Now

    def image(self, body: ImageRequest, cancel: CancelToken) -> bytes:
        """Answer for one image; JSON."""
        caller = self._caller(body)
        picture = self.pictures.image(caller, body.state.image_id)
        return self._one(picture, self._order(body.state, caller), cancel)

    def images(self, body: ImagesRequest, cancel: CancelToken) -> bytes:
        """Answer for many images: a list in their order, or the error of the first that has one."""
        caller = self._caller(body)
        pictures = [self.pictures.image(caller, id) for id in body.state.image_ids]
        return self._many(pictures, self._order(body.state, caller), cancel)

    def file(self, file: NamedFile, state: InferenceState, cancel: CancelToken) -> bytes:
        """Answer for a file that came with the request."""
        return self._one(self.pictures.file(file), self._order(state), cancel)

    def files(
        self, files: Sequence[NamedFile], state: InferenceState, cancel: CancelToken
    ) -> bytes:
        """Answer for many files, as `images` does."""
        pictures = [self.pictures.file(file) for file in files]
        return self._many(pictures, self._order(state), cancel)

    def url(self, body: UrlRequest, cancel: CancelToken) -> bytes:
        """Answer for a picture of the web."""
        picture = self.pictures.address(body.state.image_url)
        return self._one(picture, self._order(body.state), cancel)

    def video(self, body: VideoRequest, cancel: CancelToken) -> bytes:
        """Answer for frames of a video: {"ann": [...]}."""
        order = self._order(body.state)
        pictures = self.pictures.frames(self._caller(body), body.state)
        return b'{"ann":%b}' % self._many(pictures, order, cancel)

    def image_boxes(self, body: BoxesRequest, cancel: CancelToken) -> bytes:
        """Answer for each box of an image: see `BoxAnswers.answer`."""
        picture = self.pictures.image(self._caller(body), body.state.image_id)
        return self._boxes(picture, body.state, cancel)

    def file_boxes(self, file: NamedFile, state: BoxesState, cancel: CancelToken) -> bytes:
        """Answer for each box of a file that came with the request."""
        return self._boxes(self.pictures.file(file), state, cancel)

    def _boxes(self, picture: Picture, state: BoxesState, cancel: CancelToken) -> bytes:
        self.answers.served.ready_engine()
        wanted = BoxAnswers(self.answers, self.defaults, self.answer_bytes)
        settings = wanted.settings(state.settings)
        media, _ = picture.open()
        return wanted.answer(media, state.boxes, settings, cancel)

    # As a job

    def start_images(
        self, body: ImageRequest | ImagesRequest, image_ids: Sequence[int]
    ) -> InferenceJob:
        """Start on images."""
        caller = self._caller(body)
        pictures = [self.pictures.image(caller, id) for id in image_ids]
        return self._start(lambda: pictures, self._order(body.state, caller))

    def start_files(self, files: Sequence[NamedFile], state: InferenceState) -> InferenceJob:
        """Start on files that came with the request."""
        pictures = [self.pictures.file(file) for file in files]
        return self._start(lambda: pictures, self._order(state))

    def start_video(self, body: VideoRequest) -> InferenceJob:
        """Start on frames of a video."""
        caller = self._caller(body)
        find = partial(self.pictures.frames, caller, body.state)
        return self._start(find, self._order(body.state))

    def start_video_file(
        self, name: str | None, content: BinaryIO, state: FramesState
    ) -> InferenceJob:
        """Start on frames of a video that came with the request."""
        order = self._order(state)
        video = BroughtVideo(self.folder, name, content, self.answers.max_pixels)

        def run(job: InferenceJob) -> Failure | None:
            try:
                return self._run(job, lambda: video.frames(state), order)
            finally:
                video.close()

        try:
            return self.jobs.start(run)
        except Exception:
            video.close()
            raise

    def start_project(self, body: ProjectRequest) -> InferenceJob:
        """Start on all images of a project."""
        caller = self._caller(body)
        find = partial(self.pictures.project, caller, body.state)
        return self._start(find, self._order(body.state, caller))

    def _caller(self, body: Body) -> Caller:
        return caller_of(body.server_address, body.api_token, self.servers)

    # The work

    def _order(self, state: InferenceState, caller: Caller | None = None) -> _Order:
        """Understand a state.

        Args:
            state: of the request.
            caller: in whose name predictions may be stored; None: they cannot be.

        Raises:
            AppError: it makes no sense, or there is no model to answer.
        """
        self.answers.served.ready_engine()
        settings = read_settings(self.defaults, state.settings, state.rectangle)
        mode, project = state.upload_mode, state.output_project_id
        if mode is None and project is None:
            return _Order(settings, None)
        if mode == "create":
            raise NotServedYet(
                "upload_mode 'create' is not supported: this app makes no projects and copies no "
                "images. Copy the project on the platform, then use append, replace or iou_merge."
            )
        if caller is None:
            raise BadRequest("Only what is found in images of the platform can be stored there.")
        rules = UploadRules(
            mode or "append",
            project,
            SUFFIX if state.model_prediction_suffix is None else state.model_prediction_suffix,
            state.iou_merge_threshold or settings.existing_objects_iou_thresh or SAME_OBJECT,
        )
        projects = Projects(self.pictures.client, caller)
        return _Order(settings, Uploads(projects, rules, self.answers.max_pixels))

    def _predict(self, picture: Picture, order: _Order, cancel: CancelToken, at_once: bool) -> Json:
        media, origin = picture.open()
        outcome = self.answers.answer(media, order.settings, cancel, at_once=at_once)
        return outcome.prediction(origin)

    def _stored(self, prediction: Json, order: _Order, patience: Patience) -> bytes:
        """Store a prediction if that is wanted; returns what is told, as JSON."""
        uploads = order.uploads
        told = prediction if uploads is None else uploads.store(prediction, patience)
        return json.dumps(told, separators=(",", ":")).encode()

    def _one(self, picture: Picture, order: _Order, cancel: CancelToken) -> bytes:
        prediction = self._predict(picture, order, cancel, at_once=True)
        return self._stored(prediction, order, Patience(self.patience_s, cancel))

    def _many(self, pictures: Sequence[Picture], order: _Order, cancel: CancelToken) -> bytes:
        patience = Patience(self.patience_s, cancel)

        def predict(picture: Picture) -> bytes:
            try:
                prediction = self._predict(picture, order, cancel, at_once=False)
                return self._stored(prediction, order, patience)
            except (Busy, Cancelled):
                raise
            except Exception as error:
                raise _with_name(picture.name, as_app_error(error)) from error

        parts: list[bytes] = []
        room = self.answer_bytes
        for part in _in_order(pictures, predict, cancel):
            parts.append(part)
            room -= len(part)
            if room < 0:
                raise MediaTooLarge(
                    "The answer would be too large: ask for fewer pictures at once, or use the "
                    "same route with _async at its end."
                )
        return b"[%b]" % b",".join(parts)

    def _start(self, find: Callable[[], Sequence[Picture]], order: _Order) -> InferenceJob:
        return self.jobs.start(lambda job: self._run(job, find, order))

    def _run(
        self, job: InferenceJob, find: Callable[[], Sequence[Picture]], order: _Order
    ) -> Failure | None:
        patience = Patience(self.patience_s, job.cancel)
        pictures = patience.insist(find)
        job.begin(len(pictures))
        failures: list[Failure] = []

        def predict(picture: Picture) -> bytes | Failure:
            try:
                prediction = self._patiently(picture, order, patience)
                return self._stored(prediction, order, patience)
            except (Busy, Cancelled):
                raise
            except Exception as error:
                problem = as_app_error(error)
                if not isinstance(problem, _OF_THE_PICTURE):
                    raise
                return Failure(type(problem).__name__, f"{picture.name}: {problem}")

        for result in _in_order(pictures, predict, job.cancel):
            if isinstance(result, Failure):
                logger.warning("A picture has no prediction", extra={"error": result.sentence})
                failures.append(result)
                job.pass_over()
            else:
                job.put(result)
        return _summary(failures, len(pictures))

    def _patiently(self, picture: Picture, order: _Order, patience: Patience) -> Json:
        while True:
            try:
                return patience.insist(
                    lambda: self._predict(picture, order, patience.cancel, at_once=False)
                )
            except Busy as busy:
                patience.rest(busy.retry_after_s)


def make_inference_tool(
    served: ServedModel,
    client: PlatformClient,
    library: MediaLibrary,
    settings: ServerSettings,
    servers: ServerPolicy,
) -> InferenceTool:
    """Build the tool from the server's settings."""
    configured = environment.configured_server()
    web = WebPictures(
        [*settings.allowed_servers, *([configured] if configured else [])],
        settings.image_url_hosts,
        timeout_s=settings.platform_timeout_s,
        max_bytes=settings.max_image_mb * 2**20,
    )
    results_bytes = settings.inference_results_mb * 2**20
    folder = settings.data_dir / "inference"
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    return InferenceTool(
        Answers(served, settings.max_image_pixels, settings.polygon_tolerance),
        NamedPictures(library, client, web, settings.max_image_pixels),
        servers,
        InferenceJobs(settings.max_inference_jobs, results_bytes),
        default_settings(SETTINGS_FILE),
        settings.tracking_patience_s,
        results_bytes,
        folder,
    )


def _in_order(
    pictures: Sequence[Picture], work: Callable[[Picture], Any], cancel: CancelToken
) -> Iterator[Any]:
    """Yield what `work` returns, in order; a few pictures are worked on at a time, no more."""
    ahead: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(PICTURES_AT_ONCE, thread_name_prefix="inference") as pool:
        try:
            for picture in pictures:
                if cancel.cancelled:
                    raise Cancelled("The request was stopped.")
                # in this request's context: its token stays out of the log
                ahead.append(pool.submit(copy_context().run, work, picture))
                if len(ahead) >= PICTURES_AT_ONCE:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except BaseException:
            # nobody wants the others any more, and nobody should wait for them
            cancel.cancel()
            for future in ahead:
                future.cancel()
            raise


def _summary(failures: list[Failure], count: int) -> Failure | None:
    if not failures or count == 1:
        return failures[0] if failures else None
    said = "; ".join(one.sentence.rstrip(".") for one in failures[:_TOLD])
    more = len(failures) - _TOLD
    rest = f"; and {more} more" if more > 0 else ""
    kinds = {one.kind for one in failures}
    kind = kinds.pop() if len(kinds) == 1 else "SomePicturesFailed"
    return Failure(kind, f"{len(failures)} of {count} have no prediction: {said}{rest}.")


def _with_name(name: str, error: AppError) -> AppError:
    named = type(error)(f"{name}: {error}")
    named.status, named.retry_after_s = error.status, error.retry_after_s
    return named
