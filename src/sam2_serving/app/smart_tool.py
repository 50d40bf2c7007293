"""`/smart_segmentation`: clicks and a box in, one mask out (contract, section 3.1)."""

from __future__ import annotations

from typing import Literal, Protocol

from fastapi import APIRouter, Request
from pydantic import BaseModel

from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.media import MediaLibrary
from sam2_serving.app.platform_api import Caller
from sam2_serving.app.reporting import (
    BadRequest,
    SmartToolRoute,
    Unauthorized,
    UnsupportedSource,
    note,
)
from sam2_serving.app.requests import SmartToolContext, SmartToolRequest
from sam2_serving.app.workers import Workers
from sam2_serving.engine import CancelToken, Engine
from sam2_serving.masks import Box, encode_bitmap
from sam2_serving.model import Point, Prompts


class Pixel(BaseModel):
    """A pixel of the whole image."""

    x: int
    y: int


class SmartToolAnswer(BaseModel):
    """A mask, or nulls where there is none.

    Attributes:
        origin: the tight mask's top left pixel in the whole image.
        bitmap: base64 of the tight mask in the platform's bitmap form.
        success: true; failures have a body of their own.
        error: null.
        numeric_path: equal requests with equal id are answered with equal bytes.
    """

    origin: Pixel | None = None
    bitmap: str | None = None
    success: bool = True
    error: str | None = None
    numeric_path: str


class ServedModel(Protocol):
    """What the route needs of the app."""

    def ready_engine(self) -> Engine:
        """Return the engine that serves; raises ModelNotReady."""

    @property
    def use_box(self) -> bool:
        """Default of the setting `use_box`."""

    @property
    def refine(self) -> Literal["single", "two_pass"]:
        """Default of the setting `refine`."""


def smart_tool_router(
    served: ServedModel, library: MediaLibrary, servers: ServerPolicy, workers: Workers
) -> APIRouter:
    """Make the router."""
    router = APIRouter(route_class=SmartToolRoute)

    @router.post("/smart_segmentation")
    async def smart_segmentation(body: SmartToolRequest, request: Request) -> SmartToolAnswer:
        context = body.context
        note(
            request,
            image_id=context.image_id,
            positive=len(context.positive),
            negative=len(context.negative),
            request_uid=context.request_uid,
        )
        return await workers.run(
            request, lambda cancel: segment(body, served, library, servers, cancel)
        )

    return router


def segment(
    body: SmartToolRequest,
    served: ServedModel,
    library: MediaLibrary,
    servers: ServerPolicy,
    cancel: CancelToken,
) -> SmartToolAnswer:
    """Answer one request; blocks."""
    context, settings = body.context, body.state.settings
    engine = served.ready_engine()
    nothing = SmartToolAnswer(numeric_path=engine.numeric_path)
    _refuse_edits(context)
    use_box = served.use_box if settings.use_box is None else settings.use_box
    if not context.clicks and not (context.crop_box and use_box):
        return nothing
    if _click_outside_crop(context):
        return nothing
    media = library.find(caller_of(body, servers), context)
    size = media.size()
    _check_clicks(context, size)
    prompts = prompts_of(context, size, use_box)
    if prompts.is_empty:
        return nothing
    refine = settings.refine or served.refine
    result = engine.segment(media.source, prompts, refine=refine, cancel=cancel)
    mask = result.mask if context.crop_box is None else context.crop_box.cut(result.mask)
    encoded = encode_bitmap(mask)
    if encoded is None:
        return nothing
    (x, y), bitmap = encoded
    return SmartToolAnswer(origin=Pixel(x=x, y=y), bitmap=bitmap, numeric_path=result.numeric_path)


def caller_of(body: SmartToolRequest, servers: ServerPolicy) -> Caller:
    """Return whose rights count: the request's own token at an address that is allowed.

    Raises:
        BadRequest: the address is missing or not allowed.
        Unauthorized: there is no token. The owner's token is never used in its place.
    """
    server = servers.check(body.server_address)
    if server is None:
        raise BadRequest("No platform is configured: set SERVER_ADDRESS to its address.")
    if not body.api_token:
        raise Unauthorized("The request has no api_token, so it is not known who asks.")
    return Caller(server, body.api_token)


def prompts_of(context: SmartToolContext, size: tuple[int, int], use_box: bool) -> Prompts:
    """Turn clicks and crop into prompts; a box that lies wholly outside the image is none."""
    points = [Point(click.x, click.y, True) for click in context.positive]
    points += [Point(click.x, click.y, False) for click in context.negative]
    box: Box | None = context.crop_box if use_box else None
    if box is not None:
        box = box.clipped(height=size[1], width=size[0])
    return Prompts(tuple(points), box)


def _refuse_edits(context: SmartToolContext) -> None:
    """A mask that was made without the figure it should start from would be a wrong answer."""
    if context.init_figure or context.mask is not None:
        raise UnsupportedSource(
            "Not supported yet: editing an existing mask. Draw the object anew, by a box or clicks."
        )


def _click_outside_crop(context: SmartToolContext) -> bool:
    crop = context.crop_box
    return crop is not None and any(not crop.contains(c.x, c.y) for c in context.clicks)


def _check_clicks(context: SmartToolContext, size: tuple[int, int]) -> None:
    width, height = size
    for click in context.clicks:
        if click.x >= width or click.y >= height:
            raise BadRequest(
                f"The click at ({click.x}, {click.y}) lies outside the image, "
                f"which has {width} x {height} pixels."
            )
