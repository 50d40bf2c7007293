"""Images of every kind a platform holds become the pixels that the SDK's client would give."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
import supervisely as sly
from PIL import Image

from sam2_serving.images import ImageTooLarge, UnreadableImage, decode_image
from sam2_serving.scenes import draw_scene

SCENE = draw_scene(3, size=(64, 48)).image
LIMIT = 10_000


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(SCENE), "JPEG", exif=exif, quality=95)


FILES = {
    "png": saved(Image.fromarray(SCENE), "PNG"),
    "jpeg": saved(Image.fromarray(SCENE), "JPEG"),
    "webp": saved(Image.fromarray(SCENE), "WEBP"),
    "bmp": saved(Image.fromarray(SCENE), "BMP"),
    "tiff": saved(Image.fromarray(SCENE), "TIFF"),
    "gray": saved(Image.fromarray(SCENE).convert("L"), "PNG"),
    "gray jpeg": saved(Image.fromarray(SCENE).convert("L"), "JPEG"),
    "palette": saved(Image.fromarray(SCENE).quantize(16), "PNG"),
    "one bit": saved(Image.fromarray(SCENE).convert("1"), "PNG"),
    "alpha": saved(Image.fromarray(np.dstack([SCENE, SCENE[..., 0]])), "PNG"),
    "cmyk": saved(Image.fromarray(SCENE).convert("CMYK"), "JPEG"),
    "16 bit gray": cv2.imencode(".png", SCENE[..., 0].astype(np.uint16) * 257)[1].tobytes(),
    "16 bit colour": cv2.imencode(".png", SCENE.astype(np.uint16) * 257)[1].tobytes(),
    "one pixel": saved(Image.fromarray(SCENE[:1, :1]), "PNG"),
    **{f"orientation {number}": turned(number) for number in range(1, 9)},
}


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_the_sdk(name: str) -> None:
    pixels = decode_image(FILES[name], LIMIT)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, sly.image.read_bytes(FILES[name]))


@pytest.mark.parametrize("name", ["png", "bmp", "tiff", "alpha"])
def test_lossless_files_stay_lossless(name: str) -> None:
    np.testing.assert_array_equal(decode_image(FILES[name], LIMIT), SCENE)


def test_stated_size_decides_about_the_orientation() -> None:
    upright = decode_image(turned(6), LIMIT, stated_size=(48, 64))
    assert upright.shape == (64, 48, 3)
    stored = decode_image(turned(6), LIMIT, stated_size=(64, 48))
    assert stored.shape == (48, 64, 3)
    assert decode_image(turned(6), LIMIT, stated_size=(7, 7)).shape == (64, 48, 3)


def test_16_bits_keep_their_high_byte() -> None:
    np.testing.assert_array_equal(decode_image(FILES["16 bit gray"], LIMIT)[..., 0], SCENE[..., 0])


def test_first_picture_of_an_animation() -> None:
    pictures = [Image.fromarray(SCENE), Image.fromarray(255 - SCENE)]
    file = saved(pictures[0], "PNG", save_all=True, append_images=pictures[1:])
    np.testing.assert_array_equal(decode_image(file, LIMIT), SCENE)


def test_numbers_without_a_range_of_their_own_are_stretched() -> None:
    values = np.linspace(-3, 5, 64 * 48, dtype=np.float32).reshape(48, 64)
    file = saved(Image.fromarray(values), "TIFF")
    pixels = decode_image(file, LIMIT)
    assert pixels.shape == (48, 64, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize("file", [b"", b"x", b"<html>", FILES["png"][:20], b"\x89PNG\r\n\x1a\n"])
def test_no_picture(file: bytes) -> None:
    with pytest.raises(UnreadableImage, match=r"damaged|unknown"):
        decode_image(file, LIMIT)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ImageTooLarge, match="64 x 48"):
        decode_image(FILES["png"], 64 * 48 - 1)
    assert decode_image(FILES["png"], 64 * 48).shape == (48, 64, 3)
