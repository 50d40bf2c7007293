"""Calls to the platform's public API with a request's own token.

The SDK's own client is not used for a person who waits: it has no time-outs and repeats a failed
call for up to five minutes (contract, section 7.2 S5). httpx gives both, and one deadline over the
whole answer is kept here, because a slow drip never trips a per-read time-out.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from requests_toolbelt import MultipartDecoder  # type: ignore[import-untyped]
from requests_toolbelt.multipart.decoder import (  # type: ignore[import-untyped]
    ImproperBodyPartContentException,
    NonMultipartContentTypeException,
)
from supervisely.sly_logger import logger

from sam2_serving.app import telemetry
from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.platform.breaker import Breaker, PlatformSilent, PlatformUnreachable
from sam2_serving.app.reporting import (
    AppError,
    BadRequest,
    ClientGone,
    MediaNotFound,
    MediaTooLarge,
    PermissionDenied,
    PlatformTimeout,
    PlatformUnavailable,
    Unauthorized,
)
from sam2_serving.app.requests import VolumeSlice
from sam2_serving.engine import CancelToken

TRIES = 2
PAUSE_S = 0.3
MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_REFUSAL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Caller:
    """Who asks: a platform and the token that came with the request, never another one."""

    server: str
    token: str = field(repr=False)

    @property
    def token_hash(self) -> str:
        """What may be remembered of the token."""
        return hashlib.sha256(self.token.encode()).hexdigest()


def caller_of(named_server: str | None, token: str | None, servers: ServerPolicy) -> Caller:
    """Return whose rights count: the request's own token at an address that is allowed.

    Raises:
        BadRequest: the address is missing or not allowed.
        Unauthorized: there is no token. The owner's token is never used in its place.
    """
    server = servers.check(named_server)
    if server is None:
        raise BadRequest("No platform is configured: set SERVER_ADDRESS to its address.")
    if not token:
        raise Unauthorized("The request has no api_token, so it is not known who asks.")
    return Caller(server, token)


@dataclass(frozen=True)
class Answer:
    """What a route sent."""

    content: bytes
    content_type: str


def parsed(answer: Answer, what: str) -> Any:
    """Read an answer's JSON; `what` is what was asked about. Raises PlatformUnavailable."""
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError) as error:
        raise nonsense(what) from error


def record_of(answer: Answer, what: str) -> dict[str, Any]:
    """Read an answer that is a JSON object. Raises PlatformUnavailable."""
    record = parsed(answer, what)
    if not isinstance(record, dict):
        raise nonsense(what)
    return record


def ids_of(answer: Answer, count: int, what: str) -> list[int]:
    """Read the ids of so many things that were stored. Raises PlatformUnavailable."""
    try:
        ids = [int(one["id"]) for one in parsed(answer, what)]
    except (KeyError, TypeError, ValueError):
        ids = []
    if len(ids) != count:
        raise nonsense(what)
    return ids


def nonsense(what: str) -> PlatformUnavailable:
    """Say that an answer cannot be understood."""
    return PlatformUnavailable(f"The platform's answer about {what} makes no sense.")


