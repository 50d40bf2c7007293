"""From logits to masks of the image's size, a piece at a time.

Logits are enlarged bilinearly, so that nothing can be above a threshold where all cells around are
below it: only the window round the others is enlarged, in strips that fit the processor's cache.
No step needs memory for an image of floating-point numbers, however large the image is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam2_serving.masks import Box, tight_box

Logits = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

MASK_THRESHOLD = 0.0
"""Logits above it are the object."""
STRIP_PIXELS = 32 * 1024
"""Enlarged at once: three arrays of so many float32 fit the second-level cache."""


def enlarge_mask(logits: Logits, image_size: tuple[int, int]) -> Bool:
    """Enlarge S x S logits bilinearly to (height, width) and threshold them: bool HxW.

    The same pixels as those of `torch.nn.functional.interpolate`, from the window where there can
    be any: pages of an array of zeros that nothing is written to are never touched.
    """
    mask = np.zeros(image_size, bool)
    found = Enlarger(logits.shape[0], image_size, 0.0).mask(logits)
    if found is not None:
        x0, y0, x1, y1 = (int(side) for side in found.box)
        mask[y0:y1, x0:x1] = found.pixels
    return mask


@dataclass(frozen=True)
class FullSizeMask:
    """A mask in the size of its image (or crop).

    Attributes:
        box: the smallest round its pixels.
        pixels: bool, of the box's size.
        stability: of the pixels above a lower threshold, the share that is above a higher one too.
    """

    box: Box
    pixels: Bool
    stability: float


@dataclass(frozen=True)
class _Axis:
    """How one axis is enlarged: result = low[before] * (1 - share) + low[after] * share."""

    before: npt.NDArray[np.intp]
    after: npt.NDArray[np.intp]
    share: npt.NDArray[np.float32]

    @classmethod
    def of(cls, low: int, full: int) -> _Axis:
        """As `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` does it."""
        half, scale = np.float32(0.5), np.float32(low) / np.float32(full)
        place = np.maximum((np.arange(full, dtype=np.float32) + half) * scale - half, 0)
        before = np.minimum(place.astype(np.intp), low - 1)
        return cls(before, np.minimum(before + 1, low - 1), place - before.astype(np.float32))

    def reach(self, cells: npt.NDArray[np.intp]) -> slice:
        """Return the part of the result that cells (their sorted indices) have a say in."""
        first = int(np.searchsorted(self.after, cells[0], "left"))
        return slice(first, int(np.searchsorted(self.before, cells[-1], "right")))

    def part(self, where: slice) -> _Axis:
        """Return the part of the axis that makes a slice of the result."""
        return _Axis(self.before[where], self.after[where], self.share[where])

    def enlarge(self, low: Logits) -> Logits:
        """Enlarge along the first axis."""
        # columns of weights, however many other axes there are
        share = self.share.reshape(-1, *[1] * (low.ndim - 1))
        result: Logits = np.take(low, self.before, axis=0)
        result *= 1 - share
        more = np.take(low, self.after, axis=0)
        more *= share
        result += more
        return result


class Enlarger:
    """Turns logits into masks of one image size."""

    def __init__(self, side: int, image_size: tuple[int, int], stability_offset: float) -> None:
        """Prepare.

        Args:
            side: of the logits.
            image_size: (height, width) in pixels.
            stability_offset: how far the threshold moves either way when stability is measured; 0
                for no measuring: it is 1 then.
        """
        height, width = image_size
        self._rows, self._columns = _Axis.of(side, height), _Axis.of(side, width)
        self._lower = np.float32(MASK_THRESHOLD - stability_offset)
        self._higher = np.float32(MASK_THRESHOLD + stability_offset)
        self._asks_stability = bool(self._lower < self._higher)

    def mask(self, logits: Logits, min_stability: float = 0.0) -> FullSizeMask | None:
        """Return the mask; None if it is empty or not stable enough.

        Args:
            logits: S x S.
            min_stability: 0 to 1.
        """
        used = logits > self._lower
        if not used.any():
            return None
        rows = self._rows.reach(np.flatnonzero(used.any(axis=1)))
        columns = self._columns.reach(np.flatnonzero(used.any(axis=0)))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None  # an image smaller than the logits does not see all of them
        mask, stability = self._enlarge(logits, rows, columns)
        box = tight_box(mask) if stability >= np.float32(min_stability) else None
        if box is None:
            return None
        y0, x0, y1, x1 = (int(side) for side in box)  # of a transposed mask
        moved = Box(x0 + columns.start, y0 + rows.start, x1 + columns.start, y1 + rows.start)
        return FullSizeMask(moved, mask[x0:x1, y0:y1].T, float(stability))

    def _enlarge(self, logits: Logits, rows: slice, columns: slice) -> tuple[Bool, np.float32]:
        """Return the mask in a window, and its stability.

        The mask is transposed: so its pixels lie in memory as run-length codes count them.
        """
        low = np.ascontiguousarray(self._rows.part(rows).enlarge(logits).T)
        mask = np.empty((columns.stop - columns.start, rows.stop - rows.start), bool)
        in_both = in_either = 0
        step = max(1, STRIP_PIXELS // mask.shape[1])
        for start in range(0, len(mask), step):
            strip = mask[start : start + step]
            first = columns.start + start
            values = self._columns.part(slice(first, first + len(strip))).enlarge(low)
            np.greater(values, MASK_THRESHOLD, out=strip)
            if self._asks_stability:
                in_both += int(np.count_nonzero(values > self._higher))
                in_either += int(np.count_nonzero(values > self._lower))
        if not self._asks_stability:
            return mask, np.float32(1.0)
        # as upstream divides: in 32 bits
        return mask, np.float32(in_both) / np.float32(max(in_either, 1))
