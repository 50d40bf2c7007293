"""Files that strangers send as pictures: a picture within the limit, or one of two refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import EpsImagePlugin

from sam2_serving.images import ImageTooLarge, UnreadableImage, decode_image
from sam2_serving.workspace.pictures import UnreadableMedia, picture_size, read_rgb
from strange_pictures import DRAWING, GOOD, HUGE, LIMIT, LYING, MANY, damaged


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_becomes_a_picture(name: str) -> None:
    pixels = decode_image(GOOD[name], LIMIT)
    assert pixels.dtype == np.uint8
    assert pixels.shape in ((48, 64, 3), (64, 48, 3), (1, 1, 3))


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
