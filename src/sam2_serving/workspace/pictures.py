"""Pictures: their size, and the forms in which a browser can show them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from sam2_serving.images import picture_formats

_UNREADABLE = (OSError, UnidentifiedImageError, SyntaxError, ValueError)


class UnreadableMedia(ValueError):
    """A file is not what its name says, or holds what the workspace cannot show."""


def picture_size(file: Path) -> tuple[int, int]:
    """Return width and height of a picture after EXIF orientation.

    Raises:
        UnreadableMedia: it is no readable picture.
    """
    try:
        with Image.open(file, formats=picture_formats()) as picture:
            if not _turned(picture):
                return picture.size
            # Asked of the upright picture itself: for some formats Pillow gives the size
            # (and later the pixels) turned already.
            return ImageOps.exif_transpose(picture).size
    except (*_UNREADABLE, Image.DecompressionBombError) as error:
        raise UnreadableMedia(f"not a readable image ({error})") from error


def is_turned(file: Path) -> bool:
    """Tell whether a picture is to be turned or mirrored before it is shown."""
    with Image.open(file, formats=picture_formats()) as picture:
        return _turned(picture)


def read_rgb(file: Path, draft: int | None = None) -> Image.Image:
    """Return an upright RGB picture; `draft` allows a smaller one, of at least twice this side."""
    with Image.open(file, formats=picture_formats()) as picture:
        if draft is not None:
            picture.draft("RGB", (2 * draft, 2 * draft))
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith(("I", "F")):
            upright = _stretched(upright)
        return upright.convert("RGB")


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode gray (H x W) or RGB (H x W x 3) pixels without loss, fast rather than small."""
    ordered = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    ok, content = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not ok:
        raise RuntimeError("A picture could not be encoded.")
    return content.tobytes()


def encode_jpeg(pixels: npt.NDArray[np.uint8], quality: int = 92) -> bytes:
    """Encode gray or RGB pixels for the eye."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=quality)
    return content.getvalue()


def save_picture(picture: Image.Image, file: Path, kind: str) -> None:
    """Save a picture as PNG or JPEG (`kind`)."""
    content = io.BytesIO()
    picture.save(content, kind, quality=85)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written aside first: two requests may make the same file at once.
    part = file.with_name(f"{file.name}.{os.getpid()}-{id(content):x}.part")
    part.write_bytes(content.getvalue())
    part.replace(file)


def _turned(picture: Image.Image) -> bool:
    return bool(picture.getexif().get(ExifTags.Base.Orientation, 1) != 1)


def _stretched(picture: Image.Image) -> Image.Image:
    """Spread a 16 or 32 bit gray image over 8 bits, from its darkest to its brightest pixel."""
    values = np.asarray(picture, dtype=np.float64)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    scaled = np.nan_to_num((values - low) * (255.0 / max(high - low, 1e-9)))
    return Image.fromarray(scaled.astype(np.uint8), mode="L")
