"""Names that were sent, made fit to be names of files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath

LONGEST = 120
"""Bytes of a name; file systems take 255, and a number may come behind it."""
DEEPEST = 8

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')


def plain_path(sent: str) -> PurePosixPath:
    """Return a relative path of plain names, whatever was sent: it never leads out of a folder.

    >>> str(plain_path("../cats//C:\\\\a?.png"))
    '_/cats/C_/a_.png'

    Raises:
        ValueError: nothing is left of it, or it has more than `DEEPEST` names.
    """
    parts = [_plain_name(part) for part in re.split(r"[/\\]", sent) if part not in ("", ".")]
    if not parts:
        raise ValueError("a file needs a name")
    if len(parts) > DEEPEST:
        raise ValueError(f"it lies in more than {DEEPEST - 1} folders")
    return PurePosixPath(*parts)


def numbered(name: str) -> Iterator[str]:
    """Yield a name and those that stand in for it when it is taken: `a.png`, `a (2).png`, ..."""
    path = PurePosixPath(name)
    yield name
    for number in range(2, 10_000):
        yield f"{path.stem} ({number}){path.suffix}"


def _plain_name(part: str) -> str:
    """Hidden names, names of no letters, and signs that some system forbids are changed."""
    encodable = part.encode("utf-8", "replace").decode()
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", encodable)).rstrip(". ").lstrip(" ")
    if name.startswith(".") or not name:
        name = "_" + name.lstrip(".")
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > 10:
        return _cut(name, LONGEST)
    return f"{_cut(stem, LONGEST - 11)}.{ending}"


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
