"""Find everything in an image, a batch of points at a time.

Only the network's work is a unit on the device's queue. Masks are enlarged, compared and coded on
the thread of the one who asks, while the device is at the next batch: so a click waits for one
batch at most, however large the image is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sam2_serving.engine.errors import Cancelled
from sam2_serving.engine.turns import DeviceTurns
from sam2_serving.model import AutomaticSettings, FoundMask, ImageEmbedding, SegmentationModel
from sam2_serving.model.automatic import Crop, MaskFinder, Progress
from sam2_serving.model.parts import InParts, Parts

T = TypeVar("T")
Image = npt.NDArray[np.uint8]


class AutomaticJob:
    """One image and what it needs; belongs to one thread."""

    def __init__(
        self,
        open_model: Callable[[], SegmentationModel],
        settings: AutomaticSettings,
        turns: DeviceTurns,
        load: Callable[[], Image],
        embed_whole: Callable[[Callable[[], Image]], ImageEmbedding],
    ) -> None:
        """Prepare.

        Args:
            open_model: returns the network, which the job does not hold: a stopped model must go.
            settings: what to ask and what to keep.
            turns: of this job on the device.
            load: fetches the image; called once, and only if something needs its pixels.
            embed_whole: returns the embedding of the whole image, which may be stored; given how to
                get the pixels.
        """
        self._open_model = open_model
        self._settings = settings
        self._turns = turns
        self._load = load
        self._embed_whole = embed_whole
        self._image: Image | None = None

    def find(self, progress: Progress | None = None) -> Iterator[FoundMask]:
        """Find everything.

        Raises:
            Cancelled: the job's token was cancelled.
            EngineClosed: the model was stopped.
            Exception: whatever `load` raises.
        """
        try:
            if self._settings.crop_n_layers:
                size = self._pixels().shape[:2]
                finder = MaskFinder(self._open_model(), self._settings, (size[0], size[1]))
                yield from finder.find(self._embed, self._start, progress)
            else:
                whole = self._embed_whole(self._pixels)
                self._image = None  # no longer needed: it may be large
                finder = MaskFinder(self._open_model(), self._settings, whole.image_size)
                yield from finder.find(lambda _: whole, self._start, progress)
        except CancelledError as error:
            raise Cancelled("The search was stopped.") from error

    def _pixels(self) -> Image:
        if self._image is None:
            self._image = self._load()
        return self._image

    def _embed(self, crop: Crop) -> ImageEmbedding:
        if crop.layer == 0:
            return self._embed_whole(self._pixels)
        prepared = self._open_model().prepare(crop.cut(self._pixels()))

        def encode() -> Parts[ImageEmbedding]:
            return self._open_model().encode_in_parts(prepared)

        return self._turns.run(InParts(encode))

    def _start(self, step: Callable[[SegmentationModel], T]) -> Callable[[], T]:
        return self._turns.submit(lambda: step(self._open_model())).result
