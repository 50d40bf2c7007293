"""Options for the form of many results, and where they go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.formats import (
    CocoFile,
    Geometry,
    MaskImages,
    OutputFormat,
    RleJson,
    SuperviselyProject,
)
from sam2_serving.commands.results import Category
from sam2_serving.commands.run_folder import RunFolder
from sam2_serving.settings import server_settings

FORMATS = ("coco", "rle-json", "png", "supervisely")
DEFAULT_FORMAT = "coco"
OUTPUT_OPTIONS = ("out", "format", "resume", "geometry", "polygon_tolerance", "no_images")
_SUPERVISELY_OPTIONS = ("geometry", "polygon_tolerance", "no_images")
_MAX_TOLERANCE = 100


def add_output_options(parser: argparse._ActionsContainer) -> None:
    """Add the options; `OUTPUT_OPTIONS` has their names."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results")
    parser.add_argument("--format", choices=FORMATS, help=f"default: {DEFAULT_FORMAT}")
    parser.add_argument("--resume", action="store_true", help="do only what is not done yet")
    parser.add_argument(
        "--geometry",
        choices=get_args(Geometry),
        help="supervisely: of the objects; default: bitmap",
    )
    parser.add_argument(
        "--polygon-tolerance",
        type=_tolerance,
        metavar="PIXELS",
        help="supervisely: how far polygons may leave a mask's edge; "
        f"default: {server_settings().polygon_tolerance:g}",
    )
    parser.add_argument(
        "--no-images", action="store_true", help="supervisely: do not copy the images"
    )


def check_output_options(options: argparse.Namespace) -> None:
    """Fill in the defaults.

    Raises:
        UsageError: there is no --out, or an option of another format.
    """
    if options.out is None:
        raise UsageError("Say where the results go: --out DIR.")
    options.format = options.format or DEFAULT_FORMAT
    for name in _SUPERVISELY_OPTIONS:
        if options.format != "supervisely" and getattr(options, name) not in (None, False):
            raise UsageError(f"--{name.replace('_', '-')} goes with --format supervisely.")
    if options.polygon_tolerance is not None and options.geometry != "polygon":
        raise UsageError("--polygon-tolerance goes with --geometry polygon.")
    options.geometry = options.geometry or "bitmap"
    if options.polygon_tolerance is None:
        options.polygon_tolerance = server_settings().polygon_tolerance


def format_facts(options: argparse.Namespace) -> dict[str, Any]:
    """Return what decides the form, by the name of the option."""
    facts = {"--format": options.format}
    if options.format == "supervisely":
        facts |= {"--geometry": options.geometry, "--no-images": options.no_images}
        if options.geometry == "polygon":
            facts["--polygon-tolerance"] = options.polygon_tolerance
    return facts


def make_format(
    options: argparse.Namespace, run: RunFolder, categories: Sequence[Category], numeric_path: str
) -> OutputFormat:
    """Return what writes the results; the options are checked."""
    if options.format == "coco":
        return CocoFile(run, categories, numeric_path)
    if options.format == "rle-json":
        return RleJson(run, run.out)
    if options.format == "png":
        return MaskImages(run)
    return SuperviselyProject(
        run, categories, options.geometry, options.polygon_tolerance, not options.no_images
    )


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= _MAX_TOLERANCE:
        raise argparse.ArgumentTypeError(f"{text!r} is no tolerance: 0 to {_MAX_TOLERANCE} pixels")
    return value
