"""One picture and the settings of a request in, what was found out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar

import numpy as np

from sam2_serving.app.figures import place_bitmap
from sam2_serving.app.inference.predictions import (
    Json,
    Look,
    Outcome,
    Piece,
    Size,
    annotation,
    labels_of,
    rectangle_json,
)
from sam2_serving.app.inference.settings import InferenceSettings
from sam2_serving.app.inference.windows import (
    InWindow,
    best_of_windows,
    look_through,
    windows_of,
)
from sam2_serving.app.media import Media
from sam2_serving.app.reporting import BadRequest
from sam2_serving.app.sdk_app import OBJECT_CLASS
from sam2_serving.engine import CancelToken, Engine, EngineClosed, Segmentation
from sam2_serving.masks import Box, encode_rle
from sam2_serving.masks.boxes import BoolMask
from sam2_serving.masks.cleanup import Cleanup
from sam2_serving.model import Point, Prompts
from sam2_serving.model.found_mask import run_lengths

Result = TypeVar("Result")


class ServedModel(Protocol):
    """What is needed of the app."""

    def ready_engine(self) -> Engine:
        """Return the engine that serves; raises ModelNotReady."""

    @property
    def refine(self) -> Literal["single", "two_pass"]:
        """Default of the setting `refine`."""


@dataclass(frozen=True)
class Answers:
    """Answers for one picture at a time. Thread-safe.

    Attributes:
        max_pixels: of a picture, and of a mask to start from.
        tolerance: default of the setting `polygon_tolerance`, pixels.
    """

    served: ServedModel
    max_pixels: int
    tolerance: float

    def answer(
        self, media: Media, settings: InferenceSettings, cancel: CancelToken, *, at_once: bool
    ) -> Outcome:
        """Look at a picture; blocks.

        Args:
            media: the picture.
            settings: what to look for, and how to tell it.
            cancel: gives the work up.
            at_once: somebody waits for this one picture.

        Raises:
            BadRequest: the prompts or the region do not fit the picture.
            Busy, Cancelled, AppError: there is no answer.
        """
        size = media.size()
        region = _region(settings, size)
        if settings.mode == "raw":
            windows = _windows(settings, region)
            search = _Search(media, size, settings, self.look(settings), windows, cancel)
            return self.with_engine(search.run)
        prompts = _prompts(settings, size, self.max_pixels)
        refine = settings.refine or self.served.refine

        def segment(engine: Engine, asked: list[Prompts]) -> Iterable[tuple[int, Segmentation]]:
            if at_once and len(prompts) == 1:
                only = engine.segment(media.source, asked[0], refine=refine, cancel=cancel)
                return [(0, only)]
            # one after the other: all have the same form
            return engine.segment_each(media.source, asked, refine=refine, cancel=cancel)

        def run(engine: Engine) -> Outcome:
            pieces = prompted(prompts, settings, region, lambda asked: segment(engine, asked))
            labels, about = labels_of(pieces, self.look(settings))
            return _outcome(size, labels, about, engine, settings)

        return self.with_engine(run)

    def look(self, settings: InferenceSettings) -> Look:
        """Return how masks are told."""
        tolerance = settings.polygon_tolerance
        return Look(
            settings.class_name(OBJECT_CLASS),
            settings.output_geometry,
            self.tolerance if tolerance is None else tolerance,
        )

    def with_engine(self, ask: Callable[[Engine], Result]) -> Result:
        """Ask the engine that serves; raises what `ask` raises, and ModelNotReady."""
        try:
            return ask(self.served.ready_engine())
        except EngineClosed:
            # The model was frozen or replaced meanwhile: the one that serves now answers.
            return ask(self.served.ready_engine())


def prompted(
    prompts: Sequence[Prompts],
    settings: InferenceSettings,
    region: Box,
    segment: Callable[[list[Prompts]], Iterable[tuple[int, Segmentation]]],
) -> Iterator[Piece]:
    """Yield a mask for each prompt, as the engine gives them; empty prompts are passed over.

    Args:
        prompts: on one picture.
        settings: how masks are cleaned.
        region: masks are cut to it, if the settings have one.
        segment: asks the engine about some prompts; see `Engine.segment_each`.
    """
    clicks = [(x, y) for x, y, positive in settings.points if positive]
    asked = [(number, one) for number, one in enumerate(prompts) if not one.is_empty]
    within = None if settings.rectangle is None else region
    for place, answer in segment([one for _, one in asked]) if asked else ():
        mask = settings.cleanup.apply(answer.mask, clicks, within)
        about = {"predicted_iou": answer.predicted_iou, "prompt": asked[place][0]}
        yield Piece(mask, about=about)


@dataclass(frozen=True)
class _Search:
    """Looks for everything in one picture."""

    media: Media
    size: Size
    settings: InferenceSettings
    look: Look
    windows: list[Box]
    cancel: CancelToken

    def run(self, engine: Engine) -> Outcome:
        """Find it."""
        settings, wanted = self.settings, self.settings.automatic
        source = self.media.source
        by_window = list(look_through(engine, source, self.size, self.windows, wanted, self.cancel))
        found = [one for _, masks in by_window for one in masks]
        if len(self.windows) > 1:
            found = best_of_windows(found, wanted.box_nms_thresh)
        labels, about = labels_of(self._pieces(found), self.look)
        outcome = _outcome(self.size, labels, about, engine, settings)
        if settings.inference_mode == "full_image":
            return outcome
        return replace(outcome, slides=self._slides(by_window, outcome))

    def _slides(self, by_window: list[tuple[Box, list[InWindow]]], outcome: Outcome) -> list[Json]:
        """Tell each window with its masks, then all masks, then those that are left of them."""
        slides = [
            {
                "rectangle": rectangle_json(window),
                "labels": labels_of(self._pieces(masks), self.look)[0],
            }
            for window, masks in by_window
        ]
        whole = rectangle_json(Box(0, 0, *self.size))
        together = [label for slide in slides for label in slide["labels"]]
        last = outcome.annotation["objects"]
        return [
            *slides,
            {"rectangle": whole, "labels": together},
            {"rectangle": whole, "labels": last},
        ]

    def _pieces(self, found: list[InWindow]) -> Iterator[Piece]:
        settings, mode = self.settings, self.settings.automatic.output_mode
        for one in found:
            piece = one.piece()
            if settings.cleanup != Cleanup():
                mask = settings.cleanup.apply(piece.whole(self.size))
                area = {"area": int(np.count_nonzero(mask))}
                piece = Piece(mask, about=piece.about | area)
            if mode == "coco_rle":
                piece.about["segmentation"] = encode_rle(piece.whole(self.size))
            elif mode == "uncompressed_rle":
                counts = run_lengths(piece.whole(self.size))
                piece.about["segmentation"] = {"size": list(self.size[::-1]), "counts": counts}
            yield piece


def _outcome(
    size: Size, labels: list[Json], about: list[Json], engine: Engine, settings: InferenceSettings
) -> Outcome:
    if settings.classes is not None and settings.class_name(OBJECT_CLASS) not in settings.classes:
        labels, about = [], []
    return Outcome(annotation(size, labels), about, engine.numeric_path)


def _windows(settings: InferenceSettings, region: Box) -> list[Box]:
    try:
        return windows_of(settings, region)
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _region(settings: InferenceSettings, size: Size) -> Box:
    width, height = size
    if settings.rectangle is None:
        return Box(0, 0, width, height)
    region = settings.rectangle.box.clipped(height=height, width=width)
    if region is None:
        raise BadRequest(outside("The rectangle", size))
    return region


def _prompts(settings: InferenceSettings, size: Size, max_pixels: int) -> list[Prompts]:
    """Return the prompts; those of a box that lies wholly outside the picture are empty."""
    width, height = size
    points = tuple(Point(x, y, positive) for x, y, positive in settings.points)
    for point in points:
        if point.x >= width or point.y >= height:
            raise BadRequest(outside(f"The point at ({point.x:g}, {point.y:g})", size))
    mask = _init_mask(settings, size, max_pixels)
    if settings.mode == "points" or not settings.boxes:
        return [Prompts(points, None, mask)]
    boxes = [box.clipped(height=height, width=width) for box in settings.boxes]
    if boxes == [None]:
        raise BadRequest(outside("The box", size))
    return [Prompts() if box is None else Prompts(points, box, mask) for box in boxes]


def _init_mask(settings: InferenceSettings, size: Size, max_pixels: int) -> BoolMask | None:
    given = settings.init_mask
    if given is None:
        return None
    mask = place_bitmap(given.data, (given.origin.x, given.origin.y), size, max_pixels)
    if not mask.any():
        raise BadRequest("init_mask has no pixel inside the image.")
    return mask


def outside(what: str, size: Size) -> str:
    """Say that something has no pixel inside a picture of a size."""
    return f"{what} lies outside the image, which has {size[0]} x {size[1]} pixels."
