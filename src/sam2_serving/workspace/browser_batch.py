"""The page's own API: many objects of one class, on all images of a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from sam2_serving.workspace.answers import BadRequest, NotFound
from sam2_serving.workspace.api.figures import figure_json
from sam2_serving.workspace.api.strict import MAX_ID, Id
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.crops import Window, cut
from sam2_serving.workspace.figure_lists import count_by_class, figures_of_class
from sam2_serving.workspace.pictures import encode_jpeg, encode_png, read_rgb
from sam2_serving.workspace.security import OfPage, caller_of_page
from sam2_serving.workspace.tables import Entity

router = APIRouter(prefix="/workspace/api", dependencies=[Depends(caller_of_page)])

_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_ENLARGED_PIXELS = 256 * 256
"""A smaller crop is likely enlarged on the page, where JPEG's blocks would show."""


@router.get("/datasets/{dataset_id}/classes")
def classes_of_dataset(dataset_id: Id, caller: OfPage, here: Here) -> dict[int, int]:
    """Say how many figures with an extent each class has on the dataset's images."""
    return count_by_class(here.store, [one.id for one in _images(dataset_id, caller, here)])


@router.get("/datasets/{dataset_id}/figures")
def figures_of_dataset(
    dataset_id: Id, caller: OfPage, here: Here, class_id: int = Query(ge=0, le=MAX_ID)
) -> list[dict[str, Any]]:
    """List a class's figures with an extent on the dataset's images, image by image."""
    images = {one.id: one for one in _images(dataset_id, caller, here)}
    found = figures_of_class(here.store, list(images), class_id)
    return [figure_json(figure, images[figure.entity_id], here) for figure in found]


@router.get("/images/{image_id}/crop")
def image_crop(
    image_id: Id,
    caller: OfPage,
    here: Here,
    left: int = Query(),
    top: int = Query(),
    right: int = Query(),
    bottom: int = Query(),
    side: int = Query(ge=16, le=2048),
) -> Response:
    """Send a part of an image (`right` and `bottom` are not in it), shrunk to `side` at most."""
    image = here.image(caller, image_id)
    window = Window(left, top, right, bottom)
    if not window.lies_in(image.width, image.height):
        raise BadRequest(f"The image has {image.width} x {image.height} pixels.")
    try:
        pixels = here.decoded.get(image.hash, lambda: np.asarray(read_rgb(here.file_of(image))))
    except OSError as error:
        raise NotFound(f"The file {image.name} cannot be read.") from error
    crop = cut(pixels, window, side)
    if crop.shape[0] * crop.shape[1] <= _ENLARGED_PIXELS:
        return Response(encode_png(crop), media_type="image/png", headers=_FOR_EVER)
    return Response(encode_jpeg(crop), media_type="image/jpeg", headers=_FOR_EVER)


def _images(dataset_id: int, caller: Caller, here: Workspace) -> list[Entity]:
    return here.media_of(caller, "image", dataset_id, None)
