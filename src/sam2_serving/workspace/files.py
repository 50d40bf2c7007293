"""Team files: uploaded bytes under their hash, and a folder that a person fills."""

from __future__ import annotations

import base64
import mimetypes
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from sqlalchemy import select

from sam2_serving.workspace.media import hash_file
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import TeamFile


class TeamFiles:
    """The team's storage. A name that was uploaded is a key here, never a path on the disk."""

    def __init__(self, store: Store, folder: Path, shared: Path) -> None:
        """Open a storage.

        Args:
            store: keeps the names.
            folder: where uploaded bytes are kept.
            shared: a folder that a person puts files into: they are team files under the same
                path, as long as they lie there.
        """
        self._store = store
        self._folder = folder
        self._shared = shared

    def list(self, prefix: str) -> Sequence[TeamFile]:
        """Return the files whose path starts with `prefix`, sorted by path."""
        self._look_into_shared()
        with self._store.reading() as session:
            query = select(TeamFile).order_by(TeamFile.path)
            files = session.scalars(query.where(TeamFile.path.startswith(prefix, autoescape=True)))
            return list(files)

    def get(self, file_id: int) -> TeamFile | None:
        """Return a file by its id."""
        with self._store.reading() as session:
            return session.get(TeamFile, file_id)

    def content(self, file: TeamFile) -> Path:
        """Return where a file's bytes lie."""
        if file.put_ns is not None:
            return self._shared / file.path.lstrip("/")
        return self._content_path(file.hash)

    def put(self, path: str, source: IO[bytes]) -> TeamFile:
        """Keep a file under a name, in place of what had that name.

        Raises:
            ValueError: the name is not an absolute path of plain parts.
        """
        name = check_path(path)
        content_hash, size = self._keep(source)
        mime = _mime_of(name)
        with self._store.writing() as session:
            file = session.scalars(select(TeamFile).where(TeamFile.path == name)).first()
            if file is None:
                file = TeamFile(path=name)
                session.add(file)
            file.hash, file.size, file.mime, file.put_ns = content_hash, size, mime, None
        return file

    def remove(self, path: str) -> int:
        """Remove a file, or a folder with all that is in it; return how many files went.

        Raises:
            ValueError: one of them lies in the team folder, which is the person's own.
        """
        folder = path.rstrip("/") + "/"
        with self._store.writing() as session:
            found = [
                file
                for file in session.scalars(select(TeamFile))
                if file.path == path or file.path.startswith(folder)
            ]
            for file in found:
                if file.put_ns is not None:
                    raise ValueError(f"{file.path} lies in the team folder; remove it there.")
                session.delete(file)
        return len(found)

    def archive(self, folder: str) -> IO[bytes]:
        """Return a tar of a folder; names are relative to the folder's parent."""
        prefix = folder.rstrip("/") + "/"
        above = str(PurePosixPath(prefix).parent)
        archive = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for file in self.list(prefix):
                name = str(PurePosixPath(file.path).relative_to(above))
                tar.add(self.content(file), arcname=name)
        archive.seek(0)
        return archive

    def _look_into_shared(self) -> None:
        """Bring the names up to the team folder; what was uploaded under a name wins."""
        found = dict(_files_below(self._shared)) if self._shared.is_dir() else {}
        with self._store.reading() as session:
            known = {file.path: file for file in session.scalars(select(TeamFile))}
        put = {path: file for path, file in known.items() if file.put_ns is not None}
        changed = {
            path: status
            for path, status in found.items()
            if path not in known or (path in put and _stamp(put[path]) != _stamp_of(status))
        }
        gone = [path for path in put if path not in found]
        if changed or gone:
            self._note(changed, gone)

    def _note(self, changed: dict[str, os.stat_result], gone: Sequence[str]) -> None:
        hashes = {path: hash_file(self._shared / path.lstrip("/")) for path in changed}
        with self._store.writing() as session:
            known = {file.path: file for file in session.scalars(select(TeamFile))}
            for path in gone:
                if path in known:
                    session.delete(known[path])
            for path, status in changed.items():
                file = known.get(path) or TeamFile(path=path, put_ns=0)
                if file.put_ns is None:
                    continue
                file.hash, file.mime = hashes[path], _mime_of(path)
                file.size, file.put_ns = _stamp_of(status)
                session.add(file)

    def _keep(self, source: IO[bytes]) -> tuple[str, int]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as part:
            while chunk := source.read(1 << 20):
                part.write(chunk)
            size = part.tell()
        kept = Path(part.name)
        content_hash = hash_file(kept)
        kept.replace(self._content_path(content_hash))
        return content_hash, size

    def _content_path(self, content_hash: str) -> Path:
        return self._folder / base64.b64decode(content_hash).hex()


def _files_below(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every plain file's team path and status; hidden files and links are left out."""
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place) / name
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield "/" + file.relative_to(folder).as_posix(), file.stat()


def _stamp(file: TeamFile) -> tuple[int, int | None]:
    return file.size, file.put_ns


def _stamp_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _mime_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def check_path(path: str) -> str:
    """Return a team file's path in its one form.

    Raises:
        ValueError: it is not absolute, too long, or has empty, `.` or `..` parts.
    """
    parts = path.split("/")[1:]
    if not path.startswith("/") or len(path) > 1000:
        raise ValueError("A team file's path starts with / and has at most 1000 characters.")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValueError("A team file's path has no empty, '.' or '..' parts.")
    return path
