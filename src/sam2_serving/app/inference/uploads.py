"""Predictions that are stored on the platform instead of being answered (contract, 2.2)."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from supervisely.annotation.json_geometries_map import GET_GEOMETRY_FROM_STR

from sam2_serving.app.figures import draw_figure
from sam2_serving.app.inference.predictions import Json
from sam2_serving.app.patience import Patience
from sam2_serving.app.platform.projects import Projects
from sam2_serving.app.reporting import (
    BadRequest,
    NotServedYet,
    PlatformTimeout,
    PlatformUnavailable,
    UnsupportedGeometry,
)
from sam2_serving.app.tracking.figures import mask_of
from sam2_serving.masks import Box, tight_box
from sam2_serving.masks.boxes import BoolMask

UploadMode = Literal["append", "replace", "iou_merge"]
SUFFIX = "_nn"
"""The SDK's ending for a class whose name the project has for another shape."""
SAME_OBJECT = 0.9
_TRIES = 5
_PAUSE_S = 0.5
_AT_ONCE = 100
_COLOUR = "#1890FF"


@dataclass(frozen=True)
class UploadRules:
    """How predictions are stored.

    Attributes:
        output_project_id: where; None: the project of the image.
        suffix: ending of a class whose name the project has for another shape.
        max_overlap: with `iou_merge`, objects that overlap one of their class more are left out.
    """

    mode: UploadMode
    output_project_id: int | None = None
    suffix: str = SUFFIX
    max_overlap: float = SAME_OBJECT


@dataclass
class Uploads:
    """Stores the predictions of one request. Thread-safe."""

    projects: Projects
    rules: UploadRules
    max_pixels: int
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _classes: dict[int, dict[str, tuple[int, str]]] = field(default_factory=dict)
    _project_of: dict[int, int] = field(default_factory=dict)

    def store(self, prediction: Json, patience: Patience) -> Json:
        """Store a prediction; returns what is told of it, without what is stored now.

        Raises:
            BadRequest: it is not of an image of the platform.
            AppError: it is not stored, or nobody knows whether it is.
        """
        image_id, dataset_id = prediction["image_id"], prediction["dataset_id"]
        if image_id is None or dataset_id is None:
            raise BadRequest("Only what is found in images of the platform can be stored there.")
        project_id = self._project(dataset_id, prediction["project_id"], patience)
        annotation = prediction["annotation"]
        labels = self._with_classes(project_id, annotation["objects"], patience)
        if self.rules.mode == "replace":
            new = {**annotation, "objects": [_placed(one) for one in labels]}
            patience.insist(lambda: self.projects.replace_objects(dataset_id, image_id, new))
        else:
            before = patience.insist(lambda: self.projects.objects(image_id))
            if self.rules.mode == "iou_merge":
                size = annotation["size"]["width"], annotation["size"]["height"]
                labels = self._without_known(labels, before, size)
            known = {one.get("id") for one in before}
            for start in range(0, len(labels), _AT_ONCE):
                some = labels[start : start + _AT_ONCE]
                known = self._add(image_id, some, known, patience)
        return {**prediction, "annotation": None, "data": None, "found": None}

    def _project(self, dataset_id: int, stated: int | None, patience: Patience) -> int:
        with self._lock:
            project_id = stated or self._project_of.get(dataset_id)
            if project_id is None:
                record = patience.insist(lambda: self.projects.dataset(dataset_id))
                project_id = record.get("projectId")
                if not isinstance(project_id, int):
                    raise PlatformUnavailable("The platform does not say what project this is.")
                self._project_of[dataset_id] = project_id
        if self.rules.output_project_id not in (None, project_id):
            raise NotServedYet(
                "Not supported yet: predictions are stored in the images' own project only."
            )
        return project_id

    def _with_classes(self, project_id: int, labels: list[Json], patience: Patience) -> list[Json]:
        """Give each label a class that the project has; classes that it lacks are added."""
        if not labels:
            return []
        wanted, shape = labels[0]["classTitle"], labels[0]["geometryType"]
        with self._lock:
            if project_id not in self._classes:
                self._classes[project_id] = self._read(project_id, patience)
            name = self._fitting(project_id, wanted, shape)
            if name not in self._classes[project_id]:
                self._create(project_id, name, shape, patience)
            class_id, _ = self._classes[project_id][name]
        # one request has one class, and one shape
        return [{**one, "classTitle": name, "classId": class_id} for one in labels]

    def _fitting(self, project_id: int, wanted: str, shape: str) -> str:
        known = self._classes[project_id]
        for name in (wanted, wanted + self.rules.suffix):
            if name not in known or known[name][1] in (shape, "any"):
                return name
        raise BadRequest(
            f"The project has a class {ascii(wanted)[1:-1][:100]}, but for another shape than "
            f"{shape}: set another class name, or another output_geometry."
        )

    def _create(self, project_id: int, name: str, shape: str, patience: Patience) -> None:
        def create() -> None:
            meta = self.projects.meta(project_id)
            new = {
                "title": name,
                "description": "",
                "shape": shape,
                "color": _COLOUR,
                "geometry_config": {},
                "hotkey": "",
            }
            there = {one.get("title") for one in meta.get("classes", [])}
            if name not in there:
                meta["classes"] = [*meta.get("classes", []), new]
                self.projects.set_meta(project_id, meta)

        patience.insist(create)
        self._classes[project_id] = self._read(project_id, patience)
        if name not in self._classes[project_id]:
            raise PlatformUnavailable("The platform did not add a class to the project.")

    def _read(self, project_id: int, patience: Patience) -> dict[str, tuple[int, str]]:
        meta = patience.insist(lambda: self.projects.meta(project_id))
        classes = meta.get("classes")
        known = [one for one in classes or [] if isinstance(one, dict) and one.get("id")]
        return {str(one.get("title")): (int(one["id"]), str(one.get("shape"))) for one in known}

    def _add(
        self, image_id: int, labels: list[Json], known: set[Any], patience: Patience
    ) -> set[Any]:
        """Add objects once; returns the ids of all that the image has then."""
        figures = [_figure(one) for one in labels]
        for attempt in range(1, _TRIES + 1):
            try:
                return known | set(self.projects.add_objects(image_id, figures))
            except (PlatformUnavailable, PlatformTimeout) as problem:
                # Storing is not safe to repeat: look whether it happened.
                there = self._ids(image_id, patience)
                if len(there - known) >= len(labels):
                    return there
                if there - known or attempt == _TRIES:
                    raise type(problem)(
                        f"{problem} Look at image {image_id}: its new objects may be there in part."
                    ) from problem
                patience.rest(_PAUSE_S)
        raise AssertionError("unreachable")

    def _ids(self, image_id: int, patience: Patience) -> set[Any]:
        return {one.get("id") for one in patience.insist(lambda: self.projects.objects(image_id))}

    def _without_known(
        self, labels: list[Json], before: list[Json], size: tuple[int, int]
    ) -> list[Json]:
        drawn = []
        for one in before:
            if labels and one.get("classTitle") == labels[0]["classTitle"]:
                try:
                    drawn.append(_Area.of(draw_figure(one, size, self.max_pixels)))
                except UnsupportedGeometry:
                    continue  # a point or a line has no area to overlap
        known = [one for one in drawn if one is not None]
        return [one for one in labels if not self._is_known(one, known, size)]

    def _is_known(self, label: Json, known: list[_Area], size: tuple[int, int]) -> bool:
        area = _Area.of(mask_of(label["geometryType"], label, size, "The object"))
        return area is not None and any(area.iou(one) >= self.rules.max_overlap for one in known)


