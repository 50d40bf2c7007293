"""A key that every caller must bring, for an app that is reached without the platform's proxy.

The app itself knows nobody: whoever reaches its port may replace the model, start jobs and stop
those of others. On the platform its proxy stands in front.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable

from supervisely.sly_logger import logger

from sam2_serving.app.reporting import Unauthorized

HEADER = "X-Access-Key"
OPEN = frozenset({"/livez", "/is_alive"})
"""Routes for anybody: that the process lives is no secret, and who asks has no key at hand."""

_NEEDED = (
    f"This app wants an access key: send it as the header {HEADER}, or as Authorization: Bearer."
)


class AccessKey:
    """Lets in who has the key, or everybody if there is none."""

    def __init__(self, key: str | None) -> None:
        """Take the key; None: there is none."""
        self._digest = None if not key else _digest(key.encode())
        self._warned = False

    def check(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Let a call pass, or raise.

        Args:
            path: of the route, without the platform's prefix.
            headers: of the request, names in lower case.

        Raises:
            Unauthorized: the key is missing or wrong.
        """
        if self._digest is None or path in OPEN:
            return
        # All are looked at, and hashes are compared: the time tells nothing of the key.
        right = [hmac.compare_digest(_digest(key), self._digest) for key in _keys(headers)]
        if not any(right):
            raise Unauthorized(_NEEDED)

    def warn_if_open(self, listens_on: str | None) -> None:
        """Say once that anybody may call, if others than this machine's programs can.

        Args:
            listens_on: address of this end of a connection.
        """
        if self._digest is None and not self._warned and _is_of_the_network(listens_on):
            self._warned = True
            logger.warning(
                "Anybody in the network may use this app: it is reached without the platform, and "
                "no access key is set (SAM2_SERVING_ACCESS_KEY).",
                extra={"address": listens_on},
            )


def _keys(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    own, found = HEADER.lower().encode(), []
    for name, value in headers:
        if name == own:
            found.append(value)
        elif name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer":
                found.append(key.strip())
    return found


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _is_of_the_network(address: str | None) -> bool:
    try:
        return not ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False  # a socket of the file system, or a test's
