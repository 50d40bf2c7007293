"""From what a request names to an image that the engine can load."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sam2_serving.app import telemetry
from sam2_serving.app.permissions import Permissions
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.reporting import BadRequest, MediaTooLarge
from sam2_serving.app.requests import SmartToolContext
from sam2_serving.app.single_flight import SingleFlight
from sam2_serving.app.sources import ImageInfo, Source, Sources
from sam2_serving.engine import CancelToken, ImageKey, ImageSource
from sam2_serving.images import decode_image

Size = tuple[int, int]
"""(width, height) in pixels."""
MAX_SIZES = 100_000


class Media:
    """An image that the caller may see; made for one request.

    Attributes:
        source: what the engine needs.
        image: what the platform says of it, if it is an image.
        row: how many pictures there are where this one is from: see `Source`.
    """

    def __init__(
        self,
        source: ImageSource,
        stated_size: Size | None,
        measure: Callable[[], Size],
        image: ImageInfo | None = None,
        row: int | None = None,
    ) -> None:
        self.source = source
        self.image = image
        self.row = row
        self._stated_size = stated_size
        self._measure = measure

    def size(self) -> Size:
        """Return the size that coordinates refer to; downloads the image if nobody states it."""
        return self._stated_size or self._measure()

    def pixel_size(self) -> Size:
        """Return the size of the pixels themselves, whatever the platform states."""
        return self._measure()


class Sizes:
    """Remembers how large decoded pictures are; a key names pixels that never change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[ImageKey, Size] = OrderedDict()

    def get(self, key: ImageKey) -> Size | None:
        """Return a size, if it is known."""
        with self._lock:
            return self._known.get(key)

    def remember(self, key: ImageKey, size: Size) -> None:
        """Keep a size; the oldest ones go when there are too many."""
        with self._lock:
            self._known[key] = size
            while len(self._known) > MAX_SIZES:
                self._known.popitem(last=False)


class MediaLibrary:
    """Finds the image that a request names."""

    def __init__(
        self,
        platform: PlatformClient,
        *,
        max_bytes: int,
        max_pixels: int,
        permissions: Permissions | None = None,
        kept_size: Callable[[ImageKey], Size | None] = lambda _: None,
    ) -> None:
        """Make a library.

        Args:
            platform: where images come from.
            max_bytes: largest file.
            max_pixels: largest picture.
            permissions: what is known of the callers' rights.
            kept_size: what an earlier process kept of a picture, so that it is not downloaded only
                to be measured.
        """
        self._sources = Sources(platform, permissions or Permissions(), max_bytes)
        self._kept_size = kept_size
        self._max_pixels = max_pixels
        self._sizes = Sizes()
        self._measuring: SingleFlight[Size] = SingleFlight()

    def until(self, given_up: CancelToken) -> MediaLibrary:
        """Return the same library, whose downloads end when the token is cancelled."""
        library = copy.copy(self)
        library._sources = self._sources.until(given_up)
        return library

    def find(self, caller: Caller, context: SmartToolContext) -> Media:
        """Return the image of a Smart Tool request, after the platform said that it may be seen.

        Raises:
            BadRequest: no source at all, or a frame or slice that does not exist.
            AppError: what `PlatformClient` raises.
        """
        source = self._source(caller, context)
        if source.size is not None and source.size[0] * source.size[1] > self._max_pixels:
            raise MediaTooLarge(
                f"The image has {source.size[0]} x {source.size[1]} pixels; at most "
                f"{self._max_pixels} are allowed (server setting SAM2_SERVING_MAX_IMAGE_PIXELS)."
            )
        return self._media(caller, source)

    def _source(self, caller: Caller, context: SmartToolContext) -> Source:
        """Choose the source; which one wins is the platform's order (contract, section 3.1)."""
        if context.image_id is not None:
            return self._sources.image(caller, context.image_id)
        if context.image_hash is not None:
            return self._sources.image_by_hash(caller, context.image_hash)
        if context.volume is not None:
            return self._sources.slice(caller, context.volume)
        if context.video is not None:
            return self._sources.frame(caller, context.video)
        if context.pcd_related_image_id is not None:
            return self._sources.photo(caller, context.pcd_related_image_id)
        raise BadRequest(
            "The request names no image: give context.image_id, image_hash, volume, video or "
            "pcd_related_image_id."
        )

    def _media(self, caller: Caller, source: Source) -> Media:
        held: list[npt.NDArray[np.uint8]] = []

        def decode() -> npt.NDArray[np.uint8]:
            file = source.download()
            with telemetry.timed("read"):
                pixels = decode_image(file, self._max_pixels, source.size)
            self._sizes.remember(source.key, (pixels.shape[1], pixels.shape[0]))
            return pixels

        def decode_and_hold() -> Size:
            # What was downloaded to be measured is not downloaded again to be embedded.
            held.append(decode())
            height, width = held[0].shape[:2]
            return width, height

        def measure() -> Size:
            known = self._sizes.get(source.key) or self._kept_size(source.key)
            if known is not None:
                self._sizes.remember(source.key, known)
                return known
            # One download for all who ask at once, but for each caller with their own token.
            flight = (caller.token_hash, source.key)
            return self._measuring.run(flight, decode_and_hold)

        def load() -> npt.NDArray[np.uint8]:
            return held.pop() if held else decode()

        image = ImageSource(source.key, load, caller.token_hash)
        return Media(image, source.size, measure, source.image, source.row)
