"""The command `segment`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2_serving.commands.clicks import add_clicks
from sam2_serving.commands.models import add_model_options
from sam2_serving.commands.segment_one import add_file_options, segment_one
from sam2_serving.settings import ServerSettings


def add_segment_options(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    """Add the options of `segment`."""
    parser.add_argument("image", type=Path)
    add_clicks(parser)
    parser.add_argument("--refine", choices=("single", "two_pass"), default=settings.refine)
    add_file_options(parser)
    add_model_options(parser, settings)
    parser.set_defaults(run=_segment)


def _segment(options: argparse.Namespace) -> None:
    segment_one(options.image, options)
