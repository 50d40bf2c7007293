"""Apply the model: to an image or many, to files, to frames of a video; now, or as a job."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from sam2_serving.app import environment
from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.inference.answers import Answers, ServedModel
from sam2_serving.app.inference.boxes import BoxAnswers
from sam2_serving.app.inference.jobs import Failure, InferenceJob, InferenceJobs
from sam2_serving.app.inference.named import NamedFile, NamedPictures, Picture
from sam2_serving.app.inference.pictures import WebPictures
from sam2_serving.app.inference.requests import (
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
from sam2_serving.app.inference.runs import Order, Runs
from sam2_serving.app.inference.settings import default_settings, read_settings
from sam2_serving.app.inference.uploads import SAME_OBJECT, SUFFIX, UploadRules, Uploads
from sam2_serving.app.inference.video_file import BroughtVideo
from sam2_serving.app.media import MediaLibrary
from sam2_serving.app.platform.api import Caller, PlatformClient, caller_of
from sam2_serving.app.platform.projects import Projects
from sam2_serving.app.reporting import BadRequest, NotServedYet
from sam2_serving.app.requests import Body
from sam2_serving.engine import CancelToken
from sam2_serving.pretrained import MODELS_FILE
from sam2_serving.settings import ServerSettings

SETTINGS_FILE = MODELS_FILE.with_name("inference_settings.yaml")


@dataclass(frozen=True)
class InferenceTool:
    """Answers `/inference_*`. Thread-safe.

    Attributes:
        runs: carries out what a request orders.
        defaults: of the settings.
        folder: for videos that come with requests, while they are needed.
    """

    answers: Answers
    pictures: NamedPictures
    servers: ServerPolicy
    jobs: InferenceJobs
    runs: Runs
    defaults: Mapping[str, Any]
    folder: Path

    # Now

    def image(self, body: ImageRequest, cancel: CancelToken) -> bytes:
        """Answer for one image; JSON."""
        caller = self._caller(body)
        picture = self.pictures.image(caller, body.state.image_id)
        return self.runs.one(picture, self._order(body.state, caller), cancel)

    def images(self, body: ImagesRequest, cancel: CancelToken) -> bytes:
        """Answer for many images: a list in their order, or the error of the first that has one."""
        caller = self._caller(body)
        pictures = [self.pictures.image(caller, id) for id in body.state.image_ids]
        return self.runs.many(pictures, self._order(body.state, caller), cancel)

    def file(self, file: NamedFile, state: InferenceState, cancel: CancelToken) -> bytes:
        """Answer for a file that came with the request."""
        return self.runs.one(self.pictures.file(file), self._order(state), cancel)

    def files(
        self, files: Sequence[NamedFile], state: InferenceState, cancel: CancelToken
    ) -> bytes:
        """Answer for many files, as `images` does."""
        pictures = [self.pictures.file(file) for file in files]
        return self.runs.many(pictures, self._order(state), cancel)

    def url(self, body: UrlRequest, cancel: CancelToken) -> bytes:
        """Answer for a picture of the web."""
        picture = self.pictures.address(body.state.image_url)
        return self.runs.one(picture, self._order(body.state), cancel)

    def video(self, body: VideoRequest, cancel: CancelToken) -> bytes:
        """Answer for frames of a video: {"ann": [...]}."""
        order = self._order(body.state)
        pictures = self.pictures.frames(self._caller(body), body.state)
        return b'{"ann":%b}' % self.runs.many(pictures, order, cancel)

    def image_boxes(self, body: BoxesRequest, cancel: CancelToken) -> bytes:
        """Answer for each box of an image: see `BoxAnswers.answer`."""
        picture = self.pictures.image(self._caller(body), body.state.image_id)
        return self._boxes(picture, body.state, cancel)

    def file_boxes(self, file: NamedFile, state: BoxesState, cancel: CancelToken) -> bytes:
        """Answer for each box of a file that came with the request."""
        return self._boxes(self.pictures.file(file), state, cancel)

    def _boxes(self, picture: Picture, state: BoxesState, cancel: CancelToken) -> bytes:
        self.answers.served.ready_engine()
        wanted = BoxAnswers(self.answers, self.defaults, self.runs.answer_bytes)
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
                return self.runs.as_job(job, lambda: video.frames(state), order)
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

    def _order(self, state: InferenceState, caller: Caller | None = None) -> Order:
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
            return Order(settings, None)
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
        return Order(settings, Uploads(projects, rules, self.answers.max_pixels))

    def _start(self, find: Callable[[], Sequence[Picture]], order: Order) -> InferenceJob:
        return self.jobs.start(lambda job: self.runs.as_job(job, find, order))


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
    answers = Answers(served, settings.max_image_pixels, settings.polygon_tolerance)
    return InferenceTool(
        answers,
        NamedPictures(library, client, web, settings.max_image_pixels),
        servers,
        InferenceJobs(settings.max_inference_jobs, results_bytes),
        Runs(answers, settings.tracking_patience_s, results_bytes),
        default_settings(SETTINGS_FILE),
        folder,
    )
