"""One image file that the user named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sam2_serving.commands.errors import UsageError
from sam2_serving.images import decode_image
from sam2_serving.settings import server_settings


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Return its pixels, RGB HxWx3.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return decode_image(path.read_bytes(), server_settings().max_image_pixels)
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error}") from error
