"""What all forms of output have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sam2_serving.commands.results import SegmentedImage


class OutputFormat(Protocol):
    """Writes the results of a run into its folder."""

    def place(self, name: str) -> Path:
        """Return what is there as soon as the image of that name is done."""

    def write(self, image: SegmentedImage) -> None:
        """Write an image's result; what was there is replaced.

        Raises:
            OSError: it cannot be written.
        """

    def finish(self, names: Sequence[str]) -> Path:
        """Write what is about all images, and return where a person should look.

        Args:
            names: of all images that are done, sorted.
        """
