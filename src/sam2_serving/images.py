"""From an image file to the pixels that the model sees, without any lossy step.

The pixels are those of the SDK's `api.image.download_np`, so that coordinates and colours are the
ones that every other tool of the platform works with:

* EXIF orientation is applied, as browsers and the SDK do; but if only the stored orientation has
  the size that the platform states, the platform's coordinates are the stored ones, so it is not.
* 16-bit values are cut to their high byte, gray and CMYK become RGB, alpha is dropped.
* Of an animation the first picture counts.
* Floating point and 32-bit pictures are stretched from their lowest to their highest value.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]

_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")

# Pillow's own limit would refuse images that ours allows; every image is measured here first.
Image.MAX_IMAGE_PIXELS = None


class ImageTooLarge(ValueError):
    """More pixels than are allowed."""


class UnreadableImage(ValueError):
    """No picture, or a damaged one."""


def decode_image(
    file: bytes, max_pixels: int, stated_size: tuple[int, int] | None = None
) -> Pixels:
    """Decode an image file.

    Args:
        file: the whole file.
        max_pixels: more pixels are refused before any is decoded.
        stated_size: (width, height) that the platform states, to decide about the orientation.

    Returns:
        uint8 HxWx3, RGB.

    Raises:
        ImageTooLarge: more than `max_pixels`.
        UnreadableImage: no picture, or a damaged one.
    """
    stored_size = _size_in_header(file)
    if stored_size[0] * stored_size[1] > max_pixels:
        raise ImageTooLarge(
            f"The image has {stored_size[0]} x {stored_size[1]} pixels; at most {max_pixels} "
            "are allowed (server setting SAM2_SERVING_MAX_IMAGE_PIXELS)."
        )
    pixels = _decode_with_opencv(file, cv2.IMREAD_COLOR)
    if pixels is None:
        pixels = _decode_with_pillow(file)
    turned_size = (pixels.shape[1], pixels.shape[0])
    if stated_size not in (None, turned_size) and stated_size == stored_size:
        stored = _decode_with_opencv(file, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        pixels = pixels if stored is None else stored
    return pixels


@lru_cache(maxsize=1)
def picture_formats() -> tuple[str, ...]:
    """Return the formats that are read, by Pillow's names: those whose header tells the size.

    Pillow knows many more. Some of them start a program (EPS runs Ghostscript), others wrap a
    picture that is larger than their header says (ICO): neither is for files of strangers.
    """
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _size_in_header(file: bytes) -> tuple[int, int]:
    """Read (width, height) without decoding.

    A format that only OpenCV knows is refused: nobody could tell how large it will become.
    """
    if file.startswith(b"\x89PNG\r\n\x1a\n") and len(file) >= 24:
        # Pillow stumbles over PNGs with large texts before the picture
        width, height = struct.unpack(">II", file[16:24])
        return width, height
    try:
        with Image.open(io.BytesIO(file), formats=picture_formats()) as picture:
            return picture.size
    except Exception as error:
        raise UnreadableImage("The image's file is damaged or of an unknown kind.") from error


def _decode_with_opencv(file: bytes, flags: int) -> Pixels | None:
    try:
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), flags)
    except cv2.error:
        return None
    if pixels is None or pixels.dtype != np.uint8 or pixels.size == 0:
        return None
    return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _decode_with_pillow(file: bytes) -> Pixels:
    """Decode what OpenCV does not know: other formats, and numbers of more than 16 bits."""
    try:
        with Image.open(io.BytesIO(file), formats=picture_formats()) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode in ("F", "I") or upright.mode.startswith("I;"):
                return _stretched(np.asarray(upright, dtype=np.float64))
            return np.ascontiguousarray(np.asarray(upright.convert("RGB")))
    except Exception as error:
        # Damaged files make the readers raise whatever they stumble over.
        raise UnreadableImage("The image's file is damaged or of an unknown kind.") from error


def _stretched(values: npt.NDArray[np.float64]) -> Pixels:
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros((*values.shape, 3), np.uint8)
    low, high = values[finite].min(), values[finite].max()
    shares = (np.where(finite, values, low) - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.repeat((shares * 255).round().astype(np.uint8)[..., None], 3, axis=2)
