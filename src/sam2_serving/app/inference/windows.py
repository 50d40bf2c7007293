"""Find everything in a region of a picture, or in windows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from sam2_serving.app.inference.predictions import Json, Piece, Size
from sam2_serving.app.inference.settings import InferenceSettings, SlidingWindow
from sam2_serving.engine import CancelToken, Engine, ImageSource
from sam2_serving.masks import Box
from sam2_serving.model import AutomaticSettings, FoundMask
from sam2_serving.model.duplicates import best_of_duplicates

Pixels = npt.NDArray[np.uint8]
MAX_WINDOWS = 10_000


@dataclass(frozen=True)
class InWindow:
    """A mask, and the window whose pixels it was found in."""

    found: FoundMask
    window: Box

    @property
    def box(self) -> Box:
        """The smallest box round the mask, in pixels of the picture."""
        return _moved(self.found.box, self.window)

    def piece(self) -> Piece:
        """Return the mask with what Meta's generator says of it, in pixels of the picture."""
        found, window = self.found, self.window
        x, y = found.point
        crop = _moved(found.crop_box, window)
        about: Json = {
            "predicted_iou": found.predicted_iou,
            "stability_score": found.stability_score,
            "area": found.area,
            "point": [x + window.x0, y + window.y0],
            "crop_box": [crop.x0, crop.y0, crop.x1 - crop.x0, crop.y1 - crop.y0],
        }
        return Piece(found.part(), int(self.box.x0), int(self.box.y0), about)


def look_through(
    engine: Engine,
    source: ImageSource,
    size: Size,
    windows: list[Box],
    settings: AutomaticSettings,
    cancel: CancelToken,
) -> Iterator[tuple[Box, list[InWindow]]]:
    """Yield what is in each window, the best first.

    Args:
        engine: finds it.
        source: the picture.
        size: of the picture.
        windows: parts of it.
        settings: what to ask and what to keep.
        cancel: gives the work up.

    Raises:
        Busy, Cancelled, EngineClosed, AppError: see `Engine.find_all`.
    """
    load = _once(source.load) if len(windows) > 1 else source.load
    for window in windows:
        found = engine.find_all(_part(source, size, window, load), settings, cancel=cancel)
        yield window, [InWindow(one, window) for one in found]


def _part(source: ImageSource, size: Size, window: Box, load: Callable[[], Pixels]) -> ImageSource:
    """Return the picture inside a window; its embedding has a key of its own."""
    if window == Box(0, 0, *size):
        return replace(source, load=load)
    x0, y0, x1, y1 = (int(side) for side in window)
    name = f"{source.key.window} crop {x0},{y0},{x1},{y1}".strip()
    key = replace(source.key, window=name)
    return replace(source, key=key, load=lambda: np.ascontiguousarray(load()[y0:y1, x0:x1]))


def windows_of(settings: InferenceSettings, region: Box) -> list[Box]:
    """Return the windows over a region: itself, unless sliding windows are wanted.

    Raises:
        ValueError: so many windows that it must be a mistake, or an overlap that leaves no step.
    """
    if settings.inference_mode == "full_image":
        return [region]
    params = settings.sliding_window_params or SlidingWindow()
    shifted = params.borderStrategy in (None, "shift_window")
    rows = _spans(region.y0, region.y1, params.windowHeight, params.overlapY or 0, shifted)
    columns = _spans(region.x0, region.x1, params.windowWidth, params.overlapX or 0, shifted)
    if len(rows) * len(columns) > MAX_WINDOWS:
        raise ValueError(
            f"These sliding_window_params make {len(rows) * len(columns)} windows of this "
            f"picture; at most {MAX_WINDOWS} are allowed."
        )
    return [Box(x0, y0, x1, y1) for (y0, y1), (x0, x1) in product(rows, columns)]


def best_of_windows(found: list[InWindow], max_overlap: float) -> list[InWindow]:
    """Return the masks without those whose boxes overlap a better one's by more than allowed."""
    boxes = [one.box for one in found]
    scores = [one.found.predicted_iou for one in found]
    return [found[at] for at in best_of_duplicates(boxes, scores, max_overlap)]


def _spans(
    low: float, high: float, length: int | None, overlap: int, shifted: bool
) -> list[tuple[float, float]]:
    """Cut low..high into spans; the last one is shifted back to be as long, or is shorter."""
    length = int(min(length or high - low, high - low))
    step = length - overlap
    if step < 1:
        raise ValueError(
            f"The sliding windows are {length} pixels long and overlap by {overlap}: "
            "the overlap must be smaller."
        )
    starts = [low]
    while starts[-1] + length < high:
        starts.append(starts[-1] + step)
        if len(starts) > MAX_WINDOWS:
            break
    if shifted:
        starts[-1] = max(low, high - length)
    return [(start, min(start + length, high)) for start in starts]


def _once(load: Callable[[], Pixels]) -> Callable[[], Pixels]:
    held: list[Pixels] = []

    def loaded() -> Pixels:
        if not held:
            held.append(load())
        return held[0]

    return loaded


def _moved(box: Box, origin: Box) -> Box:
    x, y = origin.x0, origin.y0
    return Box(box.x0 + x, box.y0 + y, box.x1 + x, box.y1 + y)
