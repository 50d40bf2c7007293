"""The platform's routes about projects, and about the objects of images (contract, 8.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sam2_serving.app.platform.api import (
    MAX_JSON_BYTES,
    Caller,
    PlatformClient,
    ids_of,
    nonsense,
    parsed,
    record_of,
)

Json = dict[str, Any]

_PAGE = 500
_MAX_PAGES = 100_000
_MAX_ANNOTATION_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Projects:
    """Projects as one caller may see and change them. Thread-safe.

    All methods raise what `PlatformClient.call` raises.
    """

    client: PlatformClient
    caller: Caller

    def info(self, project_id: int) -> Json:
        """Return the record of a project."""
        return self._record("projects.info", {"id": project_id}, f"project {project_id}")

    def dataset(self, dataset_id: int) -> Json:
        """Return the record of a dataset."""
        return self._record("datasets.info", {"id": dataset_id}, f"dataset {dataset_id}")

    def datasets(self, project_id: int) -> list[int]:
        """Return the ids of a project's datasets, nested ones too."""
        body = {"projectId": project_id, "recursive": True}
        datasets = self._entities("datasets.list", body, f"datasets of project {project_id}")
        return [id for id, _ in datasets]

    def images(self, dataset_id: int) -> list[int]:
        """Return the ids of a dataset's images."""
        return [id for id, _ in self._images(dataset_id)]

    def image_names(self, dataset_id: int, most: int) -> list[tuple[int, str]]:
        """Return (id, name) of a dataset's images in the order of their ids; at most so many."""
        images = islice(self._images(dataset_id), most)
        return [(id, str(entity.get("name"))) for id, entity in images]

    def meta(self, project_id: int) -> Json:
        """Return a project's classes and tags."""
        return self._record("projects.meta", {"id": project_id}, f"classes of project {project_id}")

    def set_meta(self, project_id: int, meta: Json) -> None:
        """Replace a project's classes and tags. Safe to repeat."""
        body = {"id": project_id, "meta": meta}
        self._record("projects.meta.update", body, f"classes of project {project_id}")

    def objects(self, image_id: int) -> list[Json]:
        """Return the objects of an image's annotation."""
        record = self.client.annotation(self.caller, image_id)
        annotation = record.get("annotation")
        objects = annotation.get("objects") if isinstance(annotation, dict) else None
        if not isinstance(objects, list):
            raise nonsense(f"the annotation of image {image_id}")
        return [one for one in objects if isinstance(one, dict)]

    def add_objects(self, image_id: int, labels: list[Json]) -> list[int]:
        """Add objects, all or none; returns their ids. Not safe to repeat.

        Raises:
            PlatformUnavailable, PlatformTimeout: it is not known whether they were stored.
        """
        body = {"entityId": image_id, "figures": labels, "skipBoundsValidation": False}
        what = f"the objects of image {image_id}"
        answer = self.client.call(
            self.caller, "figures.bulk.add", body, what, MAX_JSON_BYTES, tries=1
        )
        return ids_of(answer, len(labels), what)

    def replace_objects(self, dataset_id: int, image_id: int, annotation: Json) -> None:
        """Put an annotation in place of an image's. Safe to repeat."""
        entry = {"imageId": image_id, "annotation": annotation}
        body = {"datasetId": dataset_id, "annotations": [entry], "skipBoundsValidation": False}
        what = f"the annotation of image {image_id}"
        answer = self.client.call(self.caller, "annotations.bulk.add", body, what, MAX_JSON_BYTES)
        parsed(answer, what)  # half an answer may mean that nothing was done

    def _images(self, dataset_id: int) -> Iterator[tuple[int, Json]]:
        body = {"datasetId": dataset_id, "forceMetadataForLinks": False}
        return self._entities("images.list", body, f"images of dataset {dataset_id}")

    def _entities(self, route: str, body: Json, what: str) -> Iterator[tuple[int, Json]]:
        for page in range(1, _MAX_PAGES):
            asked = {**body, "sort": "id", "sort_order": "asc", "page": page, "per_page": _PAGE}
            entities = self._record(route, asked, what).get("entities")
            if not isinstance(entities, list):
                raise nonsense(what)
            for entity in entities:
                id = entity.get("id") if isinstance(entity, dict) else None
                if not isinstance(id, int):
                    raise nonsense(what)
                yield id, entity
            if len(entities) < _PAGE:
                return

    def _record(self, route: str, body: Json, what: str) -> Json:
        answer = self.client.call(self.caller, route, body, what, _MAX_ANNOTATION_BYTES)
        return record_of(answer, what)
