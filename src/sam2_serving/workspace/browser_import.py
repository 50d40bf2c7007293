"""The page's own API: media that are brought into the folder."""

from __future__ import annotations

import errno
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from sam2_serving.workspace.answers import BadRequest, Forbidden, NoRoom
from sam2_serving.workspace.api.strict import MAX_ID
from sam2_serving.workspace.context import Caller, Here, Workspace
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
