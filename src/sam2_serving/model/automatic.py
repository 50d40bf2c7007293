"""Find everything in an image: ask about a grid of points, keep the masks that are good.

The same masks as `SAM2AutomaticMaskGenerator` gives with the same settings, made in other steps:

1. A batch of points goes through the decoder: the only step that needs the device. Masks of a low
   predicted IoU are gone before they are enlarged.
2. The rest is enlarged piece by piece, measured, cut to its box and coded.
3. When a crop is through, duplicates are taken out and what stays is given out.

`find_all` runs them one after the other. An engine runs the first as units of work.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sam2_serving.masks import Box, encode_rle, tight_box
from sam2_serving.masks.cleanup import drop_islands, fill_holes
from sam2_serving.model.automatic_settings import AutomaticSettings
from sam2_serving.model.duplicates import best_of_duplicates, found_before
from sam2_serving.model.enlarging import Enlarger, FullSizeMask
from sam2_serving.model.found_mask import FoundMask
from sam2_serving.model.image import ImageEmbedding, SegmentationModel
from sam2_serving.model.point_decoder import (
    PointMasks,
    Points,
    decode_points,
    points_at_once,
    refine_masks,
)

T = TypeVar("T")
Image = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""Told how many batches of points are done, and how many there are in all."""

EDGE_PIXELS = 20
"""A mask that ends so near an edge that its crop has and the image has not was probably cut."""
STARTED_AHEAD = 1
"""Batches that the device works on while the one before is enlarged."""


class Start(Protocol):
    """Starts a step that needs the model; returns how to wait for its result."""

    def __call__(self, step: Callable[[SegmentationModel], T], /) -> Callable[[], T]:
        """Start it."""


@dataclass(frozen=True)
class Crop:
    """A part of the image that is looked at, and its layer; layer 0 is the whole image."""

    box: Box
    layer: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.box.y1 - self.box.y0), int(self.box.x1 - self.box.x0)

    def cut(self, image: Image) -> Image:
        """Return the crop's pixels."""
        x0, y0, x1, y1 = (int(side) for side in self.box)
        return image[y0:y1, x0:x1]


def find_crops(image_size: tuple[int, int], settings: AutomaticSettings) -> list[Crop]:
    """Return the crops in the order in which their masks go first: small ones, then the image.

    A mask of a small crop is preferred to its duplicate of a larger one. In this order, no mask
    that was given out can turn out a duplicate later.
    """
    height, width = image_size
    crops = [Crop(Box(0, 0, width, height), 0)]
    for layer in range(1, settings.crop_n_layers + 1):
        count = 2**layer
        overlap = int(settings.crop_overlap_ratio * min(image_size) * (2 / count))
        across, down = (
            math.ceil((overlap * (count - 1) + length) / count) for length in (width, height)
        )
        for column, row in product(range(count), repeat=2):
            x0, y0 = column * (across - overlap), row * (down - overlap)
            box = Box(x0, y0, min(x0 + across, width), min(y0 + down, height))
            if box.x0 < box.x1 and box.y0 < box.y1:
                crops.append(Crop(box, layer))
    return sorted(crops, key=lambda crop: math.prod(crop.size))


def grid(points_per_side: int, size: tuple[int, int]) -> Points:
    """Return the points of a grid, row by row, each in the middle of its cell."""
    middles = (np.arange(points_per_side) + 0.5) / points_per_side
    height, width = size
    x, y = np.meshgrid(middles * width, middles * height)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


