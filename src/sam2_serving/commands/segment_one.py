"""One image and typed prompts to one mask."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sam2_serving.commands.clicks import prompts_of
from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.images import read_image
from sam2_serving.commands.loading import load_known
from sam2_serving.commands.models import known_model
from sam2_serving.engine import Engine, ImageKey, ImageSource, Segmentation
from sam2_serving.masks import draw_overlay, encode_rle
from sam2_serving.settings import server_settings

FILE_OPTIONS = ("overlay", "mask", "rle")


def add_file_options(parser: argparse._ActionsContainer) -> None:
    """Add the files that a mask may be written to; `FILE_OPTIONS` has their names."""
    parser.add_argument("--overlay", type=Path, help="PNG of the image with the mask over it")
    parser.add_argument("--mask", type=Path, help="PNG of the mask, 0 and 255")
    parser.add_argument("--rle", type=Path, help="JSON: COCO run-length code, predicted IoU")


def segment_one(file: Path, options: argparse.Namespace) -> None:
    """Segment what the prompts show, write the mask and say how good it is.

    Raises:
        UsageError: the image cannot be read, the prompts do not fit it, or nothing can be written.
    """
    image = read_image(file)
    for name in FILE_OPTIONS:
        out: Path | None = getattr(options, name)
        if out is not None and out.exists() and out.samefile(file):
            raise UsageError(f"--{name} is the image itself: name another file.")
    prompts = prompts_of(options, *image.shape[:2])
    model = load_known(known_model(options.model), options.device)
    with Engine(model, store_bytes=server_settings().store_mb * 2**20) as engine:
        source = ImageSource(ImageKey("file", "", str(file)), lambda: image)
        answer = engine.segment(source, prompts, refine=options.refine)
    try:
        _write(file, options, image, answer)
    except OSError as error:
        raise UsageError(f"The result cannot be written: {error}.") from error


def _write(
    file: Path, options: argparse.Namespace, image: npt.NDArray[np.uint8], answer: Segmentation
) -> None:
    overlay = options.overlay
    if overlay is None and options.mask is None and options.rle is None:
        overlay = Path(f"{file.stem}-overlay.png")
    if overlay is not None:
        Image.fromarray(draw_overlay(image, answer.mask)).save(overlay, format="PNG")
    if options.mask is not None:
        Image.fromarray(answer.mask.astype(np.uint8) * 255).save(options.mask, format="PNG")
    if options.rle is not None:
        code = {"segmentation": encode_rle(answer.mask), "predicted_iou": answer.predicted_iou}
        options.rle.write_text(json.dumps(code))
    written = ", ".join(str(file) for file in (overlay, options.mask, options.rle) if file)
    print(
        f"{answer.mask.sum()} pixels, predicted IoU {answer.predicted_iou:.3f} "
        f"({answer.numeric_path}): {written}"
    )
