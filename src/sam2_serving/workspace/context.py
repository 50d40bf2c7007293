"""What every route works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import httpx
from fastapi import Depends, Request

from sam2_serving.workspace.answers import Forbidden, NotFound
from sam2_serving.workspace.counter import RequestCounts
from sam2_serving.workspace.files import TeamFiles
from sam2_serving.workspace.media import MediaFolder
from sam2_serving.workspace.settings import WorkspaceSettings
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import Dataset, Entity, Figure, Project

OWNER = "owner"
"""Login of the person at the machine, whose token is in the settings."""


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
    files: TeamFiles
    counts: RequestCounts
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
        entity = self.store.entity(image_id)
        if entity is None:
            raise NotFound(f"There is no image {image_id}.")
        if not caller.sees(entity.dataset_id):
            raise Forbidden(f"{caller.login} has no right on image {image_id}.")
        return entity

    def figure(self, caller: Caller, figure_id: int) -> tuple[Figure, Entity]:
        """Return a figure and its image, or refuse with 404 or 403."""
        figure = self.store.figure(figure_id)
        entity = self.store.entity(figure.entity_id) if figure else None
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
