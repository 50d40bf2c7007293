"""Annotations: all figures of an image at once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field

from sam2_serving.workspace.answers import BadRequest
from sam2_serving.workspace.api.figures import LabelContent, LabelFields, new_figure
from sam2_serving.workspace.api.strict import Strict
from sam2_serving.workspace.context import Caller, Here, Workspace
from sam2_serving.workspace.geometry import GEOMETRY_KEYS
from sam2_serving.workspace.places import image_place
from sam2_serving.workspace.security import ByToken, caller_by_token
from sam2_serving.workspace.tables import Entity, Figure, ObjectClass

router = APIRouter(dependencies=[Depends(caller_by_token)])


class AnnotationsInfo(Strict):
    """Contract 8.2, annotations.info."""

    imageId: int
    withCustomBigData: bool
    forceMetadataForLinks: bool
    integerCoords: bool


class AnnotationsBulkInfo(Strict):
    """Contract 8.1, annotations.bulk.info; fields as the SDK sends them."""

    datasetId: int
    imageIds: list[int] = Field(min_length=1, max_length=1000)
    withCustomBigData: bool
    forceMetadataForLinks: bool = True
    integerCoords: bool


class Size(Strict):
    """An image's size. Contract 8.2, annotations.info."""

    height: int
    width: int


class NewLabel(LabelFields):
    """An object of an annotation. Contract 2.3."""

    classTitle: str


class NewAnnotation(Strict):
    """An annotation. Contract 2.3 and 8.2, annotations.info."""

    description: str = ""
    size: Size
    tags: list[Any] = Field([], max_length=0)
    objects: list[NewLabel]
    customBigData: dict[str, Any] = Field(default_factory=dict)


class ImageAnnotation(Strict):
    """One image's entry of annotations.bulk.add."""

    imageId: int
    annotation: NewAnnotation


class AnnotationsBulkAdd(Strict):
    """Contract 8.1, annotations.bulk.add; fields as the SDK sends them."""

    datasetId: int
    annotations: list[ImageAnnotation] = Field(min_length=1, max_length=1000)
    skipBoundsValidation: bool = False


@router.post("/annotations.info")
def annotations_info(body: AnnotationsInfo, caller: ByToken, here: Here) -> dict[str, Any]:
    """Return an image's annotation."""
    return annotations_json([here.image(caller, body.imageId)], here)[0]


@router.post("/annotations.bulk.info")
def annotations_bulk_info(
    body: AnnotationsBulkInfo, caller: ByToken, here: Here
) -> list[dict[str, Any]]:
    """Return the annotations of several images of a dataset."""
    here.dataset(caller, body.datasetId)
    return annotations_json([here.image(caller, one) for one in body.imageIds], here)


@router.post("/annotations.bulk.add")
def annotations_bulk_add(body: AnnotationsBulkAdd, caller: ByToken, here: Here) -> dict[str, Any]:
    """Replace the annotations of images; all of them or, when one is wrong, none."""
    here.dataset(caller, body.datasetId)
    classes = {one.title: one for one in here.store.classes()}
    figures: list[Figure] = []
    for index, entry in enumerate(body.annotations):
        where = f"annotations.{index}"
        image = here.image(caller, entry.imageId)
        if image.dataset_id != body.datasetId:
            raise BadRequest(f"{where}.imageId: not in dataset {body.datasetId}.")
        if (entry.annotation.size.width, entry.annotation.size.height) != (
            image.width,
            image.height,
        ):
            raise BadRequest(
                f"{where}.annotation.size: the image has {image.width} x {image.height}."
            )
        bounded = not body.skipBoundsValidation
        figures += _figures_of(caller, image, entry.annotation, classes, where, bounded)
    here.store.add_figures(figures, replace_in=[entry.imageId for entry in body.annotations])
    return {"success": True}


def _figures_of(
    caller: Caller,
    image: Entity,
    annotation: NewAnnotation,
    classes: dict[str, ObjectClass],
    where: str,
    bounded: bool,
) -> list[Figure]:
    figures = []
    place = image_place(image)
    for index, label in enumerate(annotation.objects):
        at = f"{where}.annotation.objects.{index}"
        if label.classTitle not in classes:
            raise BadRequest(f"{at}.classTitle: there is no class {label.classTitle!r}.")
        key = GEOMETRY_KEYS.get(label.geometryType, "")
        content = LabelContent(label.geometryType, {key: getattr(label, key, None)}, label)
        figures.append(new_figure(caller, place, classes[label.classTitle], content, at, bounded))
    return figures


def annotations_json(images: list[Entity], here: Workspace) -> list[dict[str, Any]]:
    """Shape annotations. Contract 8.2, annotations.info."""
    titles = {one.id: one.title for one in here.store.classes()}
    objects: dict[int, list[dict[str, Any]]] = {image.id: [] for image in images}
    for figure in here.store.figures(list(objects)):
        objects[figure.entity_id].append(label_json(figure, titles[figure.class_id]))
    return [
        {
            "imageId": image.id,
            "imageName": image.name,
            "createdAt": image.created_at,
            "updatedAt": image.updated_at,
            "annotation": {
                "description": "",
                "tags": [],
                "size": {"height": image.height, "width": image.width},
                "objects": objects[image.id],
                "customBigData": {},
            },
        }
        for image in images
    ]


def label_json(figure: Figure, class_title: str) -> dict[str, Any]:
    """Shape a figure as an object of an annotation. Contract 8.2, annotations.info."""
    prompt = figure.meta.get("smartToolInput")
    return {
        "id": figure.id,
        "classId": figure.class_id,
        "classTitle": class_title,
        "description": figure.description,
        "tags": figure.tags,
        "labelerLogin": figure.created_by,
        "createdAt": figure.created_at,
        "updatedAt": figure.updated_at,
        "nnCreated": figure.nn_created,
        "nnUpdated": figure.nn_updated,
        **({"smartToolInput": prompt} if prompt is not None else {}),
        **figure.geometry,
    }
