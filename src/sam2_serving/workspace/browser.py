"""The page's own API: what is there to label, pictures, classes, figures, members."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import FileResponse
from pydantic import Field, SecretStr

from sam2_serving.workspace.answers import BadRequest, Forbidden, NotFound
from sam2_serving.workspace.api.figures import LabelContent, figure_json, new_figure
from sam2_serving.workspace.api.strict import MAX_ID, Strict
from sam2_serving.workspace.context import OWNER, Caller, Here
from sam2_serving.workspace.security import OfPage, caller_of_page
from sam2_serving.workspace.tables import Dataset, Entity, ObjectClass

router = APIRouter(prefix="/workspace", dependencies=[Depends(caller_of_page)])

_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}


Id = Annotated[int, Path(ge=0, le=MAX_ID)]


class NewClass(Strict):
    """A class that a person adds on the page."""

    title: Annotated[str, Field(min_length=1, max_length=256, pattern=r"\S")]
    color: Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]


class Origin(Strict):
    """Top left pixel of a bitmap, in the image's pixels."""

    x: int
    y: int


class SavedMask(Strict):
    """A mask that a person accepted, as the Smart Tool answered it, and how it was asked for."""

    class_id: int
    origin: Origin
    bitmap: str
    prompt: dict[str, Any] | None = None
    description: str = ""
    nn_created: bool = True


class MaskLabel(Strict):
    """What a figure keeps of a saved mask besides its geometry."""

    description: str
    nnCreated: bool
    nnUpdated: bool
    smartToolInput: dict[str, Any] | None


class NewMember(Strict):
    """Someone who gets a token of their own."""

    login: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]
    token: SecretStr | None = Field(None, min_length=8)
    dataset_ids: list[int] | None = None


@router.get("/requests")
def read_requests(here: Here) -> dict[str, int]:
    """Say how often each API route was called since the start or the last reset."""
    return here.counts.read()


@router.delete("/requests")
def reset_requests(here: Here) -> dict[str, bool]:
    """Count from zero again."""
    here.counts.reset()
    return {"success": True}


@router.get("/api/session")
def session(caller: OfPage, here: Here) -> dict[str, Any]:
    """Tell the page how to reach the app, and what it works on."""
    return {
        "session_token": here.settings.session_token.get_secret_value(),
        "app_url": here.settings.app_url,
        "project": here.store.project().name,
        "login": caller.login,
    }


@router.get("/api/media")
def media(caller: OfPage, here: Here) -> dict[str, Any]:
    """List the datasets with their images."""
    counts = here.store.figure_counts()
    datasets = [one for one in here.store.datasets() if caller.sees(one.id)]
    images: dict[int, list[dict[str, Any]]] = {one.id: [] for one in datasets}
    for image in here.store.entities(list(images)):
        images[image.dataset_id].append(_image_json(image, counts.get(image.id, 0)))
    return {"datasets": [_dataset_json(one, images[one.id]) for one in datasets]}


@router.get("/api/images/{image_id}")
def image_info(image_id: Id, caller: OfPage, here: Here) -> dict[str, Any]:
    """Describe an image."""
    return _image_json(here.image(caller, image_id), here.store.figure_counts().get(image_id, 0))


@router.get("/api/images/{image_id}/view", response_class=FileResponse)
def image_view(image_id: Id, caller: OfPage, here: Here) -> FileResponse:
    """Send the image in a form that a browser can show."""
    image = here.image(caller, image_id)
    try:
        file, mime = here.media.browser_view(image.path, image.mime, image.hash)
    except OSError as error:
        raise NotFound(f"The file of image {image_id} cannot be read.") from error
    return FileResponse(file, media_type=mime, headers=_FOR_EVER)


@router.get("/api/images/{image_id}/thumbnail", response_class=FileResponse)
def image_thumbnail(image_id: Id, caller: OfPage, here: Here) -> FileResponse:
    """Send a small picture of the image."""
    image = here.image(caller, image_id)
    try:
        file = here.media.thumbnail(image.path, image.hash)
    except OSError as error:
        raise NotFound(f"The file of image {image_id} cannot be read.") from error
    return FileResponse(file, media_type="image/jpeg", headers=_FOR_EVER)


