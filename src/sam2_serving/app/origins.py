"""Who may call when no platform stands in front: this machine's own pages and programs.

A page of another site may make its visitor's browser call a server on the visitor's machine, under
a name of its own if need be (DNS rebinding). Browsers tell the page's origin and the name used.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

_LOCAL_NAMES = frozenset({"localhost"})


def comes_from_elsewhere(headers: Mapping[str, str], listens_on: str | None) -> bool:
    """Tell whether a page of another site makes this call.

    Args:
        headers: of the request, names in lower case.
        listens_on: address of this end of the connection; on a loopback address only local names
            may be used for this machine.
    """
    host = headers.get("host", "").lower()
    origin = headers.get("origin")
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    if origin is not None and _place(origin) != host:
        return True
    return _is_loopback(listens_on or "") and not _is_local(host)


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is None or name in _LOCAL_NAMES or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
