"""Puts the workspace together: one FastAPI application over one media folder."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from sam2_serving.settings import KEEP_ALIVE_S
from sam2_serving.videos import FrameReader
from sam2_serving.workspace import (
    browser,
    browser_batch,
    browser_changes,
    browser_done,
    browser_export,
    browser_faults,
    browser_figures,
    browser_import,
    browser_media,
    browser_tracks,
    browser_volumes,
    proxy,
)
from sam2_serving.workspace.answers import add_error_handlers
from sam2_serving.workspace.api import annotations as whole_annotations
from sam2_serving.workspace.api import (
    classes,
    clouds,
    ecosystem,
    figures,
    files,
    images,
    instance,
    objects,
    projects,
    tasks,
    tracking,
    video_annotations,
    video_tags,
    videos,
    volumes,
)
from sam2_serving.workspace.context import Here, Workspace
from sam2_serving.workspace.counter import API_PREFIX, RequestCounter, RequestCounts
from sam2_serving.workspace.crops import DecodedImages
from sam2_serving.workspace.database import open_database
from sam2_serving.workspace.exporting.jobs import Exports
from sam2_serving.workspace.faults import FaultInjector, Faults
from sam2_serving.workspace.files import TeamFiles
from sam2_serving.workspace.guard import Guard
from sam2_serving.workspace.media import MediaFolder
from sam2_serving.workspace.samples import make_samples
from sam2_serving.workspace.security import signed_in
from sam2_serving.workspace.settings import WorkspaceSettings
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.sync import MediaSync
from sam2_serving.workspace.tracks import Tracks
from sam2_serving.workspace.volumes import VolumeReader

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
FIRST_CLASS = ("object", "#FF4D6D")
"""A new workspace has one class, so that a first mask can be saved at once."""

_FAMILIES: tuple[APIRouter, ...] = (
    instance.router,
    projects.router,
    classes.router,
    images.router,
    videos.router,
    video_annotations.router,
    video_tags.router,
    volumes.router,
    clouds.router,
    figures.router,
    objects.router,
    tracking.router,
    whole_annotations.router,
    files.router,
    tasks.router,
    ecosystem.router,
)

_OF_THE_PAGE = (
    browser,
    browser_media,
    browser_figures,
    browser_changes,
    browser_done,
    browser_batch,
    browser_tracks,
    browser_volumes,
    browser_export,
    browser_import,
    browser_faults,
)


def create_workspace(settings: WorkspaceSettings) -> FastAPI:
    """Build the workspace: read its folder, open its database, register its routes.

    Args:
        settings: where the media are, where figures are kept, where the app is.

    Returns:
        The application; `app.state.workspace` holds its parts.

    Raises:
        NotADirectoryError: the media folder does not exist.
        RuntimeError: the database was written by a newer version.
    """
    workspace = _open(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        workspace.exports.close()
        await workspace.client.aclose()
        workspace.frames.close()
        workspace.store.close()

    app = FastAPI(
        title="sam2-serving workspace", lifespan=lifespan, openapi_url=None, redirect_slashes=False
    )
    app.state.workspace = workspace
    add_error_handlers(app)
    for family in _FAMILIES:
        app.include_router(family, prefix=API_PREFIX.rstrip("/"))
    for part in _OF_THE_PAGE:
        app.include_router(part.router)
    app.include_router(proxy.router)
    _add_page(app)
    app.add_middleware(Guard)
    if settings.faults:
        app.add_middleware(FaultInjector, faults=workspace.faults)
    app.add_middleware(RequestCounter, counts=workspace.counts)
    return app


def run(settings: WorkspaceSettings) -> None:
    """Serve the workspace until it is interrupted."""
    app = create_workspace(settings)
    log.info("The page is at http://%s:%s/", settings.host, settings.port)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_S,
        # Who asks is who holds the connection, whatever its headers say of others.
        proxy_headers=False,
        # A browser keeps connections open; do not wait for them on Ctrl-C.
        timeout_graceful_shutdown=3,
    )


def _open(settings: WorkspaceSettings) -> Workspace:
    if settings.folder is None:
        make_samples(settings.media_folder)
    media = MediaFolder(settings.media_folder, settings.data_dir / "pictures")
    store = Store(open_database(settings.database_path), project_name=media.root.name)
    sync = MediaSync(store, media)
    sync.run()
    if not store.classes():
        store.add_class(FIRST_CLASS[0], "bitmap", FIRST_CLASS[1])
    counts = RequestCounts()
    counts.routes = frozenset(path.strip("/") for family in _FAMILIES for path in _paths(family))
    return Workspace(
        settings=settings,
        store=store,
        media=media,
        sync=sync,
        decoded=DecodedImages(),
        frames=FrameReader(),
        volumes=VolumeReader(),
        files=TeamFiles(store, settings.data_dir / "team-files", settings.team_files),
        counts=counts,
        tracks=Tracks(),
        faults=Faults(),
        exports=Exports(settings.data_dir / "exports" / settings.database_path.stem),
        # Proxies of the environment are for the outside; the app is a neighbour.
        client=httpx.AsyncClient(trust_env=False, headers={"accept-encoding": "identity"}),
    )


def _paths(family: APIRouter) -> list[str]:
    return [str(getattr(route, "path", "")) for route in family.routes]


def _add_page(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/", response_class=FileResponse)
    def page(here: Here, token: str | None = None) -> Response:
        if token is not None:
            return signed_in(here, token)
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})
