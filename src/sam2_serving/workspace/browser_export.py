"""The page's own API: figures as a zip, to be downloaded."""

from __future__ import annotations

import re
from typing import Any, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse

from sam2_serving.workspace.answers import BadRequest, NotFound, TooMany
from sam2_serving.workspace.api.strict import Strict
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.exporting.archive import Archive
from sam2_serving.workspace.exporting.jobs import Export, ExportWish, TooManyExports
from sam2_serving.workspace.exporting.writing import write_export
from sam2_serving.workspace.security import OfPage, caller_of_page

router = APIRouter(prefix="/workspace/api/exports", dependencies=[Depends(caller_of_page)])


class NewExport(Strict):
    """What is to be exported.

    Attributes:
        dataset_id: of which dataset; None: of all that the caller may see.
        media: whether media go with the figures; None: as is usual for the form, in the platform's
            format (which cannot be opened without), not in the others.
    """

    form: Literal["coco", "supervisely", "masks"]
    dataset_id: int | None = None
    media: bool | None = None


@router.get("")
def exports(caller: OfPage, here: Here) -> list[dict[str, Any]]:
    """List the caller's exports, the newest first."""
    return [_export_json(one) for one in here.exports.of(caller.login)]


@router.post("", status_code=202)
def start_export(body: NewExport, caller: OfPage, here: Here) -> dict[str, Any]:
    """Begin an export; it goes on when the page is left."""
    datasets = [one for one in here.store.datasets() if caller.sees(one.id)]
    if body.dataset_id is not None:
        datasets = [here.dataset(caller, body.dataset_id)]
    if not datasets:
        raise BadRequest("There is nothing to export.")
    media = body.media if body.media is not None else body.form == "supervisely"
    wish = ExportWish(body.form, [one.id for one in datasets], media)
    about = here.store.project().name if body.dataset_id is None else datasets[0].name
    name = f"{_plain(about)}-{body.form}.zip"

    def write(export: Export, archive: Archive) -> None:
        write_export(here, export, archive)

    try:
        return _export_json(here.exports.start(caller.login, wish, name, write))
    except TooManyExports as error:
        raise TooMany("Too many exports wait already; cancel one of them.") from error


@router.get("/{key}")
def export(key: str, caller: OfPage, here: Here) -> dict[str, Any]:
    """Tell how far an export is."""
    return _export_json(_find(key, caller, here))


@router.delete("/{key}")
def remove_export(key: str, caller: OfPage, here: Here) -> dict[str, bool]:
    """Cancel an export, or take a finished one away."""
    here.exports.remove(_find(key, caller, here))
    return {"success": True}


@router.get("/{key}/file", response_class=FileResponse)
def export_file(key: str, caller: OfPage, here: Here) -> FileResponse:
    """Send a finished export."""
    found = _find(key, caller, here)
    if found.state != "finished":
        raise NotFound("This export is not finished.")
    return FileResponse(found.file, media_type="application/zip", filename=found.name)


def _find(key: str, caller: Caller, here: Workspace) -> Export:
    found = here.exports.get(caller.login, key)
    if found is None:
        raise NotFound("There is no such export (any more).")
    return found


def _plain(name: str) -> str:
    """Return a name that any system can save a file under."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:80] or "export"


def _export_json(export: Export) -> dict[str, Any]:
    return {
        "key": export.key,
        "name": export.name,
        "form": export.wish.form,
        "media": export.wish.media,
        "state": export.state,
        "done": export.done,
        "total": export.total,
        "problem": export.problem,
        "warnings": list(export.warnings),
        "size": export.size,
    }