class MaskFinder:
    """Finds everything in one image. Holds no model: its steps are given one when they run."""

    def __init__(
        self, model: SegmentationModel, settings: AutomaticSettings, image_size: tuple[int, int]
    ) -> None:
        """Lay the grids.

        Args:
            model: like the one that the steps will run with.
            settings: what to ask and what to keep.
            image_size: (height, width) in pixels.
        """
        self._logits_side = model.input_size // 4
        self._settings = settings
        self._image_size = image_size
        self._at_once = min(settings.points_per_batch, points_at_once(model) or 2**31)
        self.crops = find_crops(image_size, settings)

    def find(
        self,
        embed: Callable[[Crop], ImageEmbedding],
        start: Start,
        progress: Progress | None = None,
    ) -> Iterator[FoundMask]:
        """Go through the crops; the masks of each come when it is through, the best first.

        Args:
            embed: embeds a crop; called once for each, in their order.
            start: runs the steps that need the model.
            progress: told after every batch of points.
        """
        total = sum(len(self._batches(crop)) for crop in self.crops)
        done = 0
        given: list[FoundMask] = []
        for crop in self.crops:
            found: list[FoundMask] = []
            enlarger = self._enlarger(crop)
            for masks in self._ask(crop, embed(crop), start):
                found += self._candidates(crop, masks, enlarger)
                done += 1
                if progress is not None:
                    progress(done, total)
            fresh = self._without_duplicates(found, given)
            given += fresh if len(self.crops) > 1 else []
            yield from fresh

    def _batches(self, crop: Crop) -> list[Points]:
        points = grid(self._settings.points_on_layer(crop.layer), crop.size)
        return np.array_split(points, range(self._at_once, len(points), self._at_once))

    def _enlarger(self, crop: Crop) -> Enlarger:
        offset = self._settings.stability_score_offset
        return Enlarger(self._logits_side, crop.size, offset)

    def _ask(self, crop: Crop, embedding: ImageEmbedding, start: Start) -> Iterator[PointMasks]:
        """Yield the masks of each batch whose predicted IoU is high enough."""
        enough = self._settings.pred_iou_thresh or None
        refine = self._settings.use_m2m
        waiting: deque[Callable[[], PointMasks]] = deque()
        for points in self._batches(crop):
            ask = partial(
                decode_points,
                embedding=embedding,
                points=points,
                min_predicted_iou=None if refine else enough,
            )
            waiting.append(start(ask))
            if len(waiting) > STARTED_AHEAD:
                yield self._refined(embedding, waiting.popleft()(), start)
        while waiting:
            yield self._refined(embedding, waiting.popleft()(), start)

    def _refined(self, embedding: ImageEmbedding, masks: PointMasks, start: Start) -> PointMasks:
        """Refine the masks of a batch, if that is wanted, in batches of the same size."""
        if not self._settings.use_m2m:
            return masks
        parts = [masks[i : i + self._at_once] for i in range(0, len(masks), self._at_once)]
        steps = [partial(refine_masks, embedding=embedding, masks=part) for part in parts]
        refined = [start(step)() for step in steps]
        together = PointMasks.of(refined)
        enough = self._settings.pred_iou_thresh
        return together[together.predicted_iou > np.float32(enough)] if enough else together

    def _candidates(self, crop: Crop, masks: PointMasks, enlarger: Enlarger) -> Iterator[FoundMask]:
        """Yield those that are stable and not cut off by the crop's edge."""
        for logits, iou, point in zip(masks.logits, masks.predicted_iou, masks.points, strict=True):
            full = enlarger.mask(logits, self._settings.stability_score_thresh)
            if full is None or _is_cut(full.box, crop.box, self._image_size):
                continue
            full = self._cleaned(full, crop)
            yield FoundMask(
                image_size=self._image_size,
                box=_moved(full.box, crop.box),
                code=encode_rle(full.pixels),
                area=int(np.count_nonzero(full.pixels)),
                predicted_iou=float(iou),
                stability_score=full.stability,
                # as upstream adds: in 32 bits
                point=(_sum(point[0], crop.box.x0), _sum(point[1], crop.box.y0)),
                crop_box=crop.box,
            )

    def _cleaned(self, full: FullSizeMask, crop: Crop) -> FullSizeMask:
        area = self._settings.min_mask_region_area
        if not area:
            return full
        mask = np.zeros(self._image_size, bool)
        x0, y0, x1, y1 = (int(side) for side in _moved(full.box, crop.box))
        mask[y0:y1, x0:x1] = full.pixels
        mask = drop_islands(fill_holes(mask, area), area)
        box = tight_box(mask)
        assert box is not None, "the largest part always stays"
        x0, y0, x1, y1 = (int(side) for side in box)
        back = Box(-crop.box.x0, -crop.box.y0, 0, 0)
        return FullSizeMask(_moved(box, back), mask[y0:y1, x0:x1], full.stability)

    def _without_duplicates(
        self, found: list[FoundMask], given: list[FoundMask]
    ) -> list[FoundMask]:
        """Return the best masks of a crop, without those that smaller crops gave already."""
        scores = [one.predicted_iou for one in found]
        boxes = [one.box for one in found]
        found = [found[i] for i in best_of_duplicates(boxes, scores, self._settings.box_nms_thresh)]
        if len(self.crops) == 1:
            return found
        max_overlap = self._settings.crop_nms_thresh
        before = found_before([one.box for one in found], [one.box for one in given], max_overlap)
        found = [one for one, twice in zip(found, before, strict=True) if not twice]
        # Masks of one crop are equally good here: the order decides, as it does upstream.
        boxes = [one.box for one in found]
        return [found[i] for i in best_of_duplicates(boxes, [0.0] * len(found), max_overlap)]


def _sum(a: float, b: float) -> float:
    return float(np.float32(a) + np.float32(b))


def _moved(box: Box, origin: Box) -> Box:
    """Move a box from the pixels of a crop to those of its image."""
    x, y = origin.x0, origin.y0
    return Box(box.x0 + x, box.y0 + y, box.x1 + x, box.y1 + y)


def _is_cut(box: Box, crop: Box, image_size: tuple[int, int]) -> bool:
    """Tell whether a mask (box in pixels of the crop) ends where its crop does and the image not.

    Mixes first and last pixels with the edges behind them, as upstream does.
    """
    in_image = _moved(box, crop)
    sides = np.array([in_image.x0, in_image.y0, in_image.x1 - 1, in_image.y1 - 1])
    near_crop = np.abs(sides - np.array(crop)) <= EDGE_PIXELS
    near_image = np.abs(sides - np.array([0, 0, image_size[1], image_size[0]])) <= EDGE_PIXELS
    return bool(np.any(near_crop & ~near_image))


def find_all(
    model: SegmentationModel,
    image: Image,
    settings: AutomaticSettings | None = None,
    progress: Progress | None = None,
) -> Iterator[FoundMask]:
    """Find everything in an image.

    Args:
        model: the network.
        image: uint8 HxWx3, RGB, of any size.
        settings: what to ask and what to keep; None: Meta's defaults.
        progress: told (batches of points done, all).

    Yields:
        masks, the best of each crop first; with crops, those of the smallest crops first.

    Raises:
        ValueError: the array is not such an image, or has no pixels.

    Example:
        >>> masks = list(find_all(model, image, AutomaticSettings(points_per_side=16)))
    """

    def embed(crop: Crop) -> ImageEmbedding:
        return model.embed(crop.cut(image))

    def at_once(step: Callable[[SegmentationModel], T]) -> Callable[[], T]:
        result = step(model)
        return lambda: result

    finder = MaskFinder(model, settings or AutomaticSettings(), (image.shape[0], image.shape[1]))
    yield from finder.find(embed, at_once, progress)
