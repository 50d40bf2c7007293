"""What there is to export: media, the pictures with figures on them, the figures as masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from sam2_serving.masks import Polygon, decode_bitmap
from sam2_serving.workspace.answers import Refusal
from sam2_serving.workspace.api.videos import read_frame
from sam2_serving.workspace.api.volumes import read_slice
from sam2_serving.workspace.context import Workspace
from sam2_serving.workspace.exporting.jobs import Export, ExportWish
from sam2_serving.workspace.pictures import encode_png
from sam2_serving.workspace.places import Place, place_of
from sam2_serving.workspace.tables import Entity, Figure, ObjectClass, Photo
from sam2_serving.workspace.volumes import Window

BoolMask = npt.NDArray[np.bool_]

MOST_WARNINGS = 100


@dataclass(frozen=True)
class Picture:
    """One picture: an image, a frame, a slice or a photo.

    Attributes:
        place: where its figures are.
        name: of its file in the export, relative; PNG for frames and slices.
        photo: the photo that it is, if it is one.
    """

    place: Place
    name: str
    photo: Photo | None = None


@dataclass(frozen=True)
class Source:
    """Reads the workspace for one export, one medium at a time.

    Attributes:
        here: the workspace.
        export: what is asked for; told how far it is, and what was left out.
    """

    here: Workspace
    export: Export

    @property
    def wish(self) -> ExportWish:
        """What is asked for."""
        return self.export.wish

    def count(self) -> int:
        """Return how many steps there are."""
        return sum(self.weight(one) for one in self._entities())

    def weight(self, entity: Entity) -> int:
        """Return the steps of a medium: its pictures, and one for what is about all of them."""
        return 1 if entity.kind == "image" else 1 + len(self.here.store.places(entity.id))

    def media(self, *kinds: str) -> Iterator[Entity]:
        """Yield the media of some kinds (none given: all), dataset by dataset, by name."""
        for entity in self._entities():
            if not kinds or entity.kind in kinds:
                yield entity

    def _entities(self) -> list[Entity]:
        found = self.here.store.entities(self.wish.dataset_ids, kind=None)
        return sorted(found, key=lambda one: (one.dataset_id, one.path))

    def step(self, steps: int = 1) -> None:
        """Count steps that are done."""
        self.export.done += steps

    def warn(self, sentence: str) -> None:
        """Tell what was left out."""
        if len(self.export.warnings) < MOST_WARNINGS:
            self.export.warnings.append(sentence)

    def pictures(self, entity: Entity) -> Iterator[Picture]:
        """Yield an image, or those places of another medium that have figures, in order."""
        if entity.kind == "image":
            yield Picture(place_of(entity, "", None), entity.path)
            return
        keys = sorted(self.here.store.places(entity.id), key=_order)
        for key in keys:
            photo = self.here.store.photo(int(key[6:])) if entity.kind == "cloud" else None
            try:
                place = place_of(entity, key, photo)
            except Refusal as error:
                self.warn(f"{entity.path}: {error.detail}")
                self.step()
                continue
            yield Picture(place, _name_of(entity, key, photo), photo)
        self.step()

    def figures(self, place: Place) -> list[Figure]:
        """Return the figures of a picture in the order of their numbers."""
        return self.here.store.figures([place.entity.id], place.key)

    def masks(self, picture: Picture) -> Iterator[tuple[Figure, BoolMask]]:
        """Yield those figures of a picture that cover pixels of it, as masks of its size."""
        for figure in self.figures(picture.place):
            mask = draw_figure(figure, picture.place.width, picture.place.height)
            if mask is not None and mask.any():
                yield figure, mask
            else:
                kind = "a point" if mask is None else "nothing of it is on the picture"
                self.warn(f"{picture.name}: figure {figure.id} is left out: {kind}.")

    def classes(self) -> list[ObjectClass]:
        """Return the classes."""
        return self.here.store.classes()

    def content(self, picture: Picture) -> bytes:
        """Return a frame or a slice (under the volume's own window) as PNG.

        Raises:
            Refusal: it cannot be read.
        """
        entity = picture.place.entity
        name, _, number = picture.place.key.partition(":")
        if entity.kind == "video":
            return encode_png(read_frame(entity, int(number), self.here))
        meta = entity.facts["meta"]
        window = Window(meta["windowCenter"], meta["windowWidth"] or 1.0)
        return encode_png(read_slice(entity, name, int(number), window, self.here))


def draw_figure(figure: Figure, width: int, height: int) -> BoolMask | None:
    """Return a figure as bool HxW, cut to its picture; None for a shape without an area.

    The same pixels as the page shows and the SDK draws: corners of outlines belong to them, those
    of holes do not, a box holds its last pixels.
    """
    if figure.geometry_type == "bitmap":
        return _placed(figure.geometry["bitmap"], width, height)
    if figure.geometry_type == "polygon":
        points = whole_points(figure.geometry["points"])
        rings = [np.array(ring, np.int32) for ring in (points["exterior"], *points["interior"])]
        return Polygon(rings[0], tuple(rings[1:])).draw(height, width)
    if figure.geometry_type == "rectangle":
        xs, ys = zip(*whole_points(figure.geometry["points"])["exterior"], strict=True)
        mask = np.zeros((height, width), bool)
        mask[max(min(ys), 0) : max(ys) + 1, max(min(xs), 0) : max(xs) + 1] = True
        return mask
    return None


def whole_points(points: dict[str, Any]) -> dict[str, Any]:
    """Return an outline with the pixels that its corners lie in."""

    def whole(ring: list[list[float]]) -> list[list[int]]:
        return [[int(np.floor(x)), int(np.floor(y))] for x, y in ring]

    holes = [whole(hole) for hole in points.get("interior", [])]
    return {"exterior": whole(points["exterior"]), "interior": holes}


def _placed(bitmap: dict[str, Any], width: int, height: int) -> BoolMask:
    tight = decode_bitmap(bitmap["data"])
    mask = np.zeros((height, width), bool)
    x, y = bitmap["origin"]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + tight.shape[1], width), min(y + tight.shape[0], height)
    if x0 < x1 and y0 < y1:
        mask[y0:y1, x0:x1] = tight[y0 - y : y1 - y, x0 - x : x1 - x]
    return mask


def _order(key: str) -> tuple[str, int]:
    name, _, number = key.partition(":")
    return name, int(number)


def _name_of(entity: Entity, key: str, photo: Photo | None) -> str:
    if photo is not None:
        return photo.path
    name, _, number = key.partition(":")
    folder = PurePosixPath(entity.path)
    inside = f"{int(number):06d}.png" if entity.kind == "video" else f"{name}/{int(number):05d}.png"
    return str(folder / inside)
