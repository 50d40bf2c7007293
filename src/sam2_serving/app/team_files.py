"""Checkpoints out of the platform's Team Files: never half, never mixed up, never twice."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
from filelock import FileLock

from sam2_serving.app.platform.api import Caller, api_root, headers, refusal
from sam2_serving.app.reporting import (
    BadRequest,
    MediaNotFound,
    PlatformTimeout,
    PlatformUnavailable,
)

Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all or None)."""

TRIES = 3
PAUSE_S = 1.0
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_MAX_PATH = 2048


class TeamFiles:
    """The Team Files of one team, as one caller may see them."""

    def __init__(self, caller: Caller, team_id: int, folder: Path) -> None:
        """Take what it needs.

        Args:
            caller: whose rights count.
            team_id: whose files.
            folder: where copies are kept.
        """
        self._caller = caller
        self._team_id = team_id
        self._folder = folder

    def fetch(self, path: str, progress: Progress) -> Path:
        """Return a local copy of a file.

        The platform is asked about the file each time: that is the permission check, and it tells
        whether the copy that is here is still the same. A copy lies in a folder named by a hash of
        platform, team and whole path, under a name that begins with a hash of the content's
        version, so that two files of one name never meet.

        Args:
            path: in Team Files, from the root: `/experiments/.../best.pt`.
            progress: is told how far it is.

        Raises:
            MediaNotFound: there is no such file.
            AppError: what else the platform says.
        """
        if not path.startswith("/") or len(path) > _MAX_PATH or "\0" in path:
            raise BadRequest("A path in Team Files begins with a slash.")
        entry = self._entry(path)
        size, digest = _size_and_digest(entry)
        place = self._folder / _short_hash(self._caller.server, str(self._team_id), path)
        version = _short_hash(
            str(entry.get("hash")), str(size), str(entry.get("id")), str(entry.get("updatedAt"))
        )
        target = place / f"{version[:12]}-{_harmless_name(path)}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place / "lock"):
                if not (target.is_file() and target.stat().st_size == size):
                    self._download(path, target, size, digest, progress)
                    _remove_others(target)
        except OSError as error:
            raise PlatformUnavailable(
                f"The copy of {_shown(path)} cannot be written: {error.strerror}."
            ) from error
        return target

    def _entry(self, path: str) -> dict[str, Any]:
        body = {"teamId": self._team_id, "path": path, "recursive": True}
        try:
            with httpx.Client(timeout=_TIMEOUT) as client:
                answer = client.post(
                    f"{api_root(self._caller.server)}/v3/file-storage.list",
                    json=body,
                    headers=headers(self._caller),
                )
            if answer.status_code != 200:
                raise refusal(answer.status_code, f"team file {_shown(path)}")
            entries = answer.json()
        except httpx.TimeoutException as error:
            raise PlatformTimeout("The platform takes too long to answer: try again.") from error
        except httpx.HTTPError as error:
            raise PlatformUnavailable("The platform cannot be reached.") from error
        except ValueError as error:
            raise PlatformUnavailable("The platform's answer makes no sense.") from error
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("path") == path:
                return entry
        raise MediaNotFound(f"There is no file {_shown(path)} in Team Files.")

    def _download(
        self, path: str, target: Path, size: int | None, digest: bytes | None, progress: Progress
    ) -> None:
        part = target.with_name(f"{uuid.uuid4().hex}.part")
        try:
            for attempt in range(1, TRIES + 1):
                try:
                    self._stream(path, part, size, digest, progress)
                    break
                except (PlatformUnavailable, PlatformTimeout):
                    if attempt == TRIES:
                        raise
                    time.sleep(PAUSE_S * attempt)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)

    def _stream(
        self, path: str, part: Path, size: int | None, digest: bytes | None, progress: Progress
    ) -> None:
        url = f"{api_root(self._caller.server)}/v3/file-storage.download"
        body = {"teamId": self._team_id, "path": path}
        found, done = hashlib.sha256(), 0
        own = headers(self._caller)
        try:
            with (
                part.open("wb") as file,
                httpx.stream("POST", url, json=body, headers=own, timeout=_TIMEOUT) as answer,
            ):
                if answer.status_code != 200:
                    raise refusal(answer.status_code, f"team file {_shown(path)}")
                for chunk in answer.iter_bytes():
                    file.write(chunk)
                    found.update(chunk)
                    done += len(chunk)
                    progress(done, size)
        except httpx.TimeoutException as error:
            raise PlatformTimeout("The platform takes too long to answer: try again.") from error
        except httpx.HTTPError as error:
            raise PlatformUnavailable(f"The download of {_shown(path)} broke off.") from error
        if size is not None and done != size:
            raise PlatformUnavailable(f"{_shown(path)} came with {done} bytes instead of {size}.")
        if digest is not None and found.digest() != digest:
            raise PlatformUnavailable(f"{_shown(path)} came damaged: its SHA-256 is another one.")


def _size_and_digest(entry: dict[str, Any]) -> tuple[int | None, bytes | None]:
    meta = entry.get("meta")
    size = meta.get("size") if isinstance(meta, dict) else None
    try:
        size = None if size is None else int(size)
        digest = base64.b64decode(str(entry.get("hash") or ""), validate=True)
    except (TypeError, ValueError):
        return size if isinstance(size, int) else None, None
    return size, digest if len(digest) == hashlib.sha256().digest_size else None


def _short_hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _harmless_name(path: str) -> str:
    """Return a name for people, which is the last part of the copy's own."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", PurePosixPath(path).name)[-80:]


def _shown(path: str) -> str:
    return ascii(path)[:200]


def _remove_others(target: Path) -> None:
    """Older versions of the file are of no use; what is being served is in memory."""
    for file in target.parent.iterdir():
        if file != target and file.name != "lock":
            file.unlink(missing_ok=True)
