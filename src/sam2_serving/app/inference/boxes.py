"""Boxes in, masks or outlines out: many of one picture in one request (`/inference_boxes`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sam2_serving.app.inference.answers import Answers, outside, prompted
from sam2_serving.app.inference.predictions import Json, Size
from sam2_serving.app.inference.settings import BoxSides, InferenceSettings, read_settings
from sam2_serving.app.media import Media
from sam2_serving.app.reporting import MediaTooLarge, validation_sentence
from sam2_serving.app.requests import MaskOptions
from sam2_serving.app.tracking.figures import geometries_of
from sam2_serving.engine import CancelToken, Engine
from sam2_serving.masks import Box
from sam2_serving.model import Prompts

SETTINGS = ("refine", "output_geometry", "polygon_tolerance", *MaskOptions.model_fields)
"""Those that have a meaning here; others are passed over."""

_SIDES = TypeAdapter(BoxSides)


@dataclass(frozen=True)
class BoxAnswers:
    """Answers for all boxes of one picture. Thread-safe.

    Attributes:
        defaults: of the settings.
        max_bytes: largest answer.
    """

    answers: Answers
    defaults: Mapping[str, Any]
    max_bytes: int

    def settings(self, given: Mapping[str, Any]) -> InferenceSettings:
        """Read a request's settings; raises BadRequest."""
        return read_settings(
            self.defaults, {name: given[name] for name in SETTINGS if name in given}
        )

    def answer(
        self, media: Media, boxes: Sequence[Any], settings: InferenceSettings, cancel: CancelToken
    ) -> bytes:
        """Segment what each box holds; blocks.

        Args:
            media: the picture.
            boxes: `[top, left, bottom, right]` each, inclusive pixels; anything else is an error
                of that box alone.
            settings: how masks are cleaned and told.
            cancel: gives the work up.

        Returns:
            JSON: `size`, `numeric_path`, and `results`: for each box its geometries, null if the
            mask is empty, or an `error`.

        Raises:
            MediaTooLarge: the answer has more than `max_bytes`.
            Busy, Cancelled, AppError: there is no answer.
        """
        size = media.size()
        asked = [_understood(box, size) for box in boxes]
        run = partial(self._run, media, asked, settings, cancel)
        return self.answers.with_engine(run)

    def _run(
        self,
        media: Media,
        asked: Sequence[Box | str],
        settings: InferenceSettings,
        cancel: CancelToken,
        engine: Engine,
    ) -> bytes:
        size = media.size()
        look, refine = self.answers.look(settings), settings.refine or self.answers.served.refine
        results = [_dumped({"error": one}) if isinstance(one, str) else b"null" for one in asked]
        found = prompted(
            [Prompts() if isinstance(one, str) else Prompts(box=one) for one in asked],
            settings,
            Box(0, 0, *size),
            lambda some: engine.segment_each(media.source, some, refine=refine, cancel=cancel),
        )
        room = self.max_bytes
        for piece in found:
            geometries = geometries_of(piece.mask, look.geometry, look.tolerance)
            if not geometries:
                continue
            number, iou = piece.about["prompt"], piece.about["predicted_iou"]
            result = {"geometryType": look.geometry, "geometries": geometries, "predicted_iou": iou}
            results[number] = _dumped(result)
            room -= len(results[number])
            if room < 0:
                raise MediaTooLarge("The answer would be too large: send fewer boxes at once.")
        head = {"size": {"height": size[1], "width": size[0]}, "numeric_path": engine.numeric_path}
        return b'%b,"results":[%b]}' % (_dumped(head)[:-1], b",".join(results))


def _understood(given: Any, size: Size) -> Box | str:
    """Return a box, cut to the picture, or what is wrong with it."""
    try:
        top, left, bottom, right = _SIDES.validate_python(given)
    except ValidationError as error:
        problem = validation_sentence(error.errors()).removeprefix("the body: ")
        return f"A box is [top, left, bottom, right] in whole pixels: {problem}"
    box = Box.from_inclusive(left, top, right, bottom).clipped(height=size[1], width=size[0])
    return outside("The box", size) if box is None else box


def _dumped(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
