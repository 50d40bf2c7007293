"""Limits on images hold whatever the file claims; what they look like is in unit/app."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sam2_serving.images import ImageTooLarge, UnreadableImage, decode_image


def png(width: int, height: int, **options) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG", **options)
    return stream.getvalue()


def test_a_png_with_a_very_long_text_is_measured_and_read():
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 3_000_000, zip=True)
    file = png(40, 30, pnginfo=text)
    assert decode_image(file, max_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(ImageTooLarge, match="40 x 30"):
        decode_image(file, max_pixels=1199)


@pytest.mark.parametrize("ending", [".hdr", ".pfm", ".pam"])
def test_a_format_whose_size_cannot_be_told_before_is_refused(ending):
    _, file = cv2.imencode(ending, np.ones((8, 8, 3), np.float32 if ending != ".pam" else np.uint8))
    with pytest.raises(UnreadableImage):
        decode_image(file.tobytes(), max_pixels=10**9)


def test_a_header_that_lies_is_refused_before_anything_is_decoded():
    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    file = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ImageTooLarge, match="60000 x 60000"):
        decode_image(file, max_pixels=400_000_000)


def test_images_beyond_pillows_own_limit_are_read_if_ours_allows():
    file = png(20_000, 10_000, compress_level=1)
    assert decode_image(file, max_pixels=200_000_000).shape == (10_000, 20_000, 3)
