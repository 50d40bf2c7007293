"""Which platform a request may make the app call.

A body that names a `server_address` must not turn the app into a way to reach any host with the
caller's token (contract, section 7.2 S11): only the configured platform and an allow-list count.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from sam2_serving.app.reporting import BadRequest

_DEFAULT_PORTS = {"http": 80, "https": 443}


def normal_address(address: str) -> str:
    """Bring an address into one form: lower case, no path's end, no default port.

    Example:
        >>> normal_address("HTTPS://App.example.com:443/")
        'https://app.example.com'

    Raises:
        BadRequest: it is no http or https address.
    """
    text = address.strip()
    text = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadRequest("The server address is not a web address.") from error
    scheme = parts.scheme.lower()
    strange = parts.username or parts.password or parts.query or parts.fragment
    if scheme not in _DEFAULT_PORTS or not parts.hostname or strange:
        raise BadRequest("The server address is not a web address.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown_port = "" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}"
    return f"{scheme}://{host}{shown_port}{parts.path.rstrip('/')}"


class ServerPolicy:
    """Decides which address a request's platform calls go to."""

    def __init__(self, configured: str | None, allowed: Iterable[str] = ()) -> None:
        """Set the rule.

        Args:
            configured: address of the platform that the app belongs to, if any.
            allowed: other addresses that requests may name.
        """
        self._configured = normal_address(configured) if configured else None
        self._allowed = {normal_address(address) for address in allowed}

    def check(self, named: Any) -> str | None:
        """Return the address to call for a request that names `named` (None: names nothing).

        Returns:
            The address in normal form, or None if none is named and none is configured.

        Raises:
            BadRequest: the address is not the configured one and not allowed.
        """
        if named is None:
            return self._configured
        if not isinstance(named, str):
            raise BadRequest("The server address must be text.")
        address = normal_address(named)
        if address != self._configured and address not in self._allowed:
            raise BadRequest(
                "This app does not call the platform address that the request names. Configure it "
                "as SERVER_ADDRESS, or allow it with the server setting "
                "SAM2_SERVING_ALLOWED_SERVERS."
            )
        return address
