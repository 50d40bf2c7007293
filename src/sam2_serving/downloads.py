"""Fetch large files so that a half one is never taken for a whole one."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import httpx
from filelock import FileLock

Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all or None)."""

_TRIES = 5
_FIRST_PAUSE_S = 0.5
_WORTH_ANOTHER_TRY = (429, 500, 502, 503, 504)
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class DownloadError(Exception):
    """A file could not be fetched; the text is one sentence that says why."""


def fetch(
    url: str,
    folder: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the file that `url` names inside `folder`, downloading it if it is not there.

    A file that is there costs no network at all. A download goes to a temporary name, is checked,
    and only then renamed. After a break it is resumed, across starts only if the result can be
    checked.

    Args:
        url: http or https.
        folder: made if it does not exist.
        sha256: expected digest, hexadecimal.
        size: expected bytes.
        progress: is told how far it is.

    Raises:
        DownloadError: no connection, a bad answer, or content that is not what was expected.
    """
    target = folder / _file_name(url)
    if target.is_file():
        return target
    part = target.with_name(target.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock")):
            if not target.is_file():
                checkable = sha256 is not None or size is not None
                if not checkable:
                    part.unlink(missing_ok=True)
                _download(url, part, checkable, progress)
                _check(part, target.name, sha256, size)
                os.replace(part, target)
    except OSError as error:
        raise DownloadError(f"{target.name} could not be written: {error.strerror}.") from error
    return target


def _file_name(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    name = PurePosixPath(unquote(parts.path)).name
    if parts.scheme not in ("http", "https") or name in ("", ".", ".."):
        raise DownloadError(f"{url!r} is not the http address of a file.")
    return name


def _download(url: str, part: Path, checkable: bool, progress: Progress | None) -> None:
    for attempt in range(_TRIES):
        last = attempt == _TRIES - 1
        try:
            return _stream(url, part, checkable, progress)
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if last or status not in _WORTH_ANOTHER_TRY:
                raise DownloadError(f"{url} was answered with status {status}.") from error
        except httpx.TransportError as error:
            if last:
                raise DownloadError(f"{url} could not be downloaded: {error}.") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise DownloadError(f"{url} cannot be downloaded: {error}.") from error
        time.sleep(_FIRST_PAUSE_S * 2**attempt)
    return None


def _stream(url: str, part: Path, checkable: bool, progress: Progress | None) -> None:
    """Append the rest of the file to `part`, or start anew if the server cannot resume."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with httpx.stream(
        "GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True
    ) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is here already, or more: the check tells which
        answer.raise_for_status()
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        done = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        if not checkable and length is None and "Transfer-Encoding" not in answer.headers:
            raise DownloadError(f"{url} comes without its length: a half file would look whole.")
        with part.open("ab" if resumed else "wb") as file:
            for chunk in answer.iter_raw():  # as it arrives: what a break leaves is not lost
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)


def _check(part: Path, name: str, sha256: str | None, size: int | None) -> None:
    """Throw a wrong file away, so that the next try starts anew."""
    have = part.stat().st_size if part.is_file() else 0
    if size is not None and have != size:
        part.unlink(missing_ok=True)
        raise DownloadError(f"{name} has {have} bytes instead of {size}.")
    if sha256 is not None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            part.unlink()
            raise DownloadError(f"{name} is damaged: its SHA-256 is {found}, not {sha256}.")
