"""Pictures that a request brings with it, or that it names by a web address."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable

import httpx
import numpy as np
import numpy.typing as npt

from sam2_serving.app.addresses import normal_address
from sam2_serving.app.media import Media, Size
from sam2_serving.app.reporting import (
    BadRequest,
    MediaNotFound,
    MediaTooLarge,
    PermissionDenied,
    PlatformTimeout,
    PlatformUnavailable,
)
from sam2_serving.engine import ImageKey, ImageSource
from sam2_serving.images import decode_image

_DEFAULT_PORTS = {"http": 80, "https": 443}


def brought_picture(file: bytes, max_pixels: int) -> Media:
    """Return a picture of which the request brought the file.

    Its embedding is found again by the file's SHA-256: who has the file may have the answer.
    """
    held: list[npt.NDArray[np.uint8]] = []

    def measure() -> Size:
        if not held:
            held.append(decode_image(file, max_pixels))
        height, width = held[0].shape[:2]
        return width, height

    def load() -> npt.NDArray[np.uint8]:
        return held.pop() if held else decode_image(file, max_pixels)

    digest = hashlib.sha256(file).hexdigest()
    key = ImageKey("file", "", digest, digest, by_content=True)
    return Media(ImageSource(key, load), None, measure)


class WebPictures:
    """Fetches pictures from the few hosts that an operator allows. Thread-safe.

    A body that names an address must not turn the app into a way to reach any host that this
    machine can reach.
    """

    def __init__(
        self, servers: Iterable[str], hosts: Iterable[str], *, timeout_s: float, max_bytes: int
    ) -> None:
        """Make a client.

        Args:
            servers: addresses of platforms, whose pictures may be fetched.
            hosts: other names of hosts, `host` or `host:port`.
            timeout_s: time that one picture may take.
            max_bytes: largest file.
        """
        self._servers = {_named(_parsed(normal_address(server))) for server in servers}
        self._hosts = {host.strip().lower() for host in hosts}
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        # A redirect is not followed: it may point anywhere.
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False)

    def fetch(self, address: str) -> bytes:
        """Return the file at a web address.

        Raises:
            BadRequest: it is none.
            PermissionDenied: the host is not allowed.
            AppError: there is no such file, it is too large, or it does not come.
        """
        url = _parsed(address)
        host, port = _named(url)
        names = {f"{host}:{port}"} | ({host} if port == _DEFAULT_PORTS[url.scheme] else set())
        if (host, port) not in self._servers and not self._hosts & names:
            raise PermissionDenied(
                "This app does not fetch pictures from the host that image_url names. Allow it "
                "with the server setting SAM2_SERVING_IMAGE_URL_HOSTS, or send the file to "
                "/inference_image."
            )
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code != 200:
                    raise MediaNotFound(
                        f"There is no picture at image_url (status {response.status_code})."
                    )
                return self._read(response, deadline)
        except httpx.TimeoutException as error:
            raise PlatformTimeout("The picture at image_url takes too long to come.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PlatformUnavailable("The picture at image_url cannot be fetched.") from error

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        received = bytearray()
        for chunk in response.iter_bytes():
            received += chunk
            if len(received) > self._max_bytes:
                raise MediaTooLarge(
                    f"The picture at image_url is larger than {self._max_bytes / 2**20:.0f} MiB "
                    "(server setting SAM2_SERVING_MAX_IMAGE_MB)."
                )
            if time.monotonic() > deadline:
                raise PlatformTimeout("The picture at image_url takes too long to come.")
        return bytes(received)


def _parsed(address: str) -> httpx.URL:
    """Read a web address the way it is called later; raises BadRequest."""
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, ValueError) as error:
        raise BadRequest("image_url is not a web address.") from error
    if url.scheme not in _DEFAULT_PORTS or not url.host or url.userinfo:
        raise BadRequest("image_url is not a web address (http or https).")
    return url


def _named(url: httpx.URL) -> tuple[str, int]:
    return url.host.lower().rstrip("."), url.port or _DEFAULT_PORTS[url.scheme]
