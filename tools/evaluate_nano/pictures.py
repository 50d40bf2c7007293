"""A sheet of held-out scenes with the masks that nano gives, to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from evaluate_nano.heldout import Image, Mask, Object, scenes
from evaluate_nano.images import box_of, centre_of

_COLUMNS = 6
_COLOURS = ((66, 133, 244), (219, 68, 55), (244, 180, 0), (15, 157, 88), (171, 71, 188))


def draw_sheet(predictor: Any, path: Path) -> None:
    """Write a picture: clicks on easy scenes, boxes on easy and on hard ones.

    Args:
        predictor: sam2's image predictor over nano.
        path: picture to write, .jpg or .png.
    """
    rows = []
    for difficulty, boxed in (("easy", False), ("easy", True), ("hard", True)):
        chosen = [s for s, _ in zip(scenes(difficulty, 1000), range(_COLUMNS), strict=False)]
        rows.append(np.concatenate([_shown(predictor, scene, boxed) for scene in chosen], axis=1))
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def _shown(predictor: Any, scene: list[Object], boxed: bool) -> Image:
    predictor.set_image(scene[0].image)
    picture = scene[0].image.copy()
    for number, thing in enumerate(sorted(scene, key=lambda t: -int(t.mask.sum()))):
        colour = _COLOURS[number % len(_COLOURS)]
        if boxed:
            box = box_of(thing.mask)
            found, _, _ = predictor.predict(box=np.array(box), multimask_output=False)
            _tint(picture, found[0] > 0, colour)
            cv2.rectangle(picture, box[:2], box[2:], colour, 1)
        else:
            click = centre_of(thing.mask)
            found, said, _ = predictor.predict(np.array([click]), np.array([1]))
            _tint(picture, found[int(said.argmax())] > 0, colour)
            cv2.circle(picture, click, 3, (255, 255, 255), -1)
            cv2.circle(picture, click, 3, (0, 0, 0), 1)
    return picture


def _tint(picture: Image, mask: Mask, colour: tuple[int, int, int]) -> None:
    picture[mask] = (picture[mask] * 0.45 + np.array(colour) * 0.55).astype(np.uint8)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, (255, 255, 255), 1)
