"""Draw a mask over its image for people to look at."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def draw_overlay(
    image: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.bool_],
    color: tuple[int, int, int] = (46, 144, 250),
    opacity: float = 0.5,
) -> npt.NDArray[np.uint8]:
    """Return a copy of `image` with the mask tinted and outlined.

    Args:
        image: uint8 HxWx3, RGB.
        mask: bool HxW.
        color: RGB, 0 to 255.
        opacity: 0 (only the outline) to 1.
    """
    drawn = image.copy()
    drawn[mask] = (image[mask] * (1 - opacity) + np.array(color) * opacity).astype(np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(max(mask.shape) / 500))
    cv2.drawContours(drawn, contours, -1, color, thickness)
    return drawn
