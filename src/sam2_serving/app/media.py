"""From what a request names to an image that the engine can load: one function a kind of source.

The info call comes first. It is the permission check, and it gives the version that is part of the
embedding's key; only then may the store answer, or the file be downloaded.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sam2_serving.app.platform_api import Caller, PlatformClient
from sam2_serving.app.reporting import BadRequest, MediaTooLarge, UnsupportedSource
from sam2_serving.app.requests import SmartToolContext
from sam2_serving.engine import ImageKey, ImageSource
from sam2_serving.images import decode_image

PERMISSION_S = 60.0
"""How long an info call's answer counts; a right that is taken away lasts no longer than this."""
MAX_REMEMBERED = 20_000


@dataclass(frozen=True)
class MediaInfo:
    """What the platform says about an image.

    Attributes:
        version: changes whenever the pixels do.
        size: (width, height) in pixels, or None if the platform does not say.
    """

    version: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Media:
    """An image that the caller may see.

    Attributes:
        source: what the engine needs.
        size: (width, height) in pixels, or None if unknown before the download.
    """

    source: ImageSource
    size: tuple[int, int] | None


@dataclass(frozen=True)
class _Right:
    server: str
    token_hash: str
    kind: str
    id: str


class Permissions:
    """Remembers for a minute who may see what. Only a yes is remembered. Thread-safe.

    Requests of one caller that ask the same at once share one answer, be it a refusal: if the
    platform hangs, they hang beside each other, not one after the other.
    """

    def __init__(
        self, lifetime_s: float = PERMISSION_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[_Right, tuple[float, MediaInfo]] = OrderedDict()
        self._asking: dict[_Right, Future[MediaInfo]] = {}

    def info(self, caller: Caller, kind: str, id: str, ask: Callable[[], MediaInfo]) -> MediaInfo:
        """Return what is remembered, or the answer of `ask`, whose exceptions pass through."""
        right = _Right(caller.server, caller.token_hash, kind, id)
        with self._lock:
            known = self._recall(right)
            if known is not None:
                return known
            asking = self._asking.get(right)
            if asking is None:
                own = self._asking[right] = Future()
        if asking is not None:
            return asking.result()
        try:
            info = ask()
        except BaseException as error:
            with self._lock:
                del self._asking[right]
            own.set_exception(error)
            raise
        with self._lock:
            del self._asking[right]
            self._remember(right, info)
        own.set_result(info)
        return info

    def _recall(self, right: _Right) -> MediaInfo | None:
        entry = self._known.get(right)
        if entry is None or entry[0] <= self._clock():
            self._known.pop(right, None)
            return None
        return entry[1]

    def _remember(self, right: _Right, info: MediaInfo) -> None:
        self._known[right] = (self._clock() + self._lifetime_s, info)
        self._known.move_to_end(right)
        while len(self._known) > MAX_REMEMBERED:
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
    ) -> None:
        """Make a library.

        Args:
            platform: where images come from.
            max_bytes: largest file.
            max_pixels: largest picture.
            permissions: what is known of the callers' rights.
        """
        self._platform = platform
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._permissions = permissions or Permissions()

    def find(self, caller: Caller, context: SmartToolContext) -> Media:
        """Return the image of a Smart Tool request, after the platform said that it may be seen.

        The order in which sources win is the platform's (contract, section 3.1).

        Raises:
            UnsupportedSource: a kind of source that is not served yet.
            BadRequest: no source at all.
            AppError: what `PlatformClient` raises.
        """
        if context.image_id is not None:
            return self._image_by_id(caller, context.image_id)
        if context.image_hash is not None:
            raise _not_yet("images named only by their hash")
        if context.volume is not None:
            raise _not_yet("slices of volumes")
        if context.video is not None:
            raise _not_yet("frames of videos")
        if context.pcd_related_image_id is not None:
            raise _not_yet("photos of point clouds")
        raise BadRequest("The request names no image: context.image_id is missing.")

    def _image_by_id(self, caller: Caller, image_id: int) -> Media:
        def ask() -> MediaInfo:
            return _media_info(self._platform.image_info(caller, image_id))

        info = self._permissions.info(caller, "image", str(image_id), ask)
        if info.size is not None and info.size[0] * info.size[1] > self._max_pixels:
            raise MediaTooLarge(
                f"The image has {info.size[0]} x {info.size[1]} pixels; at most "
                f"{self._max_pixels} are allowed (server setting SAM2_SERVING_MAX_IMAGE_PIXELS)."
            )
        key = ImageKey("image", caller.server, str(image_id), info.version)

        def download() -> npt.NDArray[np.uint8]:
            file = self._platform.image_bytes(caller, image_id, self._max_bytes)
            return decode_image(file, self._max_pixels, info.size)

        return Media(ImageSource(key, download), info.size)


def _media_info(info: dict[str, Any]) -> MediaInfo:
    """Read a record of `images.info`; an image behind a link has no hash, only a time."""
    version = info.get("hash") or f"updated {info.get('updatedAt')}"
    width, height = info.get("width"), info.get("height")
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        return MediaInfo(str(version), None)
    return MediaInfo(str(version), (width, height))


def _not_yet(what: str) -> UnsupportedSource:
    return UnsupportedSource(f"Not supported yet: {what}. Use an image with an id.")
