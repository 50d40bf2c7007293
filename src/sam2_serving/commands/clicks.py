"""Clicks and a box that are typed on the command line."""

from __future__ import annotations

import argparse

from sam2_serving.commands.errors import UsageError
from sam2_serving.masks import Box
from sam2_serving.model import Point, Prompts


def add_clicks(parser: argparse._ActionsContainer) -> None:
    """Add `--box`, `--point` and `--negative`."""
    parser.add_argument(
        "--box", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"), help="x1, y1 exclusive"
    )
    for name, meaning in (("--point", "click on the object"), ("--negative", "click beside it")):
        parser.add_argument(
            name, type=float, nargs=2, action="append", default=[], metavar=("X", "Y"), help=meaning
        )


def prompts_of(options: argparse.Namespace, height: int, width: int) -> Prompts:
    """Return the typed prompts on an image of that size, in pixels.

    Raises:
        UsageError: there are none, or one lies outside the image.
    """
    points = [Point(x, y) for x, y in options.point]
    points += [Point(x, y, positive=False) for x, y in options.negative]
    for point in points:
        if not (0 <= point.x < width and 0 <= point.y < height):
            raise UsageError(
                f"The point {point.x:g}, {point.y:g} lies outside the image of {width} x {height}."
            )
    box = None if options.box is None else Box(*options.box)
    if box is not None:
        if not (box.x0 < box.x1 and box.y0 < box.y1):
            raise UsageError("The box is empty: x0 must be less than x1, and y0 less than y1.")
        box = box.clipped(height, width)
        if box is None:
            raise UsageError(f"The box lies outside the image of {width} x {height}.")
    prompts = Prompts(tuple(points), box)
    if prompts.is_empty:
        raise UsageError("Say what to segment: --box X0 Y0 X1 Y1 or --point X Y.")
    return prompts
