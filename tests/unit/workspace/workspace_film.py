"""A workspace with a film, and what figures and objects on it look like on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests
import supervisely as sly
from workspace_gallery import FRAMES
from workspace_http import Running, serving

from sam2_serving.masks.bitmap import encode_bitmap
from sam2_serving.workspace import WorkspaceSettings, create_workspace
from sam2_serving.workspace.samples import write_video


@dataclass(frozen=True)
class Film:
    """A workspace with one video of 45 frames of 96 x 64, and a meta for it."""

    running: Running
    api: sly.Api
    video_id: int
    dataset_id: int
    meta: sly.ProjectMeta

    def object_of(self, title: str) -> int:
        body = {
            "datasetId": self.dataset_id,
            "annotationObjects": [{"classId": self.class_id(title), "entityId": self.video_id}],
        }
        answer = self.running.post("annotation-objects.bulk.add", body)
        assert answer.status_code == 200, answer.text
        return int(answer.json()[0]["id"])

    def class_id(self, title: str) -> int:
        return int(self.meta.get_obj_class(title).sly_id)

    def add(self, *figures: dict[str, Any]) -> requests.Response:
        body = {"entityId": self.video_id, "figures": list(figures)}
        return self.running.post("figures.bulk.add", body)

    def listed(self, *conditions: tuple[str, str, object], **more: object) -> list[dict[str, Any]]:
        names = ("field", "operator", "value")
        body = {
            "datasetId": self.dataset_id,
            "fields": ["id", "objectId", "meta", "nnCreated", "nnUpdated", "trackId"],
            "filter": [dict(zip(names, one, strict=True)) for one in conditions],
            **more,
        }
        answer = self.running.post("figures.list", body)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["entities"])


@contextlib.contextmanager
def serving_film(settings: WorkspaceSettings) -> Iterator[Film]:
    """Serve a workspace over the test's folder and a film."""
    assert settings.folder is not None
    (settings.folder / "film").mkdir(parents=True)
    write_video(settings.folder / "film" / "clip.avi", FRAMES)
    app = create_workspace(settings)
    with serving(app) as url:
        running = Running(url, app)
        api = running.api()
        meta = sly.ProjectMeta.from_json(api.project.get_meta(1)).add_obj_classes(
            [
                sly.ObjClass("cat", sly.Bitmap),
                sly.ObjClass("roof", sly.Polygon),
                sly.ObjClass("car", sly.Rectangle),
            ]
        )
        meta = meta.add_tag_metas(
            [
                sly.TagMeta("review", sly.TagValueType.NONE),
                sly.TagMeta("kind", sly.TagValueType.ONEOF_STRING, possible_values=["a", "b"]),
            ]
        )
        api.project.update_meta(1, meta)
        meta = sly.ProjectMeta.from_json(api.project.get_meta(1))
        dataset = api.dataset.get_info_by_name(1, "film")
        (video,) = api.video.get_list(dataset.id)
        yield Film(running, api, video.id, dataset.id, meta)


def bitmap_of(side: int = 10) -> dict[str, Any]:
    mask = np.zeros((64, 96), bool)
    mask[5 : 5 + side, 7 : 7 + side] = True
    (x, y), data = encode_bitmap(mask)  # type: ignore[misc]
    return {"bitmap": {"origin": [x, y], "data": data}}


def figure_on(object_id: int, frame: int, **more: object) -> dict[str, Any]:
    figure = {"objectId": object_id, "geometryType": "bitmap", "geometry": bitmap_of()}
    return {**figure, "meta": {"frame": frame}, **more}
