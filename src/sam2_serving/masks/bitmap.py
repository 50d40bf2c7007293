"""The platform's wire form of a mask: an origin and base64(zlib(PNG of the tight mask))."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

from sam2_serving.masks.boxes import tight_box

MAX_PNG_BYTES = 256 * 1024 * 1024
MAX_PIXELS = 1_000_000_000
"""A bitmap beyond these is taken for an attack, not a mask."""
_WIDEST_PIXEL = 8
"""Bytes of a pixel of four channels of 16 bits."""
_ROOM = 2**20
"""Bytes of a PNG beside its pixels."""

# Pillow's own limit is lower than the masks that are met here; ours above takes its place.
Image.MAX_IMAGE_PIXELS = None


def encode_bitmap(mask: npt.NDArray[np.bool_]) -> tuple[tuple[int, int], str] | None:
    """Encode a mask for the platform.

    Args:
        mask: bool HxW.

    Returns:
        ((x, y) of the tight mask's top left pixel, base64 text), or None for an empty mask.
    """
    box = tight_box(mask)
    if box is None:
        return None
    x0, y0, x1, y1 = (int(side) for side in box)
    png = _png_of(mask[y0:y1, x0:x1])
    return (x0, y0), base64.b64encode(zlib.compress(png, 1)).decode("ascii")


def _png_of(mask: npt.NDArray[np.bool_]) -> bytes:
    """Write a PNG of one bit a pixel (PNG specification, third edition, sections 5 and 11).

    Written here since Pillow takes a dozen times as long for it, most of a click's packing. A
    palette with a transparent entry, as the platform's own tools write it: every client can read
    it, whether it looks at the colour or at the alpha channel.
    """
    height, width = mask.shape
    rows = np.zeros((height, 1 + (width + 7) // 8), np.uint8)  # each begins with filter 0: none
    rows[:, 1:] = np.packbits(mask, axis=1)
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, 1, 3, 0, 0, 0)),
        (b"PLTE", b"\x00\x00\x00\xff\xff\xff"),
        (b"tRNS", b"\x00"),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def decode_bitmap(data: str, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.bool_]:
    """Decode the text that `encode_bitmap` or the platform made.

    Args:
        data: base64 of a PNG, compressed with zlib or not.
        max_pixels: a larger bitmap is refused before its pixels are decoded.

    Returns:
        bool HxW: alpha > 0 where the PNG has transparency, else any non-zero colour.

    Raises:
        ValueError: the text is not base64, or what it holds is no readable PNG, or it is huge.
    """
    try:
        packed = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("The bitmap is not valid base64.") from error
    png = packed if packed.startswith(b"\x89PNG") else _inflate(packed, max_pixels)
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            # Pillow has read every header before the pixels; the last one counts.
            if picture.width * picture.height <= max_pixels:
                return _filled(picture)
    except Exception as error:
        # Damaged files make the reader raise whatever it stumbles over.
        raise ValueError("The bitmap does not hold a readable PNG.") from error
    raise ValueError("The bitmap is too large.")


def _filled(picture: Image.Image) -> npt.NDArray[np.bool_]:
    if picture.has_transparency_data:
        return np.asarray(picture.convert("RGBA"))[..., 3] > 0
    pixels = np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    return np.asarray(pixels.any(axis=2) if pixels.ndim == 3 else pixels > 0)


def _inflate(packed: bytes, max_pixels: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        png = stream.decompress(packed, min(MAX_PNG_BYTES, _ROOM + _WIDEST_PIXEL * max_pixels))
    except zlib.error as error:
        raise ValueError("The bitmap is neither a PNG nor zlib data.") from error
    if stream.unconsumed_tail:
        raise ValueError("The bitmap is too large.")
    return png
