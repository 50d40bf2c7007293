"""What every route works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import httpx
from fastapi import Depends, Request

from sam2_serving.videos import FrameReader
from sam2_serving.workspace.answers import BadRequest, Forbidden, NotFound
from sam2_serving.workspace.counter import RequestCounts
from sam2_serving.workspace.crops import DecodedImages
from sam2_serving.workspace.exporting.jobs import Exports
from sam2_serving.workspace.faults import Faults
from sam2_serving.workspace.files import TeamFiles
from sam2_serving.workspace.media import MediaFolder
from sam2_serving.workspace.settings import WorkspaceSettings
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.sync import MediaSync
from sam2_serving.workspace.tables import Dataset, Entity, Figure, Photo, Project
from sam2_serving.workspace.tracks import Tracks
from sam2_serving.workspace.volumes import VolumeReader

OWNER = "owner"
"""Login of the person at the machine, whose token is in the settings."""

NAMES = {"image": "image", "video": "video", "volume": "volume", "cloud": "point cloud"}
"""What a kind of media is called in a sentence."""


@dataclass(frozen=True)
class Caller:
    """Who asks, with which token, and which datasets they may see (None: all)."""

    login: str
    token: str
    dataset_ids: frozenset[int] | None = None

    def sees(self, dataset_id: int) -> bool:
        """Tell whether the caller has a right on a dataset."""
        return self.dataset_ids is None or dataset_id in self.dataset_ids


@dataclass(frozen=True)
class Workspace:
    """The parts of a running workspace."""

    settings: WorkspaceSettings
    store: Store
    media: MediaFolder
    sync: MediaSync
    decoded: DecodedImages
    frames: FrameReader
    volumes: VolumeReader
    files: TeamFiles
    counts: RequestCounts
    tracks: Tracks
    faults: Faults
    exports: Exports
    client: httpx.AsyncClient
    """Calls the app."""

    def project(self, project_id: int) -> Project:
        """Return the project, or refuse with 404."""
        if project_id != self.store.project_id:
            raise NotFound(f"There is no project {project_id}.")
        return self.store.project()

    def dataset(self, caller: Caller, dataset_id: int) -> Dataset:
        """Return a dataset, or refuse with 404 or 403."""
        dataset = self.store.dataset(dataset_id)
        if dataset is None:
            raise NotFound(f"There is no dataset {dataset_id}.")
        if not caller.sees(dataset_id):
            raise Forbidden(f"{caller.login} has no right on dataset {dataset_id}.")
        return dataset

    def image(self, caller: Caller, image_id: int) -> Entity:
        """Return an image, or refuse with 404 or 403."""
        return self.medium(caller, image_id, "image")

    def medium(self, caller: Caller, entity_id: int, kind: str) -> Entity:
        """Return a medium of a kind as its file is now, or refuse with 404 or 403."""
        entity = self.store.entity(entity_id, kind)
        if entity is None:
            raise NotFound(f"There is no {NAMES[kind]} {entity_id}.")
        if not caller.sees(entity.dataset_id):
            raise Forbidden(f"{caller.login} has no right on {NAMES[kind]} {entity_id}.")
        if not self._are_current([entity]):
            name, entity = entity.name, self.store.entity(entity_id, kind)
            if entity is None:
                raise NotFound(f"The file {name} is gone, or is no {NAMES[kind]} any more.")
        return entity

    def photo(self, caller: Caller, photo_id: int) -> tuple[Photo, Entity]:
        """Return a photo as its file is now and its point cloud, or refuse with 404 or 403."""
        photo = self.store.photo(photo_id)
        cloud = self.store.entity(photo.cloud_id, "cloud") if photo else None
        if photo is None or cloud is None:
            raise NotFound(f"There is no photo {photo_id}.")
        if not caller.sees(cloud.dataset_id):
            raise Forbidden(f"{caller.login} has no right on photo {photo_id}.")
        if not self._are_current([photo]):
            name, photo = photo.name, self.store.photo(photo_id)
            if photo is None:
                raise NotFound(f"The file {name} is gone, or is no photo any more.")
        return photo, cloud

    def images_with(self, content_hash: str) -> list[Entity]:
        """Return the images that have a content now."""
        found = self.store.entities_by_hash(content_hash)
        return found if self._are_current(found) else self.store.entities_by_hash(content_hash)

    def _are_current(self, media: Sequence[Entity | Photo]) -> bool:
        """Tell whether files are as they were described; if not, look into the folder again."""
        current = all(self.sync.is_current(one) for one in media)
        if not current:
            self.sync.run()
        return current

    def media_of(
        self, caller: Caller, kind: str, dataset_id: int | None, project_id: int | None
    ) -> list[Entity]:
        """Return the media of a kind in a dataset, or in all datasets that the caller may see."""
        if dataset_id is not None:
            seen = [self.dataset(caller, dataset_id).id]
        elif project_id is not None:
            self.project(project_id)
            seen = [one.id for one in self.store.datasets() if caller.sees(one.id)]
        else:
            raise BadRequest("datasetId: give the dataset's or the project's id.")
        listed = self.store.entities(seen, kind)
        return listed if self._are_current(listed) else self.store.entities(seen, kind)

    def file_of(self, medium: Entity | Photo) -> Path:
        """Return where a medium's file lies, or refuse with 404."""
        try:
            return self.media.locate(medium.path)
        except FileNotFoundError as error:
            raise NotFound(f"The file {medium.name} is gone.") from error

    def figure(self, caller: Caller, figure_id: int) -> tuple[Figure, Entity]:
        """Return a figure and its medium, or refuse with 404 or 403."""
        figure = self.store.figure(figure_id)
        entity = self.store.entity(figure.entity_id, None) if figure else None
        if figure is None or entity is None:
            raise NotFound(f"There is no figure {figure_id}.")
        if not caller.sees(entity.dataset_id):
            raise Forbidden(f"{caller.login} has no right on figure {figure_id}.")
        return figure, entity


def workspace_of(request: Request) -> Workspace:
    """Return the workspace that serves a request."""
    return cast(Workspace, request.app.state.workspace)


Here = Annotated[Workspace, Depends(workspace_of)]
"""Annotation of a route's workspace parameter."""
