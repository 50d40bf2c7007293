"""The page's own API: media that are brought into the folder."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from sam2_serving.workspace.answers import BadRequest, Forbidden, NoRoom
from sam2_serving.workspace.api.strict import MAX_ID, ClientKey
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.importing.annotated import bring
from sam2_serving.workspace.importing.incoming import Incoming
from sam2_serving.workspace.importing.names import plain_path
from sam2_serving.workspace.security import OfPage, caller_of_page

router = APIRouter(prefix="/workspace/api", dependencies=[Depends(caller_of_page)])

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}

Sent = Annotated[str, Query(min_length=1, max_length=4000)]


@router.post("/imports", status_code=201)
async def import_file(
    request: Request,
    caller: OfPage,
    here: Here,
    path: Sent,
    dataset_id: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
    folder: Annotated[str | None, Query(min_length=1, max_length=4000)] = None,
) -> dict[str, Any]:
    """Keep the file that is the body: all of it or, when it is damaged, nothing.

    Query:
        path: its name, or its path in the folder that was dropped; folders become datasets.
        dataset_id: the dataset it comes into; without it:
        folder: a dataset by its path, new or not; None: the media folder itself.
    """
    name = path.rpartition("/")[2]
    place = await run_in_threadpool(_place, path, dataset_id, folder, caller, here)
    try:
        incoming = await run_in_threadpool(Incoming, here.media, place)
        with incoming:
            async for chunk in request.stream():
                await run_in_threadpool(incoming.file.write, chunk)
            kept = await run_in_threadpool(incoming.keep)
    except ValueError as error:
        raise BadRequest(f"{name}: {error}") from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise NoRoom(f"{name}: there is no room left on the disk.") from error
        raise BadRequest(f"{name}: cannot be written ({error.strerror}).") from error
    return {"path": kept.path, "new": kept.new}


@router.post("/imports/annotated", status_code=201)
async def import_annotated(
    request: Request,
    caller: OfPage,
    here: Here,
    key: ClientKey,
    dataset_id: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
    folder: Annotated[str | None, Query(min_length=1, max_length=4000)] = None,
) -> dict[str, Any]:
    """Bring in media with their figures: the body is a zip.

    It holds a project of the platform (or several), or images and a COCO file.

    Query:
        key: the page's name for the change that brings the figures.
        dataset_id: the dataset that all of it comes into; without it:
        folder: one by its path; None: the media folder itself.
    """
    if caller.dataset_ids is not None:
        raise Forbidden(f"{caller.login} may add files to some datasets only, and no new datasets.")
    base = await run_in_threadpool(_place, "x", dataset_id, folder, caller, here)
    here.settings.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=here.settings.data_dir) as file:
        try:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
            most = here.settings.max_upload_mb << 20
            told = await run_in_threadpool(bring, file, key, base.parent, caller, here, most)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise NoRoom("There is no room left on the disk.") from error
            raise
    return asdict(told)


def _place(
    path: str, dataset_id: int | None, folder: str | None, caller: Caller, here: Workspace
) -> PurePosixPath:
    try:
        inner = plain_path(path)
        base = plain_path(folder) if folder is not None else PurePosixPath()
    except ValueError as error:
        raise BadRequest(f"{path[:200]}: {error}") from error
    if dataset_id is not None:
        base = PurePosixPath(here.dataset(caller, dataset_id).path)
    if caller.dataset_ids is not None and (dataset_id is None or len(inner.parts) > 1):
        raise Forbidden(f"{caller.login} may add files to some datasets only, and no new datasets.")
    return base / inner