class PlatformClient:
    """The few routes of the platform that the app calls. Thread-safe."""

    def __init__(self, timeout_s: float, breaker: Breaker | None = None) -> None:
        """Make a client.

        Args:
            timeout_s: time that one call may take from first to last byte, seconds.
            breaker: keeps calls from a platform that has not answered for a while.
        """
        self._timeout_s = timeout_s
        self._breaker = breaker or Breaker()
        self._given_up = CancelToken()
        # Redirects are not followed: the token must not travel to where an answer points.
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout_s, connect=min(5.0, timeout_s)),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=128, max_keepalive_connections=32),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def until(self, given_up: CancelToken) -> PlatformClient:
        """Return a client on the same connections whose calls end when the token is cancelled.

        They then raise ClientGone: between two parts of the answer at the latest.
        """
        client = copy.copy(self)
        client._given_up = given_up
        return client

    def image_info(self, caller: Caller, image_id: int) -> dict[str, Any]:
        """Return the platform's record of an image (`images.info`).

        Raises:
            MediaNotFound, PermissionDenied, Unauthorized: what the platform says.
            PlatformUnavailable, PlatformTimeout: it says nothing usable.
        """
        body = {"id": image_id, "forceMetadataForLinks": True}
        return self._record(caller, "images.info", body, f"image {image_id}")

    def video_info(self, caller: Caller, video_id: int) -> dict[str, Any]:
        """Return the record of a video (`videos.info`); raises as `image_info`."""
        body = {"id": video_id, "forceMetadataForLinks": True}
        return self._record(caller, "videos.info", body, f"video {video_id}")

    def volume_info(self, caller: Caller, volume_id: int) -> dict[str, Any]:
        """Return the record of a volume (`volumes.info`); raises as `image_info`."""
        return self._record(caller, "volumes.info", {"id": volume_id}, f"volume {volume_id}")

    def annotation(self, caller: Caller, image_id: int) -> dict[str, Any]:
        """Return all figures of an image (`annotations.info`); raises as `image_info`."""
        body = {
            "imageId": image_id,
            "withCustomBigData": False,
            "forceMetadataForLinks": True,
            "integerCoords": False,
        }
        return self._record(caller, "annotations.info", body, f"annotation of image {image_id}")

    def image_bytes(self, caller: Caller, image_id: int, max_bytes: int) -> bytes:
        """Return the file of an image (`images.download`).

        Raises:
            MediaTooLarge: the file has more than `max_bytes`.
            AppError: as `image_info`.
        """
        what = f"image {image_id}"
        return self.call(caller, "images.download", {"id": image_id}, what, max_bytes).content

    def image_bytes_by_hash(self, caller: Caller, image_hash: str, max_bytes: int) -> bytes:
        """Return the file of an image named by its hash (`images.bulk.download-by-hash`).

        Raises:
            MediaNotFound: there is none.
            AppError: as `image_bytes`.
        """
        route, what = "images.bulk.download-by-hash", "image of this hash"
        answer = self.call(caller, route, {"hashes": [image_hash]}, what, max_bytes)
        return _only_part(answer, image_hash)

    def frame_bytes(self, caller: Caller, video_id: int, frame: int, max_bytes: int) -> bytes:
        """Return a frame as a picture file (`videos.download-frame`); raises as `image_bytes`."""
        body = {"videoId": video_id, "frame": frame}
        what = f"frame {frame} of video {video_id}"
        return self.call(caller, "videos.download-frame", body, what, max_bytes).content

    def slice_bytes(self, caller: Caller, slice: VolumeSlice, max_bytes: int) -> bytes:
        """Return a slice as a picture (`volumes.slices.images.download`); raises as `image_bytes`.

        The platform cuts the slice and maps its intensities through the window.
        """
        body = {
            "volumeId": slice.volume_id,
            "sliceIndex": slice.slice_index,
            "normal": slice.normal.model_dump(),
            "windowCenter": slice.window_center,
            "windowWidth": slice.window_width,
        }
        what = f"slice {slice.slice_index} of volume {slice.volume_id}"
        return self.call(caller, "volumes.slices.images.download", body, what, max_bytes).content

    def photo_bytes(self, caller: Caller, photo_id: int, max_bytes: int) -> bytes:
        """Return a photo of a point cloud (`point-clouds.images.download`).

        Raises as `image_bytes`.
        """
        route, what = "point-clouds.images.download", f"photo {photo_id}"
        return self.call(caller, route, {"id": photo_id}, what, max_bytes).content

    def team_file_list(self, caller: Caller, team_id: int, path: str) -> bytes:
        """Return the Team Files whose path begins with `path` (`file-storage.list`), as JSON."""
        body = {"teamId": team_id, "path": path, "recursive": True}
        return self.call(caller, "file-storage.list", body, "Team Files", MAX_JSON_BYTES).content

    def _record(
        self, caller: Caller, route: str, body: dict[str, Any], what: str
    ) -> dict[str, Any]:
        return record_of(self.call(caller, route, body, what, MAX_JSON_BYTES), what)

    def call(
        self,
        caller: Caller,
        route: str,
        body: dict[str, Any],
        what: str,
        max_bytes: int,
        tries: int = TRIES,
    ) -> Answer:
        """Call a route; again if the platform fails, not if it says no.

        Args:
            caller: whose token is sent.
            route: of the public API.
            body: JSON.
            what: names what is asked for in a refusal.
            max_bytes: of the answer.
            tries: they share one deadline; 1 for a route that is not safe to repeat.

        Raises:
            AppError: what the platform says, or that it says nothing usable.
        """
        deadline = time.monotonic() + self._timeout_s
        for attempt in range(1, tries + 1):
            try:
                with self._breaker.call(caller.server), telemetry.platform_call(route):
                    return self._try(caller, route, body, what, max_bytes, deadline)
            except PlatformSilent:
                raise
            except PlatformUnavailable as problem:
                logger.warning(
                    "Platform call failed",
                    extra={"route": route, "attempt": attempt, "error": str(problem)},
                )
                if attempt == tries or time.monotonic() + PAUSE_S >= deadline:
                    raise
                time.sleep(PAUSE_S * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable")

    def stream(
        self, caller: Caller, route: str, body: dict[str, Any], what: str
    ) -> Iterator[bytes]:
        """Yield the bytes of a large answer; each read has a time-out, the whole has none.

        Raises:
            AppError: what the platform says, or that it says nothing usable.
        """
        url = f"{api_root(caller.server)}/v3/{route}"
        try:
            with self._client.stream("POST", url, json=body, headers=headers(caller)) as response:
                if response.status_code != 200:
                    raise refusal(response.status_code, what)
                yield from response.iter_bytes()
        except httpx.TimeoutException as error:
            raise _too_slow() from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PlatformUnavailable(f"The file of {what} broke off.") from error

    def _try(
        self,
        caller: Caller,
        route: str,
        body: dict[str, Any],
        what: str,
        max_bytes: int,
        deadline: float,
    ) -> Answer:
        url = f"{api_root(caller.server)}/v3/{route}"
        try:
            with self._client.stream("POST", url, json=body, headers=headers(caller)) as response:
                if response.status_code != 200:
                    _log_refusal(route, response, deadline, self._given_up)
                    raise refusal(response.status_code, what)
                content = _read(response, what, max_bytes, deadline, self._given_up)
                return Answer(content, response.headers.get("content-type", ""))
        except httpx.TimeoutException as error:
            raise _too_slow() from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PlatformUnreachable(
                f"The platform at {caller.server} cannot be reached: {type(error).__name__}."
            ) from error


def api_root(server: str) -> str:
    """Return the root of the public API; the platform may give its apps an internal one."""
    internal = os.environ.get("SUPERVISELY_API_SERVER_ADDRESS")
    if internal and server == os.environ.get("SERVER_ADDRESS", "").rstrip("/"):
        return internal.rstrip("/")
    return f"{server}/public/api"


def headers(caller: Caller) -> dict[str, str]:
    """Return the headers of every call."""
    key = {"x-api-key": caller.token}
    task_id = os.environ.get("SUPERVISELY_TASK_ID")
    return key | {"x-task-id": task_id} if task_id else key


def _read(
    response: httpx.Response, what: str, max_bytes: int, deadline: float, given_up: CancelToken
) -> bytes:
    received = bytearray()
    for chunk in response.iter_bytes():
        if given_up.cancelled:
            raise ClientGone(f"Nobody needs the file of {what} now.")
        received += chunk
        if len(received) > max_bytes:
            raise MediaTooLarge(
                f"The file of {what} is larger than {max_bytes / 2**20:.0f} MiB "
                "(server setting SAM2_SERVING_MAX_IMAGE_MB)."
            )
        if time.monotonic() > deadline:
            raise _too_slow()
    return bytes(received)


def _log_refusal(
    route: str, response: httpx.Response, deadline: float, given_up: CancelToken
) -> None:
    """Keep the platform's own words for those who look for the cause."""
    try:
        words = _read(response, "refusal", MAX_REFUSAL_BYTES, deadline, given_up)
    except (AppError, httpx.HTTPError):
        words = b""
    logger.warning(
        "The platform refuses",
        extra={
            "route": route,
            "status": response.status_code,
            "answer": words.decode(errors="replace")[:500],
        },
    )


def _only_part(answer: Answer, name: str) -> bytes:
    """Return the one part of a multipart answer; the platform may also send none."""
    try:
        parts = MultipartDecoder(answer.content, answer.content_type).parts
    except (ImproperBodyPartContentException, NonMultipartContentTypeException, ValueError):
        parts = ()
    for part in parts:
        if f'name="{name}"'.encode() in part.headers.get(b"Content-Disposition", b""):
            content: bytes = part.content
            return content
    raise MediaNotFound("The platform has no image of this hash, or does not show it.")


def refusal(status: int, what: str) -> AppError:
    """Say in words what a status other than 200 means."""
    if status == 401:
        return Unauthorized("The platform does not accept the request's token: sign in again.")
    if status == 403:
        return PermissionDenied(f"The request's token has no right to {what}.")
    if status == 404:
        return MediaNotFound(f"The platform has no {what}, or does not show it to this token.")
    if 300 <= status < 400:
        return PlatformUnavailable(
            "The platform redirects elsewhere: correct the address in SERVER_ADDRESS "
            "(https instead of http?)."
        )
    if 400 <= status < 500 and status != 429:
        return BadRequest(f"The platform refuses to give {what} (status {status}).")
    return PlatformUnavailable(f"The platform fails with status {status}: try again later.")


def _too_slow() -> PlatformTimeout:
    return PlatformTimeout("The platform takes too long to answer: try again later.")