@dataclass(frozen=True)
class _Area:
    """A mask in its tight box: hundreds of masks of a large image would not fit in memory."""

    box: Box
    part: BoolMask
    pixels: int

    @classmethod
    def of(cls, mask: BoolMask) -> _Area | None:
        """Cut a mask (bool HxW) out; None if it is empty."""
        box = tight_box(mask)
        if box is None:
            return None
        part = mask[_rows_and_columns(box, Box(0, 0, 0, 0))].copy()
        return cls(box, part, int(np.count_nonzero(part)))

    def iou(self, other: _Area) -> float:
        """Return intersection over union."""
        (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = self.box, other.box
        both = Box(max(ax0, bx0), max(ay0, by0), min(ax1, bx1), min(ay1, by1))
        if both.x0 >= both.x1 or both.y0 >= both.y1:
            return 0.0
        mine = self.part[_rows_and_columns(both, self.box)]
        theirs = other.part[_rows_and_columns(both, other.box)]
        shared = int(np.count_nonzero(mine & theirs))
        return shared / (self.pixels + other.pixels - shared)


def _rows_and_columns(box: Box, origin: Box) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (int(side) for side in box)
    left, top = int(origin.x0), int(origin.y0)
    return slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)


def _placed(label: Json) -> Json:
    """Bring a label from pixels to the platform's coordinates, as the SDK does when it uploads."""
    shape = GET_GEOMETRY_FROM_STR(label["geometryType"])
    placed: Json = shape._to_subpixel_coordinate_system_json(copy.deepcopy(label))
    return placed


def _figure(label: Json) -> Json:
    """Return a label as the SDK adds one: its geometry has a key of its own as well."""
    placed = _placed(label)
    shape = "bitmap" if "bitmap" in placed else "points"
    return {**placed, "geometry": {shape: placed[shape]}}
