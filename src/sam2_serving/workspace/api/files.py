"""Team files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Query, UploadFile
from fastapi.responses import FileResponse, Response, StreamingResponse
from python_multipart.exceptions import FormParserError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.strict import Strict
from sam2_serving.workspace.context import Here, Workspace
from sam2_serving.workspace.security import caller_by_token
from sam2_serving.workspace.settings import TEAM_ID
from sam2_serving.workspace.tables import TeamFile

router = APIRouter(dependencies=[Depends(caller_by_token)])


class FileStorageList(Strict):
    """Contract 8.2, file-storage.list."""

    teamId: int
    path: str
    recursive: bool


class FileStorageDownload(Strict):
    """Contract 8.2, file-storage.download."""

    teamId: int
    path: str


class FileStorageInfo(Strict):
    """The SDK's `api.file.get_info_by_id`; answers an entry of contract 8.2, file-storage.list."""

    id: int


class FileStorageRemove(Strict):
    """The SDK's `api.file.remove`."""

    teamId: int
    path: str


@router.post("/file-storage.list")
def file_storage_list(body: FileStorageList, here: Here) -> list[dict[str, Any]]:
    """List the files whose path starts with a text; not recursive: one level, with folders."""
    _check_team(body.teamId)
    files = here.files.list(body.path)
    if body.recursive:
        return [file_json(file, here) for file in files]
    entries: dict[str, dict[str, Any]] = {}
    for file in files:
        name, below, _ = file.path.removeprefix(body.path).partition("/")
        path = body.path + name
        entries[path] = _folder_json(path) if below else file_json(file, here)
    return list(entries.values())


@router.post("/file-storage.download")
def file_storage_download(body: FileStorageDownload, here: Here) -> Response:
    """Send a file's bytes, or a folder as a tar."""
    _check_team(body.teamId)
    exact = [file for file in here.files.list(body.path) if file.path == body.path]
    if exact:
        # The name is no hint for the type: these are bytes to be saved, not to be shown.
        return FileResponse(here.files.content(exact[0]), media_type="application/octet-stream")
    if here.files.list(body.path.rstrip("/") + "/"):
        archive = here.files.archive(body.path)
        return StreamingResponse(_chunks(archive), media_type="application/x-tar")
    raise NotFound(f"There is no team file {body.path}.")


@router.post("/file-storage.info")
def file_storage_info(body: FileStorageInfo, here: Here) -> dict[str, Any]:
    """Describe a file."""
    file = here.files.get(body.id)
    if file is None:
        raise NotFound(f"There is no team file {body.id}.")
    return file_json(file, here)


@router.post("/file-storage.remove")
def file_storage_remove(body: FileStorageRemove, here: Here) -> dict[str, Any]:
    """Remove a file or a folder."""
    _check_team(body.teamId)
    try:
        removed = here.files.remove(body.path)
    except ValueError as error:
        raise BadRequest(f"path: {error}") from error
    if not removed:
        raise NotFound(f"There is no team file {body.path}.")
    return {"success": True}


@router.post("/file-storage.bulk.upload")
async def file_storage_bulk_upload(
    request: Request, teamId: Annotated[int, Query()], here: Here
) -> list[dict[str, Any]]:
    """Keep uploaded files. Contract 8.1, file-storage.bulk.upload: parts name, path, file."""
    _check_team(teamId)
    try:
        async with request.form(max_files=1000, max_fields=2000) as form:
            kept = await _keep_all(form, here)
    except FormParserError as error:
        raise BadRequest(f"The body is no multipart/form-data: {error}") from error
    return [file_json(file, here) for file in kept]


async def _keep_all(form: FormData, here: Workspace) -> list[TeamFile]:
    unknown = sorted(set(form) - {"name", "path", "file"})
    if unknown:
        raise BadRequest(f"{unknown[0]}: only the parts name, path and file are known.")
    names, folders = form.getlist("name"), form.getlist("path")
    uploads = [part for part in form.getlist("file") if not isinstance(part, str)]
    if not uploads or not len(names) == len(folders) == len(uploads):
        raise BadRequest("file: send the parts name, path and file for each file.")
    kept = []
    for name, folder, upload in zip(names, folders, uploads, strict=True):
        path = f"{str(folder).rstrip('/')}/{name}"
        kept.append(await run_in_threadpool(_keep, here, path, upload))
    return kept


def _keep(here: Workspace, path: str, upload: UploadFile | Any) -> TeamFile:
    try:
        return here.files.put(path, upload.file)
    except ValueError as error:
        raise BadRequest(f"path: {error}") from error


def _chunks(archive: IO[bytes]) -> Iterator[bytes]:
    with archive:
        while chunk := archive.read(1 << 20):
            yield chunk


def _check_team(team_id: int) -> None:
    if team_id != TEAM_ID:
        raise NotFound(f"There is no team {team_id}.")


def file_json(file: TeamFile, here: Workspace) -> dict[str, Any]:
    """Shape a team file. Contract 8.2, file-storage.list."""
    name = file.path.rpartition("/")[2]
    extension = name.rpartition(".")[2] if "." in name else ""
    return {
        "id": file.id,
        "teamId": TEAM_ID,
        "userId": 1,
        "path": file.path,
        "storagePath": file.path,
        "name": name,
        "hash": file.hash,
        "meta": {"ext": extension, "mime": file.mime, "size": file.size},
        "createdAt": file.created_at,
        "updatedAt": file.updated_at,
        "fullStorageUrl": f"{here.settings.public_address}/files/{file.id}",
        "isDir": False,
    }


def _folder_json(path: str) -> dict[str, Any]:
    return {
        "id": 0,
        "teamId": TEAM_ID,
        "userId": 1,
        "path": path + "/",
        "storagePath": path + "/",
        "name": path.rpartition("/")[2],
        "hash": None,
        "meta": {"ext": "", "mime": "", "size": None},
        "createdAt": None,
        "updatedAt": None,
        "fullStorageUrl": None,
        "isDir": True,
    }
