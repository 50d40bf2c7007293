"""Editing a figure with the Smart Tool: which mask the edit began with (contract, section 3.1)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sam2_serving.app.edit_masks import BoolMask, EditKey, EditMasks
from sam2_serving.app.figures import draw_figure, place_bitmap
from sam2_serving.app.media import Media
from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.reporting import BadRequest, EditForgotten, MediaNotFound
from sam2_serving.app.requests import Click, FigureMask, SmartToolContext


class Editing:
    """Finds the mask of the figure that a request edits. Thread-safe."""

    def __init__(self, masks: EditMasks, platform: PlatformClient, max_pixels: int) -> None:
        """Take what it needs.

        Args:
            masks: what earlier requests began with.
            platform: where figures come from that clients do not send.
            max_pixels: the largest bitmap.
        """
        self._masks = masks
        self._platform = platform
        self._max_pixels = max_pixels
        self._changed = threading.Condition()
        self._starting: Counter[EditKey] = Counter()

    @contextmanager
    def start(self, caller: Caller, context: SmartToolContext) -> Iterator[None]:
        """Hold later clicks back until the first request of an edit has its mask, or has failed.

        What an earlier edit of the figure began with is forgotten first: if this request fails, a
        later click gets an error and not the mask of then.
        """
        key = _edit_key(caller, context)
        if key is None:
            yield
            return
        with self._changed:
            self._starting[key] += 1
        try:
            self._masks.forget(key)
            yield
        finally:
            with self._changed:
                self._starting[key] -= 1
                self._starting += Counter()  # drops what is at zero
                self._changed.notify_all()

    def first_mask(self, caller: Caller, context: SmartToolContext, media: Media) -> BoolMask:
        """Return the mask that the edit began with, bool HxW of the image's own pixels.

        An inline mask wins, and causes no call of the platform. `init_figure` without one fetches
        the figure. Both are remembered for the edit's later clicks, which carry the figure's key
        only. A figure of an older client, which knows no `local_figure_id`, is fetched again if it
        was forgotten; any other edit has to be started again, because what the platform has by now
        may not be what the edit began with.

        Raises:
            BadRequest: the mask is malformed, or has no pixel inside the image.
            UnsupportedGeometry: the figure has no area.
            EditForgotten: a later click of an edit that is not remembered.
            AppError: what `PlatformClient` raises.
        """
        size = media.pixel_size()
        if context.mask is not None:
            mask = self._inline(context.mask, size)
        elif context.init_figure:
            mask = self._fetched(caller, context, size)
        else:
            known = self._remembered(caller, context)
            if known is not None and known.shape == (size[1], size[0]):
                return known
            if not _is_fetchable(context) or context.local_figure_id is not None:
                raise EditForgotten(
                    "The mask that this edit began with is no longer known: start the edit again."
                )
            mask = self._fetched(caller, context, size)
        if not mask.any():
            raise BadRequest(
                "The figure to edit has no pixel inside the image: draw the object anew."
            )
        key = _edit_key(caller, context)
        if key is not None:
            self._masks.put(key, _first_prompts(context)[0], mask)
        return mask

    def _remembered(self, caller: Caller, context: SmartToolContext) -> BoolMask | None:
        key = _edit_key(caller, context)
        if key is None:
            return None
        with self._changed:
            self._changed.wait_for(lambda: key not in self._starting)
        return self._masks.find(key, _first_prompts(context))

    def _inline(self, mask: FigureMask, size: tuple[int, int]) -> BoolMask:
        return place_bitmap(mask.data, (mask.origin.x, mask.origin.y), size, self._max_pixels)

    def _fetched(
        self, caller: Caller, context: SmartToolContext, size: tuple[int, int]
    ) -> BoolMask:
        if not _is_fetchable(context):
            raise BadRequest(
                "The figure to edit came without its mask. It can be fetched only by figure_id and "
                "image_id: start the edit again, or draw the object anew."
            )
        assert context.image_id is not None
        answer = self._platform.annotation(caller, context.image_id)
        return draw_figure(_figure_in(answer, context), size, self._max_pixels)


def _is_fetchable(context: SmartToolContext) -> bool:
    return context.figure_id is not None and context.image_id is not None


def _figure_in(answer: dict[str, Any], context: SmartToolContext) -> dict[str, Any]:
    annotation = answer.get("annotation")
    objects = annotation.get("objects") if isinstance(annotation, dict) else None
    for figure in objects if isinstance(objects, list) else ():
        if isinstance(figure, dict) and figure.get("id") == context.figure_id:
            return figure
    raise MediaNotFound(
        f"Image {context.image_id} has no figure {context.figure_id}: it may have been deleted."
    )


def _edit_key(caller: Caller, context: SmartToolContext) -> EditKey | None:
    figure = context.figure_key
    if figure is None:
        return None
    return EditKey(caller.server, caller.token_hash, figure, context.picture)


def _first_prompts(context: SmartToolContext) -> list[str]:
    """Return what this request's edit may have begun with, the likeliest first.

    The wire does not tell which click was the first one: it is the first positive or the first
    negative one, or the edit began with none.
    """
    return [
        *(_prompt("+", click) for click in context.positive[:1]),
        *(_prompt("-", click) for click in context.negative[:1]),
        "none",
    ]


def _prompt(sign: str, click: Click) -> str:
    return f"{sign}{click.x},{click.y}"
