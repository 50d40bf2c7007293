"""The pictures that a request names: images, files, an address, frames, all of a project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sam2_serving.app.inference.pictures import WebPictures, brought_picture
from sam2_serving.app.inference.predictions import Origin
from sam2_serving.app.inference.requests import ProjectState, VideoState
from sam2_serving.app.inference.video import VideoFacts, wanted_frames
from sam2_serving.app.media import Media, MediaLibrary
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.platform.projects import Projects
from sam2_serving.app.reporting import BadRequest
from sam2_serving.app.requests import SmartToolContext, VideoFrame


@dataclass(frozen=True)
class Picture:
    """One picture of a request.

    Attributes:
        name: what it is called in sentences.
        open: finds it, and says where it comes from.
    """

    name: str
    open: Callable[[], tuple[Media, Origin]]


@dataclass(frozen=True)
class NamedFile:
    """A file that came with the request."""

    name: str | None
    content: bytes


@dataclass(frozen=True)
class NamedPictures:
    """Finds what a request names, with the caller's token. Thread-safe."""

    library: MediaLibrary
    client: PlatformClient
    web: WebPictures
    max_pixels: int

    def image(self, caller: Caller, image_id: int) -> Picture:
        """Return an image."""

        def find() -> tuple[Media, Origin]:
            context = SmartToolContext(positive=[], negative=[], image_id=image_id)
            media = self.library.find(caller, context)
            info = media.image
            if info is None:
                return media, Origin(image_id=image_id)
            return media, Origin(info.name, image_id, info.dataset_id, info.project_id)

        return Picture(f"image {image_id}", find)

    def file(self, file: NamedFile) -> Picture:
        """Return a file that came with the request."""

        def read() -> tuple[Media, Origin]:
            return brought_picture(file.content, self.max_pixels), Origin(file.name)

        return Picture(f"file {ascii(file.name)[1:-1][:100]}", read)

    def address(self, url: str) -> Picture:
        """Return a picture of the web."""

        def fetch() -> tuple[Media, Origin]:
            return brought_picture(self.web.fetch(url), self.max_pixels), Origin(url=url)

        return Picture("image_url", fetch)

    def frames(self, caller: Caller, state: VideoState) -> list[Picture]:
        """Return frames of a video; asks the platform about it.

        Raises:
            BadRequest: there are no such frames.
            AppError: as `PlatformClient.video_info`.
        """
        facts = VideoFacts.ask(self.client, caller, state.video_id)

        def frame(index: int) -> Picture:
            def find() -> tuple[Media, Origin]:
                named = VideoFrame(video_id=state.video_id, frame_index=index)
                context = SmartToolContext(positive=[], negative=[], video=named)
                return self.library.find(caller, context), facts.origin(index)

            return Picture(f"frame {index} of video {state.video_id}", find)

        return [frame(index) for index in wanted_frames(state, facts)]

    def project(self, caller: Caller, state: ProjectState) -> list[Picture]:
        """Return all images of a project, or of some of its datasets; asks the platform.

        Raises:
            BadRequest: its media are no images, or a dataset is not one of its own.
            AppError: as `PlatformClient.call`.
        """
        projects = Projects(self.client, caller)
        kind = projects.info(state.project_id).get("type")
        if kind not in (None, "images"):
            raise BadRequest(f"Project {state.project_id} holds {ascii(kind)[1:-1]}, not images.")
        datasets: Sequence[int] = projects.datasets(state.project_id)
        if state.dataset_ids is not None:
            strange = sorted(set(state.dataset_ids) - set(datasets))
            if strange:
                raise BadRequest(f"Project {state.project_id} has no dataset {strange[0]}.")
            datasets = [one for one in datasets if one in set(state.dataset_ids)]
        return [self.image(caller, id) for one in datasets for id in projects.images(one)]
