import base64
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import supervisely as sly
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from sam2_serving.masks import decode_bitmap, encode_bitmap, tight_box

MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def png_of(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


@given(MASKS)
def test_round_trip_gives_the_same_pixels_in_the_same_place(mask):
    encoded = encode_bitmap(mask)
    if not mask.any():
        assert encoded is None
        return
    (x, y), data = encoded
    tight = decode_bitmap(data)
    again = np.zeros_like(mask)
    again[y : y + tight.shape[0], x : x + tight.shape[1]] = tight
    np.testing.assert_array_equal(again, mask)


@given(MASKS.filter(lambda mask: mask.any()))
def test_the_platforms_sdk_reads_what_we_write_and_we_read_what_it_writes(mask):
    (x, y), data = encode_bitmap(mask)
    np.testing.assert_array_equal(sly.Bitmap.base64_2_data(data), decode_bitmap(data))
    theirs = sly.Bitmap(mask)
    assert (theirs.origin.col, theirs.origin.row) == (x, y)
    np.testing.assert_array_equal(decode_bitmap(sly.Bitmap.data_2_base64(theirs.data)), theirs.data)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 300])
def test_colour_and_alpha_of_what_we_write_say_the_same(width):
    mask = np.random.default_rng(width).random((5, width)) > 0.4
    mask[0, 0] = mask[-1, -1] = True
    png = zlib.decompress(base64.b64decode(encode_bitmap(mask)[1]))
    with Image.open(io.BytesIO(png)) as picture:
        picture.verify()  # every chunk's checksum
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.mode, picture.size) == ("P", (width, 5))
        coloured = np.asarray(picture.convert("RGBA"))
    np.testing.assert_array_equal(coloured, np.where(mask[..., None], [255] * 4, [0] * 4))


def palette(colours: list[int], indices: list[list[int]]) -> Image.Image:
    picture = Image.fromarray(np.array(indices, np.uint8), mode="P")
    picture.putpalette(colours)
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)),
        Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1"),
        Image.fromarray(np.array([[[0] * 3, [9] * 3], [[9] * 3, [0] * 3]], np.uint8)),
        palette([0, 0, 0, 9, 9, 9], [[0, 1], [1, 0]]),
        palette([255, 255, 255, 0, 0, 0], [[1, 0], [0, 1]]),
        Image.fromarray(np.array([[[7] * 3 + [0], [7] * 4], [[7] * 4, [7] * 3 + [0]]], np.uint8)),
    ],
    ids=["gray", "bilevel", "rgb", "palette", "palette, white first", "alpha decides, not colour"],
)
@pytest.mark.parametrize("pack", [zlib.compress, bytes], ids=["zlib", "plain"])
def test_every_form_of_png_is_read(picture, pack):
    data = base64.b64encode(pack(png_of(picture))).decode()
    np.testing.assert_array_equal(decode_bitmap(data), [[False, True], [True, False]])


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def header(width: int, height: int, bits: int = 8, colour_type: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))


def without_palette() -> bytes:
    pixels = chunk(b"IDAT", zlib.compress(b"\0\1" * 2))
    return b"\x89PNG\r\n\x1a\n" + header(1, 2, colour_type=3) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        "%%%",
        "é",
        base64.b64encode(b"no png").decode(),
        base64.b64encode(zlib.compress(b"no png")).decode(),
        base64.b64encode(png_of(Image.new("L", (9, 9)))[:30]).decode(),
        base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(),
        base64.b64encode(without_palette()).decode(),
    ],
)
def test_what_is_no_bitmap_is_refused_with_a_sentence(data):
    with pytest.raises(ValueError, match="bitmap"):
        decode_bitmap(data)


def test_a_zip_bomb_is_refused_before_it_unfolds(monkeypatch):
    monkeypatch.setattr("sam2_serving.masks.bitmap.MAX_PNG_BYTES", 10_000)
    bomb = base64.b64encode(zlib.compress(b"\0" * 1_000_000)).decode()
    with pytest.raises(ValueError, match="too large"):
        decode_bitmap(bomb)


@pytest.mark.parametrize("pack", [zlib.compress, bytes], ids=["zlib", "plain"])
@pytest.mark.parametrize("headers", [[(100, 101)], [(1, 1), (100, 101)]], ids=["one", "two"])
def test_more_pixels_than_are_allowed_are_refused_before_they_are_decoded(headers, pack):
    png = b"\x89PNG\r\n\x1a\n" + b"".join(header(*size) for size in headers)
    png += chunk(b"IDAT", b"no pixels at all") + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match="too large"):
        decode_bitmap(base64.b64encode(pack(png)).decode(), max_pixels=100 * 100)


def test_as_many_pixels_as_are_allowed_are_read_in_the_widest_form():
    deep = np.random.default_rng(0).integers(2**8, 2**16, (100, 100, 4), np.uint16)
    packed = zlib.compress(cv2.imencode(".png", deep)[1].tobytes())
    assert decode_bitmap(base64.b64encode(packed).decode(), max_pixels=100 * 100).all()


@pytest.mark.long
def test_a_mask_of_very_many_pixels_survives(monkeypatch):
    mask = np.ones((13_500, 13_500), bool)
    _, data = encode_bitmap(mask)
    assert decode_bitmap(data).all()


@given(MASKS)
def test_tight_box_is_tight(mask):
    box = tight_box(mask)
    if box is None:
        assert not mask.any()
        return
    x0, y0, x1, y1 = box
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    for edge in (mask[y0, x0:x1], mask[y1 - 1, x0:x1], mask[y0:y1, x0], mask[y0:y1, x1 - 1]):
        assert edge.any()
