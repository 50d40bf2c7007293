"""Team files: bytes under their hash, names only in the database."""

from __future__ import annotations

import base64
import mimetypes
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from sqlalchemy import select

from sam2_serving.workspace.media import hash_file
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import TeamFile


class TeamFiles:
    """The team's storage. A name that was uploaded is a key here, never a path on the disk."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def list(self, prefix: str) -> Sequence[TeamFile]:
        """Return the files whose path starts with `prefix`, sorted by path."""
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
        return self._content_path(file.hash)

    def put(self, path: str, source: IO[bytes]) -> TeamFile:
        """Keep a file under a name, in place of what had that name.

        Raises:
            ValueError: the name is not an absolute path of plain parts.
        """
        name = check_path(path)
        content_hash, size = self._keep(source)
        mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        with self._store.writing() as session:
            file = session.scalars(select(TeamFile).where(TeamFile.path == name)).first()
            if file is None:
                file = TeamFile(path=name)
                session.add(file)
            file.hash, file.size, file.mime = content_hash, size, mime
        return file

    def remove(self, path: str) -> int:
        """Remove a file, or a folder with all that is in it; return how many files went."""
        folder = path.rstrip("/") + "/"
        with self._store.writing() as session:
            found = [
                file
                for file in session.scalars(select(TeamFile))
                if file.path == path or file.path.startswith(folder)
            ]
            for file in found:
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
