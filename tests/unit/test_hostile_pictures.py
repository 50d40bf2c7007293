"""Files that strangers send as pictures: a picture within the limit, or one of two refusals."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from sam2_serving.images import ImageTooLarge, UnreadableImage, decode_image
from sam2_serving.scenes import draw_scene
from sam2_serving.workspace.pictures import UnreadableMedia, picture_size, read_rgb

LIMIT = 100_000
SCENE = draw_scene(3, size=(64, 48)).image
MANY = 3000
"""Side of a picture of more pixels than the limit; black, so its file is small."""
DRAWING = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


def saved(pixels: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    file, picture = io.BytesIO(), Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(file, kind, **options)
    return file.getvalue()


def animated(kind: str) -> bytes:
    return saved(
        SCENE, kind, save_all=True, append_images=[Image.fromarray(255 - SCENE)], duration=9
    )


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(SCENE, "JPEG", exif=exif)


GOOD = {
    "png": saved(SCENE, "PNG"),
    "jpeg": saved(SCENE, "JPEG"),
    "progressive": saved(SCENE, "JPEG", progressive=True),
    "webp": saved(SCENE, "WEBP"),
    "bmp": saved(SCENE, "BMP"),
    "tiff": saved(SCENE, "TIFF"),
    "packed tiff": saved(SCENE, "TIFF", compression="tiff_lzw"),
    "jpeg 2000": saved(SCENE, "JPEG2000"),
    "ppm": saved(SCENE, "PPM"),
    "tga": saved(SCENE, "TGA"),
    "one pixel": saved(SCENE[:1, :1], "PNG"),
    "gray": saved(SCENE, "PNG", "L"),
    "one bit": saved(SCENE, "PNG", "1"),
    "palette": saved(SCENE, "PNG", "P"),
    "alpha": saved(SCENE, "PNG", "RGBA"),
    "gray alpha": saved(SCENE, "PNG", "LA"),
    "cmyk": saved(SCENE, "JPEG", "CMYK"),
    "cmyk tiff": saved(SCENE, "TIFF", "CMYK"),
    "16 bits": saved(SCENE[..., 0].astype(np.uint16) * 257, "PNG"),
    "16 bit tiff": saved(SCENE[..., 0].astype(np.uint16) * 257, "TIFF"),
    "float tiff": saved(SCENE[..., 0].astype(np.float32), "TIFF"),
    "turned": turned(6),
    "mirrored": turned(5),
    "animated gif": animated("GIF"),
    "animated png": animated("PNG"),
    "animated webp": animated("WEBP"),
    "pages": animated("TIFF"),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_becomes_a_picture(name: str) -> None:
    pixels = decode_image(GOOD[name], LIMIT)
    assert pixels.dtype == np.uint8
    assert pixels.shape in ((48, 64, 3), (64, 48, 3), (1, 1, 3))


def icon(inner: bytes) -> bytes:
    """Wrap a picture in an icon whose header says 16 x 16."""
    head = struct.pack("<HHH", 0, 1, 1)
    return head + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


def stated(file: bytes, width: int, height: int) -> bytes:
    """Let a PNG's header tell another size."""
    return file[:16] + struct.pack(">II", width, height) + file[24:]


BLACK = saved(np.zeros((MANY, MANY), np.uint8), "PNG")
JPEG_2000 = saved(np.zeros((MANY, MANY), np.uint8), "JPEG2000")
SIZE_2000 = JPEG_2000.index(b"ihdr") + 4
HUGE = {
    "png": BLACK,
    "gif": saved(np.zeros((MANY, MANY), np.uint8), "GIF"),
    "tiff": saved(np.zeros((MANY, MANY), np.uint8), "TIFF", compression="tiff_lzw"),
    "webp": saved(np.zeros((MANY, MANY, 3), np.uint8), "WEBP"),
    "jpeg": saved(np.zeros((MANY, MANY), np.uint8), "JPEG"),
    "jpeg 2000": JPEG_2000,
    "20000 x 20000, so it says": stated(GOOD["gray"], 20_000, 20_000),
    "2^31 x 2^31, so it says": stated(GOOD["gray"], 2**31 - 1, 2**31 - 1),
}
LYING = {
    "8 x 8, so it says": stated(BLACK, 8, 8),
    "icon": icon(BLACK),
    "jpeg 2000": JPEG_2000[:SIZE_2000] + struct.pack(">II", 8, 8) + JPEG_2000[SIZE_2000 + 8 :],
    "program": DRAWING,
    "no pixels": stated(GOOD["gray"], 0, 5),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_bomb_is_refused_by_its_header(name: str) -> None:
    assert len(HUGE[name]) < MANY * MANY / 50
    with pytest.raises(ImageTooLarge, match="SAM2_SERVING_MAX_IMAGE_PIXELS"):
        decode_image(HUGE[name], LIMIT)


@pytest.mark.parametrize("name", LYING)
def test_a_header_that_lies_gains_nothing(name: str) -> None:
    try:
        pixels = decode_image(LYING[name], LIMIT)
    except UnreadableImage:
        return
    assert pixels.shape[0] * pixels.shape[1] <= LIMIT


def test_a_picture_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands PostScript to Ghostscript, where that is installed."""
    started = tmp_path / "started"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {started}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(UnreadableImage):
        decode_image(DRAWING, LIMIT)
    sent = tmp_path / "drawing.png"
    sent.write_bytes(DRAWING)
    with pytest.raises(UnreadableMedia):
        picture_size(sent)
    with pytest.raises(OSError, match="cannot identify"):
        read_rgb(sent)
    assert not started.exists()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good file of which bytes are changed, lack, or come twice."""
    file = bytearray(GOOD[draw(st.sampled_from(sorted(GOOD)))])
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(file) - 1))
        early = draw(st.booleans())  # headers are short, and matter most
        file[place % 64 if early and len(file) > 64 else place] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(file)))
    match draw(st.sampled_from(["whole", "start", "end", "twice"])):
        case "start":
            return bytes(file[:cut])
        case "end":
            return bytes(file[cut:])
        case "twice":
            return bytes(file[:cut] + file)
    return bytes(file)


def check_damaged(file: bytes) -> None:
    try:
        pixels = decode_image(file, LIMIT)
    except (UnreadableImage, ImageTooLarge):
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert 0 < pixels.shape[0] * pixels.shape[1] <= LIMIT


@settings(max_examples=150, deadline=None, derandomize=True)
@given(damaged())
def test_damaged_files(file: bytes) -> None:
    check_damaged(file)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None)
@given(damaged())
def test_many_damaged_files(file: bytes) -> None:
    check_damaged(file)
