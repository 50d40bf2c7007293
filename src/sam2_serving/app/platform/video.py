"""The platform's routes about videos and their figures (contract, sections 3.3 and 8.2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sam2_serving.app.platform.api import (
    MAX_JSON_BYTES,
    Caller,
    PlatformClient,
    ids_of,
    nonsense,
    record_of,
)
from sam2_serving.app.reporting import PlatformUnavailable

_PAGE = 500
_MAX_PAGES = 10_000
_MAX_GEOMETRY_BYTES = 256 * 2**20
_FIELDS = (
    "id",
    "objectId",
    "entityId",
    "geometryType",
    "meta",
    "nnCreated",
    "nnUpdated",
    "updatedAt",
)


@dataclass(frozen=True)
class VideoFigure:
    """A figure on a frame of a video.

    Attributes:
        by_person: a person made it, or changed it after a model had made it.
        version: changes when the figure does.
        geometry: its JSON; None where it was not asked for.
    """

    id: int
    object_id: int
    frame: int
    kind: str
    by_person: bool
    version: str
    geometry: dict[str, Any] | None = None


@dataclass(frozen=True)
class NewFigure:
    """A figure to be stored."""

    object_id: int
    frame: int
    kind: str
    geometry: dict[str, Any]


@dataclass(frozen=True)
class VideoFigures:
    """The figures of one video as one caller may see and change them. Thread-safe."""

    client: PlatformClient
    caller: Caller
    video_id: int
    dataset_id: int

    def all(self) -> list[VideoFigure]:
        """Return all figures of the video, without geometries; raises as `PlatformClient.call`."""
        return list(self._pages([_is("entityId", [self.video_id])]))

    def since(self, figure_id: int) -> list[VideoFigure]:
        """Return the figures that are younger than the one of this id, without geometries."""
        newest_first = self._pages([_is("entityId", [self.video_id])], order="desc")
        return list(itertools.takewhile(lambda figure: figure.id > figure_id, newest_first))

    def named(self, figure_ids: Sequence[int], geometries: bool = False) -> list[VideoFigure]:
        """Return those of these figures that exist, without or with their geometries."""
        return list(self._pages([_is("id", list(figure_ids))], geometries)) if figure_ids else []

    def add(self, figures: Sequence[NewFigure], track_id: int | str) -> list[int]:
        """Store figures as made by a model; returns their ids. Not safe to repeat.

        Raises:
            PlatformUnavailable, PlatformTimeout: it is not known whether they were stored.
            AppError: the platform refuses; nothing was stored.
        """
        body = {
            "entityId": self.video_id,
            "figures": [
                {
                    "objectId": one.object_id,
                    "geometryType": one.kind,
                    "geometry": one.geometry,
                    "meta": {"frame": one.frame},
                    "trackId": track_id,
                    "nnCreated": True,
                    "nnUpdated": True,
                }
                for one in figures
            ],
        }
        what = f"figures of video {self.video_id}"
        answer = self.client.call(
            self.caller, "figures.bulk.add", body, what, MAX_JSON_BYTES, tries=1
        )
        return ids_of(answer, len(figures), what)

    def remove(self, figure_ids: Sequence[int]) -> None:
        """Remove figures; raises as `PlatformClient.call`."""
        body = {"figureIds": list(figure_ids)}
        what = f"figures of video {self.video_id}"
        self.client.call(self.caller, "figures.bulk.remove", body, what, MAX_JSON_BYTES, tries=1)

    def _pages(
        self, filters: list[dict[str, Any]], geometries: bool = False, order: str = "asc"
    ) -> Iterator[VideoFigure]:
        what = f"figures of video {self.video_id}"
        for page in range(1, _MAX_PAGES):
            body = {
                "datasetId": self.dataset_id,
                "filter": filters,
                "fields": [*_FIELDS, "geometry"] if geometries else list(_FIELDS),
                "integerCoords": True,
                "sort": "id",
                "sort_order": order,
                "page": page,
                "per_page": _PAGE,
            }
            limit = _MAX_GEOMETRY_BYTES if geometries else MAX_JSON_BYTES
            answer = self.client.call(self.caller, "figures.list", body, what, limit)
            listed = record_of(answer, what)
            records = listed.get("entities")
            if not isinstance(records, list):
                raise nonsense(what)
            for record in records:
                figure = _figure(record, self.video_id, geometries)
                if figure is not None:
                    yield figure
            if not records or page >= _whole(listed.get("pagesCount")):
                return


def _is(field: str, values: list[int]) -> dict[str, Any]:
    return {"field": field, "operator": "in", "value": values}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 1


def _figure(record: Any, video_id: int, geometry: bool) -> VideoFigure | None:
    """Read a figure; None if it is of another video, or belongs to no object."""
    try:
        if record["entityId"] != video_id or record["objectId"] is None:
            return None
        return VideoFigure(
            id=int(record["id"]),
            object_id=int(record["objectId"]),
            frame=int(record["meta"]["frame"]),
            kind=str(record["geometryType"]),
            by_person=not record.get("nnUpdated"),
            version=f"{record['id']} {record.get('updatedAt')}",
            geometry=dict(record["geometry"]) if geometry else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PlatformUnavailable("A figure that the platform sent makes no sense.") from error