@router.get("/api/classes")
def classes(here: Here) -> list[dict[str, Any]]:
    """List the classes."""
    return [_class_json(one) for one in here.store.classes()]


@router.post("/api/classes", status_code=201)
def add_class(body: NewClass, here: Here) -> dict[str, Any]:
    """Add a class of masks."""
    added = here.store.add_class(body.title.strip(), "bitmap", body.color.upper())
    if added is None:
        raise BadRequest(f"title: there is a class {body.title.strip()!r} already.")
    return _class_json(added)


@router.get("/api/images/{image_id}/figures")
def figures(image_id: Id, caller: OfPage, here: Here) -> list[dict[str, Any]]:
    """List an image's figures."""
    image = here.image(caller, image_id)
    return [figure_json(figure, image, here) for figure in here.store.figures([image.id])]


@router.post("/api/images/{image_id}/figures", status_code=201)
def save_figure(image_id: Id, body: SavedMask, caller: OfPage, here: Here) -> dict[str, Any]:
    """Save a mask; it is on the disk when the answer comes."""
    image = here.image(caller, image_id)
    by_id = {one.id: one for one in here.store.classes()}
    if body.class_id not in by_id:
        raise BadRequest(f"class_id: there is no class {body.class_id}.")
    label = MaskLabel(
        description=body.description,
        nnCreated=body.nn_created,
        nnUpdated=False,
        smartToolInput=body.prompt,
    )
    geometry = {"bitmap": {"origin": [body.origin.x, body.origin.y], "data": body.bitmap}}
    content = LabelContent("bitmap", geometry, label)
    figure = new_figure(caller, image, by_id[body.class_id], content, "bitmap", bounded=True)
    here.store.add_figures([figure])
    return figure_json(figure, image, here)


@router.delete("/api/figures/{figure_id}")
def delete_figure(figure_id: Id, caller: OfPage, here: Here) -> dict[str, bool]:
    """Delete a figure."""
    here.figure(caller, figure_id)
    here.store.remove_figures([figure_id])
    return {"success": True}


@router.put("/api/members")
def put_member(body: NewMember, caller: OfPage, here: Here) -> dict[str, Any]:
    """Give someone a token, limited to some datasets or not; the only time it is shown."""
    _only_owner(caller)
    for dataset_id in body.dataset_ids or []:
        here.dataset(caller, dataset_id)
    token = body.token.get_secret_value() if body.token else secrets.token_urlsafe(24)
    here.store.put_member(body.login, token, body.dataset_ids)
    return {"login": body.login, "token": token, "dataset_ids": body.dataset_ids}


@router.delete("/api/members/{login}")
def remove_member(login: str, caller: OfPage, here: Here) -> dict[str, bool]:
    """Revoke someone's token."""
    _only_owner(caller)
    if not here.store.remove_member(login):
        raise NotFound(f"There is no member {login!r}.")
    return {"success": True}


def _only_owner(caller: Caller) -> None:
    if caller.login != OWNER:
        raise Forbidden("Only the owner gives and revokes tokens.")


def _image_json(image: Entity, figure_count: int) -> dict[str, Any]:
    base = f"/workspace/api/images/{image.id}"
    # The content's hash makes the address change with the content, so it may be kept for ever.
    version = image.hash[:12].replace("/", "-").replace("+", "_")
    return {
        "id": image.id,
        "name": image.name,
        "dataset_id": image.dataset_id,
        "width": image.width,
        "height": image.height,
        "figures": figure_count,
        "view": f"{base}/view?v={version}",
        "thumbnail": f"{base}/thumbnail?v={version}",
    }


def _dataset_json(dataset: Dataset, images: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": dataset.id,
        "name": dataset.name,
        "description": dataset.description,
        "images": images,
    }


def _class_json(entry: ObjectClass) -> dict[str, Any]:
    return {"id": entry.id, "title": entry.title, "shape": entry.shape, "color": entry.color}
