"""Starts tracking jobs: the four ways to ask, each a few lines over one line (`line.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from supervisely.sly_logger import logger

from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.file_frames import FileFrames, FrameLimits
from sam2_serving.app.platform.api import Caller, PlatformClient, caller_of
from sam2_serving.app.platform.video import VideoFigure
from sam2_serving.app.reporting import AppError, BadRequest
from sam2_serving.app.tracking.claims import Claims
from sam2_serving.app.tracking.figures import Finish
from sam2_serving.app.tracking.job import frame_range
from sam2_serving.app.tracking.jobs import RunningJob, TrackJobs
from sam2_serving.app.tracking.journal import Journal
from sam2_serving.app.tracking.line import Material, Run, ServedModel, TrackDefaults, TrackLine
from sam2_serving.app.tracking.reports import DirectMessages, Reporter, Silence, Timeline
from sam2_serving.app.tracking.requests import (
    InlineTrackRequest,
    ReportedContext,
    TrackApiRequest,
    TrackFilesSettings,
    TrackRequest,
)
from sam2_serving.app.tracking.results import TrackResults
from sam2_serving.app.tracking.review_tags import ReviewTags
from sam2_serving.app.tracking.sinks import AnswerSink, FoundObject, ResultsSink, UploadSink
from sam2_serving.app.tracking.starts import (
    inline_figures,
    input_figures,
    named_figures,
    read_starts,
)
from sam2_serving.app.tracking.uploads import Uploads
from sam2_serving.app.video_files import VideoFiles
from sam2_serving.app.video_source import Video, VideoPixels
from sam2_serving.engine import CancelToken
from sam2_serving.settings import ServerSettings


@dataclass(frozen=True)
class TrackTool:
    """Follows figures through videos. Thread-safe."""

    line: TrackLine
    client: PlatformClient
    servers: ServerPolicy

    @property
    def jobs(self) -> TrackJobs:
        """The jobs that were started."""
        return self.line.jobs

    @property
    def limits(self) -> FrameLimits:
        """What a frame may be at most."""
        return self.line.pixels.limits

    def caller(self, body: TrackRequest | InlineTrackRequest | TrackApiRequest) -> Caller:
        """Return whose rights count; raises BadRequest or Unauthorized."""
        return caller_of(body.server_address, body.api_token, self.servers)

    def track(self, body: TrackRequest) -> RunningJob:
        """Start `/track`: figures are named by id, what is found is stored on the platform.

        Raises:
            AppError: the job cannot start; what goes wrong later is reported.
        """
        context, caller = body.context, self.caller(body)
        reporter = self._direct_messages(context, caller) or Timeline(*self._whose(context, caller))
        job = RunningJob(context.trackId, caller.token_hash, CancelToken())
        run = self.line.run(job, reporter, body.state.settings, bool(context.detectOffScreen))
        run.destination = "platform"

        def work() -> None:
            insist = run.patience.insist
            video = insist(lambda: Video.ask(self.client, caller, context.videoId))
            figures = video.figures(self.client)
            stored = insist(figures.all)
            named = insist(lambda: figures.named(context.figureIds, geometries=True))
            found = named_figures(named, context.figureIds, context.frameIndex)
            with self.line.material(run, body, video, found, stored) as material:
                uploads = Uploads(
                    figures,
                    [one for one in stored if one.object_id in material.starts.kinds],
                    max((one.id for one in stored), default=0),
                    context.trackId,
                    run.patience,
                )
                total = len(material.indices)
                self.line.follow(
                    run,
                    material,
                    lambda claim, landed: UploadSink(
                        uploads, claim, reporter, total, job.cancel, landed
                    ),
                )
            ReviewTags(self.client, video, self.line.defaults.review_tag).mark(run.spans)

        self.line.start(run, "/track", context.videoId, context.frameIndex, work)
        return job

    def track_inline(
        self, body: InlineTrackRequest, reporter: Reporter | None = None, results_of: str = ""
    ) -> RunningJob:
        """Start `/track_async` or `/track_stream`: figures come inline, results are fetched.

        Args:
            body: the request.
            reporter: of the stream; None: the channel that the request names, if any.
            results_of: the uuid that the results get; default: a new one.

        Raises:
            AppError: the job cannot start; what goes wrong later is reported.
        """
        context, caller = body.context, self.caller(body)
        reporter = reporter or self._direct_messages(context, caller) or Silence()
        cancel = CancelToken()
        results = TrackResults(self.jobs.results_bytes, cancel)
        job = RunningJob(context.trackId, caller.token_hash, cancel, results)
        if results_of:
            job.uuid = results_of
        run = self.line.run(job, reporter, body.state.settings, bool(context.detectOffScreen))
        run.spans, run.destination = results.review, caller.token_hash

        def work() -> None:
            video = run.patience.insist(lambda: Video.ask(self.client, caller, context.videoId))
            stored = self._stored(run, video)
            found = inline_figures(context.figures, stored)
            figure_ids = {one.object_id: one.figure_id for one in found}
            with self.line.material(run, body, video, found, stored) as material:
                results.total = len(material.indices)
                self.line.follow(
                    run,
                    material,
                    lambda claim, landed: ResultsSink(
                        results, figure_ids, claim, run.reporter, landed
                    ),
                )

        self.line.start(run, "/track_async", context.videoId, context.frameIndex, work)
        return job

    def track_api(self, body: TrackApiRequest, cancel: CancelToken) -> list[list[Any]]:
        """Answer `/track-api`; blocks.

        Returns:
            For each frame, for each input geometry: `{"type", "data"}`, or None.

        Raises:
            AppError: what goes wrong.
        """
        context, caller = body.context, self.caller(body)
        job = RunningJob("auto", caller.token_hash, cancel)
        run = self.line.run(job, Silence(), body.state.settings)
        video = run.patience.insist(lambda: Video.ask(self.client, caller, context.videoId))
        found = input_figures(context.input_geometries)
        with self.jobs.turn(job), self.line.material(run, body, video, found, []) as material:
            return self._answer(run, material, len(found))

    def track_files(
        self, settings: TrackFilesSettings, files: Sequence[bytes], cancel: CancelToken
    ) -> list[list[Any]]:
        """Answer `/track-api-files`: as `track_api`, on frames that came with the request."""
        if len(files) < 2:
            raise BadRequest("Send the frame with the figures and at least one that follows it.")
        backward = settings.direction == "backward"
        wanted = min(settings.frames, len(files) - 1)
        indices = frame_range(settings.frame_index, wanted, backward, None)
        frames = FileFrames(
            dict(zip((settings.frame_index, *indices), files, strict=False)), self.limits
        )
        job = RunningJob("files", "", cancel)
        run = self.line.run(job, Silence(), settings.settings)
        found = input_figures(settings.input_geometries)
        height, width = frames.frame(settings.frame_index).shape[:2]
        starts = read_starts(found, (width, height))
        objects = [starts.alone(id) for id in starts.kinds]
        material = Material(None, frames, None, settings.frame_index, indices, starts, objects)
        with self.jobs.turn(job):
            return self._answer(run, material, len(found))

    def _direct_messages(self, context: ReportedContext, caller: Caller) -> DirectMessages | None:
        """Return the channel to the session of the tool that the request names, if it does."""
        if not context.useDirectProgressMessages or context.sessionId is None:
            return None
        return DirectMessages(*self._whose(context, caller), context.sessionId)

    def _whose(
        self, context: ReportedContext, caller: Caller
    ) -> tuple[PlatformClient, Caller, int, int | str, float]:
        patience_s = self.line.defaults.patience_s
        return self.client, caller, context.videoId, context.trackId, patience_s

    def _stored(self, run: Run, video: Video) -> list[VideoFigure]:
        """Return what the platform stores of a video; nothing if it does not say."""
        if not run.settings.use_keyframes:
            return []
        try:
            return video.figures(self.client).all()
        except AppError as problem:
            logger.warning("Keyframes are not known", extra={"error": str(problem)})
            return []

    def _answer(self, run: Run, material: Material, count: int) -> list[list[Any]]:
        sink = AnswerSink(self.jobs.results_bytes)
        self.line.follow(run, replace(material, name=None), lambda *_: sink)
        return [_row(objects, count) for objects in sink.frames]


def make_track_tool(
    served: ServedModel, client: PlatformClient, settings: ServerSettings, servers: ServerPolicy
) -> TrackTool:
    """Build the tool from the server's settings."""
    folder = settings.data_dir / "tracking"
    pixels = VideoPixels(
        client,
        VideoFiles(folder / "videos", settings.video_store_mb * 2**20),
        FrameLimits(settings.max_image_mb * 2**20, settings.max_image_pixels),
        settings.max_video_mb * 2**20,
    )
    jobs = TrackJobs(
        settings.max_tracking_jobs,
        settings.tracking_results_mb * 2**20,
        Journal(folder / "jobs"),
    )
    defaults = TrackDefaults(
        settings.use_keyframes,
        settings.max_cond_frames,
        Finish(settings.polygon_tolerance),
        settings.tracking_patience_s,
        settings.review_tag,
    )
    line = TrackLine(served, client, pixels, Claims(), jobs, defaults)
    return TrackTool(line, client, servers)


def _row(objects: Sequence[FoundObject], count: int) -> list[Any]:
    """Shape one frame of `/track-api`: a place for each input geometry."""
    row: list[Any] = [None] * count
    for one in objects:
        if one.geometries:
            # one geometry has one place: of several polygons the largest stands for the object
            row[one.object_id] = {"type": one.kind, "data": one.geometries[0]}
    return row
