"""Sheets of pictures with the masks that nano gives, to be looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage

from evaluate_nano.clicks import box_of, centre_of
from evaluate_nano.heldout import Image, Mask, Object, scenes
from sam2_serving.masks import Box
from sam2_serving.model import Point, Prompts, SegmentationModel, find_all, segment

_COLUMNS = 6
_PHOTOGRAPHS = (
    ("astronaut.png", Point(220, 120), Box(10, 0, 420, 511)),
    ("coffee.png", Point(300, 190), Box(150, 60, 470, 330)),
    ("chelsea.png", Point(215, 120), Box(90, 0, 380, 300)),
)
"""Of the workspace's samples: a face and the woman, coffee and its cup, a cat's nose and head."""
_ROW = 200
_QUALITY = 80
_COLOURS = ((66, 133, 244), (219, 68, 55), (244, 180, 0), (15, 157, 88), (171, 71, 188))


def draw_sheet(model: SegmentationModel, path: Path) -> None:
    """Write a picture: clicks on easy scenes, boxes on easy and on hard ones, everything on both.

    Args:
        model: the network.
        path: JPEG to write.
    """
    rows = []
    for difficulty, boxed in (("easy", False), ("easy", True), ("hard", True)):
        chosen = [s for s, _ in zip(scenes(difficulty, 1000), range(_COLUMNS), strict=False)]
        rows.append(np.concatenate([_shown(model, scene, boxed) for scene in chosen], axis=1))
    for difficulty in ("easy", "hard"):
        images = [
            s[0].image for s, _ in zip(scenes(difficulty, 1000), range(_COLUMNS), strict=False)
        ]
        rows.append(np.concatenate([_everything(model, image) for image in images], axis=1))
    _write(path, np.concatenate(rows))


def draw_photographs(model: SegmentationModel, path: Path) -> None:
    """Write a picture of photographs, which nano was not trained for: a click, a box, everything.

    Args:
        model: the network.
        path: JPEG to write.
    """
    folder = Path(skimage.__file__).parent / "data"
    rows = []
    for name, click, box in _PHOTOGRAPHS:
        read = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
        assert read is not None, name
        image = np.ascontiguousarray(read[..., ::-1], dtype=np.uint8)
        asked = [
            _answer(model, image, prompts) for prompts in (Prompts((click,)), Prompts(box=box))
        ]
        asked.append(_everything(model, image))
        width = round(image.shape[1] * _ROW / image.shape[0])
        rows.append(np.concatenate([cv2.resize(one, (width, _ROW)) for one in asked], axis=1))
    widest = max(row.shape[1] for row in rows)
    sheet = np.full((_ROW * len(rows), widest, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        sheet[number * _ROW : (number + 1) * _ROW, : row.shape[1]] = row
    _write(path, sheet)


def _write(path: Path, picture: Image) -> None:
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


def _answer(model: SegmentationModel, image: Image, prompts: Prompts) -> Image:
    embedding = model.embed(image)
    picture = image.copy()
    found = model.to_mask(segment(model, embedding, prompts), embedding.image_size)
    _tint(picture, found, _COLOURS[0])
    if prompts.box is not None:
        _frame(picture, prompts.box, _COLOURS[1])
    for point in prompts.points:
        _dot(picture, point)
    return picture


def _shown(model: SegmentationModel, scene: list[Object], boxed: bool) -> Image:
    embedding = model.embed(scene[0].image)
    picture = scene[0].image.copy()
    for number, thing in enumerate(sorted(scene, key=lambda t: -int(t.mask.sum()))):
        colour = _COLOURS[number % len(_COLOURS)]
        box, click = box_of(thing.mask), Point(*centre_of(thing.mask))
        prompts = Prompts(box=box) if boxed else Prompts((click,))
        _tint(picture, model.to_mask(segment(model, embedding, prompts), (256, 256)), colour)
        if boxed:
            _frame(picture, box, colour)
        else:
            _dot(picture, click)
    return picture


def _everything(model: SegmentationModel, image: Image) -> Image:
    picture = image.copy()
    found = sorted(find_all(model, image), key=lambda one: -one.area)
    for number, one in enumerate(found):
        _tint(picture, one.mask(), _COLOURS[number % len(_COLOURS)])
    return picture


def _frame(picture: Image, box: Box, colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = (int(side) for side in box)
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour, 1)


def _dot(picture: Image, point: Point) -> None:
    place = (int(point.x), int(point.y))
    inner, outer = ((255, 255, 255), (0, 0, 0)) if point.positive else ((0, 0, 0), (255, 255, 255))
    cv2.circle(picture, place, 3, inner, -1)
    cv2.circle(picture, place, 3, outer, 1)


def _tint(picture: Image, mask: Mask, colour: tuple[int, int, int]) -> None:
    picture[mask] = (picture[mask] * 0.45 + np.array(colour) * 0.55).astype(np.uint8)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, (255, 255, 255), 1)
