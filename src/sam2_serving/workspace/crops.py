"""Crops of images: many small pictures of few large ones, each of which is decoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

DECODED_BYTES = 256 << 20
"""What is kept decoded; one image of 4000 x 6000 pixels takes 72 MB."""


class DecodedImages:
    """Pixels of the images that were cut last, under a byte budget. Safe to use from any thread."""

    def __init__(self, budget_bytes: int = DECODED_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._images: OrderedDict[str, Future[Pixels]] = OrderedDict()

    def get(self, key: str, read: Callable[[], Pixels]) -> Pixels:
        """Return the pixels of `key`; whoever asks first reads them, the others wait for that.

        Raises:
            Exception: what `read` raised, to all who waited; the next one reads again.
        """
        with self._lock:
            known = self._images.get(key)
            if known is not None:
                self._images.move_to_end(key)
            else:
                mine = self._images[key] = Future[Pixels]()
        if known is not None:
            return known.result()
        try:
            pixels = read()
        except BaseException as error:
            with self._lock:
                del self._images[key]
            mine.set_exception(error)
            raise
        mine.set_result(pixels)
        self._forget()
        return pixels

    def _forget(self) -> None:
        """Throw away what was used longest ago; images that are being read are not counted yet."""
        with self._lock:
            read = {key: one for key, one in self._images.items() if one.done()}
            spare = sum(one.result().nbytes for one in read.values()) - self._budget_bytes
            for key, one in read.items():
                if spare <= 0:
                    break
                del self._images[key]
                spare -= one.result().nbytes


@dataclass(frozen=True)
class Window:
    """A part of an image: its first pixels and those after its last, whole numbers."""

    left: int
    top: int
    right: int
    bottom: int

    def lies_in(self, width: int, height: int) -> bool:
        """Tell whether it has pixels, all of them in an image of this size."""
        return 0 <= self.left < self.right <= width and 0 <= self.top < self.bottom <= height


def cut(pixels: Pixels, window: Window, side: int) -> Pixels:
    """Cut a window out of an image, and shrink it so that no side is longer than `side`.

    Args:
        pixels: H x W x 3.
        window: lies in the image.
        side: pixels.

    Returns:
        The whole window and nothing else, however much it was shrunk: drawn over the window's place
        it lies on the image's own pixels.
    """
    crop = pixels[window.top : window.bottom, window.left : window.right]
    height, width = crop.shape[:2]
    if max(height, width) <= side:
        return crop
    share = side / max(height, width)
    size = (max(round(width * share), 1), max(round(height * share), 1))
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
