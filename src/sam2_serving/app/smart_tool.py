"""`/smart_segmentation`: clicks and a box in, one mask out (contract, section 3.1)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol

from fastapi import APIRouter, Request
from pydantic import BaseModel

from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.edit_masks import BoolMask
from sam2_serving.app.editing import Editing
from sam2_serving.app.media import Media, MediaLibrary
from sam2_serving.app.platform.api import Caller, caller_of
from sam2_serving.app.prefetching import LookAhead
from sam2_serving.app.reporting import (
    BadRequest,
    SmartToolRoute,
    note,
)
from sam2_serving.app.requests import SmartToolContext, SmartToolRequest
from sam2_serving.app.workers import Workers
from sam2_serving.engine import CancelToken, Engine, EngineClosed, Segmentation
from sam2_serving.masks import Box, encode_bitmap
from sam2_serving.masks.cleanup import Cleanup
from sam2_serving.model import Point, Prompts, Refine


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


def smart_tool_router(tool: SmartTool, workers: Workers) -> APIRouter:
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
            request, lambda cancel: tool.segment(body, cancel), body.token_hash
        )

    return router


@dataclass(frozen=True)
class Question:
    """What one request asks of the model."""

    caller: Caller
    context: SmartToolContext
    media: Media
    prompts: Prompts
    refine: Refine
    cleanup: Cleanup

    def answer(self, result: Segmentation) -> SmartToolAnswer:
        """Clean the model's mask, cut it to the crop and pack it."""
        clicks = [(click.x, click.y) for click in self.context.positive]
        mask = self.cleanup.apply(result.mask, clicks, within=self.context.crop_box)
        return _packed(mask, result.numeric_path)


@dataclass(frozen=True)
class SmartTool:
    """Answers clicks. Thread-safe."""

    served: ServedModel
    library: MediaLibrary
    editing: Editing
    servers: ServerPolicy
    ahead: LookAhead

    def segment(self, body: SmartToolRequest, cancel: CancelToken) -> SmartToolAnswer:
        """Answer one request; blocks."""
        asked = self.understand(body)
        if isinstance(asked, SmartToolAnswer):
            return asked
        refine = asked.refine
        engine = self.served.ready_engine()
        try:
            result = engine.segment(asked.media.source, asked.prompts, refine=refine, cancel=cancel)
        except EngineClosed:
            # The model was frozen or replaced meanwhile: the one that serves now answers.
            engine = self.served.ready_engine()
            result = engine.segment(asked.media.source, asked.prompts, refine=refine, cancel=cancel)
        self.ahead.opened(engine, asked.caller, asked.context, asked.media)
        return asked.answer(result)

    def understand(self, body: SmartToolRequest) -> Question | SmartToolAnswer:
        """Return what the model is asked, or the answer if it need not be asked.

        Raises:
            AppError: the request makes no sense, or the platform does not give what it names.
        """
        context, settings, served = body.context, body.state.settings, self.served
        use_box = served.use_box if settings.use_box is None else settings.use_box
        with self._start_of(body):
            engine = served.ready_engine()
            nothing = SmartToolAnswer(numeric_path=engine.numeric_path)
            if not context.starts_edit and _asks_nothing(context, use_box):
                return nothing
            caller = caller_of(body.server_address, body.api_token, self.servers)
            media = self.library.find(caller, context)
            size = media.size()
            _check_clicks(context, size)
            edited = self.editing.first_mask(caller, context, media) if context.edits else None
        if edited is not None and not context.clicks:
            # Nobody has asked for a change yet: the figure stays as it is.
            crop = context.crop_box
            return _packed(edited if crop is None else crop.cut(edited), engine.numeric_path)
        prompts = prompts_of(context, size, use_box, edited)
        if prompts.is_empty or _click_outside_crop(context):
            return nothing
        refine = settings.refine or served.refine
        return Question(caller, context, media, prompts, refine, settings.cleanup)

    def _start_of(self, body: SmartToolRequest) -> AbstractContextManager[None]:
        if not body.context.starts_edit:
            return nullcontext()
        caller = caller_of(body.server_address, body.api_token, self.servers)
        return self.editing.start(caller, body.context)


def _packed(mask: BoolMask, numeric_path: str) -> SmartToolAnswer:
    encoded = encode_bitmap(mask)
    if encoded is None:
        return SmartToolAnswer(numeric_path=numeric_path)
    (x, y), bitmap = encoded
    return SmartToolAnswer(origin=Pixel(x=x, y=y), bitmap=bitmap, numeric_path=numeric_path)


def _asks_nothing(context: SmartToolContext, use_box: bool) -> bool:
    """Tell whether the answer is empty whatever the image shows.

    An edit without clicks is not answered from its box: that would be a mask without the figure.
    """
    if not context.clicks:
        return context.edits or not (context.crop_box and use_box)
    return _click_outside_crop(context)


def prompts_of(
    context: SmartToolContext,
    size: tuple[int, int],
    use_box: bool,
    mask: BoolMask | None = None,
) -> Prompts:
    """Turn clicks and crop into prompts; a box that lies wholly outside the image is none."""
    points = [Point(click.x, click.y, True) for click in context.positive]
    points += [Point(click.x, click.y, False) for click in context.negative]
    box: Box | None = context.crop_box if use_box else None
    if box is not None:
        box = box.clipped(height=size[1], width=size[0])
    return Prompts(tuple(points), box, mask)


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
