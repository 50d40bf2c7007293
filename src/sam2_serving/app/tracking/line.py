"""The line that all tracking jobs share: from figures and frames to a sink, and its reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from supervisely.sly_logger import logger

from sam2_serving.app.patience import Patience
from sam2_serving.app.platform.api import PlatformClient
from sam2_serving.app.platform.video import VideoFigure
from sam2_serving.app.reporting import AppError, NothingToTrack
from sam2_serving.app.tracking.claims import Claim, Claims
from sam2_serving.app.tracking.figures import Finish
from sam2_serving.app.tracking.job import TrackJob, frame_range, what_went_wrong
from sam2_serving.app.tracking.jobs import RunningJob, TrackJobs
from sam2_serving.app.tracking.journal import JobNote
from sam2_serving.app.tracking.objects import Past
from sam2_serving.app.tracking.reports import Reporter
from sam2_serving.app.tracking.requests import (
    InlineTrackRequest,
    TrackApiRequest,
    TrackingSettings,
    TrackRequest,
)
from sam2_serving.app.tracking.results import Span
from sam2_serving.app.tracking.sinks import Sink
from sam2_serving.app.tracking.starts import StartFigure, Starts, read_starts
from sam2_serving.app.video_source import Video, VideoPixels
from sam2_serving.engine import Cancelled, Engine, Frames, ObjectToTrack, TrackingRequest

NOTE_EVERY_S = 1.0


class ServedModel(Protocol):
    """What tracking needs of the app."""

    def ready_engine(self) -> Engine:
        """Return the engine that serves; raises ModelNotReady."""

    def put_off_freezing(self) -> None:
        """The model is in use."""


@dataclass(frozen=True)
class TrackDefaults:
    """What a request may leave to the server.

    Attributes:
        use_keyframes: figures that a person made on other frames count.
        max_cond_frames: conditioning frames of an object that are read at once.
        finish: how masks are told.
        patience_s: how long a job puts up with a platform that fails.
        review_tag: name of the tag for frames to look at, used if the project has it.
    """

    use_keyframes: bool
    max_cond_frames: int
    finish: Finish
    patience_s: float
    review_tag: str

    def fill(self, settings: TrackingSettings) -> TrackDefaults:
        """Return these with what a request sets in their place."""
        use, most = settings.use_keyframes, settings.max_cond_frames
        tolerance = settings.polygon_tolerance
        return replace(
            self,
            use_keyframes=self.use_keyframes if use is None else use,
            max_cond_frames=self.max_cond_frames if most is None else most,
            finish=Finish(
                self.finish.tolerance if tolerance is None else tolerance, settings.cleanup
            ),
        )


@dataclass(frozen=True)
class Material:
    """What a job works on.

    Attributes:
        name: of the pixels: equal names have equal frames; None: no later job goes on from here.
        count: frames of the whole video, if that is known.
        start: the frame of the figures.
        indices: the frames to predict, in their order.
    """

    name: Hashable | None
    frames: Frames
    count: int | None
    start: int
    indices: range
    starts: Starts
    objects: Sequence[ObjectToTrack]


@dataclass
class Run:
    """A job while it runs: who is told, and what is safe so far.

    Attributes:
        destination: where figures go; of two jobs with one destination, the newer one takes the
            frames that both want. Default: one that no other job has.
    """

    job: RunningJob
    engine: Engine
    reporter: Reporter
    settings: TrackDefaults
    off_screen: bool = False
    claim: Claim | None = None
    sink: Sink | None = None
    note: JobNote | None = None
    spans: list[Span] = field(default_factory=list)
    destination: Hashable = field(default_factory=object)

    @property
    def patience(self) -> Patience:
        """With the platform."""
        return Patience(self.settings.patience_s, self.job.cancel)


@dataclass(frozen=True)
class TrackLine:
    """What tracking jobs are made of. Thread-safe."""

    served: ServedModel
    client: PlatformClient
    pixels: VideoPixels
    claims: Claims
    jobs: TrackJobs
    defaults: TrackDefaults

    def run(
        self,
        job: RunningJob,
        reporter: Reporter,
        settings: TrackingSettings,
        off_screen: bool = False,
    ) -> Run:
        """Make a job's run; raises ModelNotReady."""
        engine = self.served.ready_engine()
        return Run(job, engine, reporter, self.defaults.fill(settings), off_screen)

    def start(
        self, run: Run, route: str, video_id: int, start: int, work: Callable[[], None]
    ) -> None:
        """Carry a job out on a thread of its own; what goes wrong there is reported.

        Raises:
            Overloaded: too many jobs run.
        """
        journal, job = self.jobs.journal, run.job
        note = JobNote(job.uuid, route, video_id, job.track_id, start)
        run.note = note

        def carry_out() -> None:
            journal.write(note)
            started = time.monotonic()
            try:
                work()
            except Exception as error:
                self._tell(run, error)
            finally:
                logger.info("Tracking ended", extra=_summary(run, time.monotonic() - started))
                if job.results is not None:
                    job.results.running = False
                run.reporter.end()
                if job.interruption is None or job.results is None:
                    journal.remove(job.uuid)  # else what was found may be lost with the process

        self.jobs.start(job, carry_out)

    def _tell(self, run: Run, error: Exception) -> None:
        if isinstance(error, Cancelled) and run.job.interruption is not None:
            error = run.job.interruption
        problem = what_went_wrong(error, None if run.sink is None else run.sink.safe)
        if problem is None:
            return
        if run.job.results is not None:
            run.job.results.error = str(problem)
        if run.claim is None or not run.claim.superseded:
            run.reporter.fail(str(problem))

    @contextmanager
    def material(
        self,
        run: Run,
        body: TrackRequest | InlineTrackRequest | TrackApiRequest,
        video: Video,
        found: Sequence[StartFigure | AppError],
        stored: Sequence[VideoFigure],
    ) -> Iterator[Material]:
        """Open a video's frames and read the figures on the first one."""
        context = body.context
        start, backward = context.frameIndex, context.direction == "backward"
        indices = frame_range(start, context.frames, backward, video.count)
        frames = self.pixels.open(video, start, len(indices), run.patience)
        try:
            figures = [one for one in found if isinstance(one, StartFigure)]
            refused = [one for one in found if isinstance(one, AppError)]
            starts = read_starts(figures, frames.size, refused)
            if starts.kinds:
                for problem in starts.refused:
                    run.reporter.warn(str(problem))
            past = Past(
                video.figures(self.client),
                [one for one in stored if one.object_id in starts.kinds],
                frames.size,
                start,
                indices,
                run.patience.insist,
            )
            use, finish = run.settings.use_keyframes, run.settings.finish
            objects = [past.object(id, starts, use, finish) for id in starts.kinds]
            yield Material(video.key, frames, video.count, start, indices, starts, objects)
        finally:
            frames.close()

    def follow(
        self,
        run: Run,
        material: Material,
        make_sink: Callable[[Claim, Callable[[int], None]], Sink],
    ) -> None:
        """Track to the end; blocks.

        Args:
            run: the job.
            material: what it works on.
            make_sink: given the job's claim and whom to tell of frames that are safe, makes its
                sink.

        Raises:
            NothingToTrack: none of the figures can be tracked.
            Exception: see `TrackJob.run`.
        """
        if not material.objects:
            raise NothingToTrack(" ".join(str(why) for why in material.starts.refused[:3]))
        kinds = material.starts.kinds
        request = TrackingRequest(
            video=material.name,
            start=material.start,
            last=material.indices[-1],
            objects=material.objects,
            num_frames=material.count,
            max_cond_frames=run.settings.max_cond_frames,
        )
        where = (material.name, run.destination)
        claim = self.claims.claim(where, run.job.track_id, kinds, material.indices)
        run.claim = claim
        try:
            tracking = run.engine.track(
                request, material.frames, run.job.cancel, run.job.token_hash
            )
            run.sink = make_sink(claim, self._landed(run))
            TrackJob(
                tracking,
                kinds,
                list(kinds),
                run.sink,
                run.reporter,
                run.settings.finish,
                run.off_screen,
                claim,
                run.spans,
                lambda: run.job.interruption,
            ).run()
        finally:
            self.claims.release(where, claim)

    def _landed(self, run: Run) -> Callable[[int], None]:
        """Return what keeps the job's note up to date."""
        written: float | None = None

        def landed(frame: int) -> None:
            self.served.put_off_freezing()
            nonlocal written
            now = time.monotonic()
            if run.note is not None and (written is None or now - written >= NOTE_EVERY_S):
                written = now
                self.jobs.journal.write(replace(run.note, safe=frame))

        return landed


def _summary(run: Run, seconds: float) -> dict[str, Any]:
    """Say in the log how a job went."""
    return {
        "uuid": run.job.uuid,
        "track_id": ascii(run.job.track_id)[:200],
        "last_safe_frame": None if run.sink is None else run.sink.safe,
        "stopped": run.job.cancel.cancelled,
        "to_review": len(run.spans),
        "s": round(seconds, 2),
    }
