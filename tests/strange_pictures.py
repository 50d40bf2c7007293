"""Picture files of every kind, damaged ones, and some made to do harm."""

from __future__ import annotations

import io
import struct

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from sam2_serving.scenes import draw_scene

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
    "huge png": BLACK,
    "huge gif": saved(np.zeros((MANY, MANY), np.uint8), "GIF"),
    "huge tiff": saved(np.zeros((MANY, MANY), np.uint8), "TIFF", compression="tiff_lzw"),
    "huge webp": saved(np.zeros((MANY, MANY, 3), np.uint8), "WEBP"),
    "huge jpeg": saved(np.zeros((MANY, MANY), np.uint8), "JPEG"),
    "huge jpeg 2000": JPEG_2000,
    "20000 x 20000, so it says": stated(GOOD["gray"], 20_000, 20_000),
    "2^31 x 2^31, so it says": stated(GOOD["gray"], 2**31 - 1, 2**31 - 1),
}
LYING = {
    "8 x 8, so it says": stated(BLACK, 8, 8),
    "icon": icon(BLACK),
    "jpeg 2000, 8 x 8, so it says": JPEG_2000[:SIZE_2000]
    + struct.pack(">II", 8, 8)
    + JPEG_2000[SIZE_2000 + 8 :],
    "program": DRAWING,
    "no pixels": stated(GOOD["gray"], 0, 5),
}


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
