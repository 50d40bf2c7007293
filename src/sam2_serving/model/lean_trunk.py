"""The backbone's blocks with their cells in the order of windows, for processors.

A block that looks within windows of w x w cells is given windows in place of maps: upstream's own
code, told that each window is an image. From one such block to the next nothing is put back into
rows and apart again, and a few windows at a time are small enough for the cache. Every number is
the one that `encoding.walk` gives.
"""

from __future__ import annotations

import torch
from sam2.modeling.backbones.hieradet import Hiera, MultiScaleBlock
from torch import Tensor

from sam2_serving.model.parts import Parts

NUMBERS_AT_ONCE = 2**21
"""Of the cells that a block is given at once, at most; measured with nano and tiny, two threads."""


class _Cells:
    """The cells of one image, in rows or in windows."""

    def __init__(self, rows: Tensor) -> None:
        """Take 1 x S x S x C."""
        self._cells = rows
        self._side = rows.shape[1]
        self._window = 0  # side of the windows; 0: rows

    def rows(self) -> Tensor:
        """Return 1 x S x S x C."""
        if not self._window:
            return self._cells
        across = self._side // self._window
        tiles = self._cells.unflatten(0, (across, across)).transpose(1, 2)
        rows: Tensor = tiles.reshape(1, self._side, self._side, -1)
        return rows

    def _windows(self, side: int) -> Tensor:
        """Return W x side x side x C."""
        if self._window != side:
            tiles = self.rows()[0].unflatten(1, (-1, side)).unflatten(0, (-1, side))
            self._cells = tiles.transpose(1, 2).flatten(0, 1).contiguous()
            self._window = side
        return self._cells

    def go_through(self, block: MultiScaleBlock) -> None:
        """Run a block."""
        window = block.window_size
        shrinks = block.q_stride[0] if block.q_stride else 1
        if window and self._side % window == 0 and window % shrinks == 0:
            given = self._windows(window)
            at_once = max(1, NUMBERS_AT_ONCE // given[0].numel())
            self._cells = torch.cat([block(some) for some in given.split(at_once)])
            self._window = window // shrinks
        else:
            self._cells, self._window = block(self.rows()), 0
        self._side //= shrinks


def walk_windows(trunk: Hiera, cells: Tensor) -> Parts[list[Tensor]]:
    """Run a backbone's blocks.

    Args:
        trunk: the backbone.
        cells: 1 x S/4 x S/4 x C, with their positions.

    Returns:
        what each stage ends with, 1 x h x w x C, finest first.
    """
    image, levels = _Cells(cells), []
    for at, block in enumerate(trunk.blocks):
        yield
        image.go_through(block)
        if at in trunk.stage_ends:
            levels.append(image.rows())
    yield
    return levels
