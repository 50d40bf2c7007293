"""The command `segment`: one image and prompts, or many images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sam2_serving.commands.automatic_options import (
    add_automatic_options,
    automatic_settings,
    given_automatic_options,
)
from sam2_serving.commands.boxes import read_boxes
from sam2_serving.commands.clicks import add_clicks
from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.inputs import Inputs, find_images
from sam2_serving.commands.loading import load_known
from sam2_serving.commands.matching import match_images
from sam2_serving.commands.models import add_model_options, known_model
from sam2_serving.commands.output_options import (
    OUTPUT_OPTIONS,
    add_output_options,
    check_output_options,
    format_facts,
    make_format,
)
from sam2_serving.commands.run_folder import RunFolder
from sam2_serving.commands.segment_many import STORE_BYTES, say_how_it_ended, segment_many
from sam2_serving.commands.segment_one import FILE_OPTIONS, add_file_options, segment_one
from sam2_serving.commands.tasks import FindEverything, MasksOfBoxes, Task
from sam2_serving.engine import Engine
from sam2_serving.masks.cleanup import Cleanup
from sam2_serving.settings import ServerSettings, server_settings

_MAX_AREA = 2**31 - 1
_CLICKS = ("box", "point", "negative")
_CLEANUP = ("hole_area", "island_area")


def add_segment_options(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    """Add the options of `segment`."""
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="image, folder of images or quoted glob"
    )
    parser.add_argument(
        "--refine", choices=("single", "two_pass"), help=f"default: {settings.refine}"
    )
    add_model_options(parser, settings)

    one = parser.add_argument_group("one image to one mask")
    add_clicks(one)
    add_file_options(one)

    many = parser.add_argument_group("one image or many")
    many.add_argument("--auto", action="store_true", help="find everything")
    many.add_argument(
        "--boxes", type=Path, help="find the mask of each box: COCO or platform JSON, or its folder"
    )
    for name, meaning in (("hole", "fill holes"), ("island", "drop islands")):
        many.add_argument(
            f"--{name}-area", type=_area, metavar="N", help=f"{meaning} of fewer pixels; default: 0"
        )
    add_output_options(many)
    add_automatic_options(parser)
    parser.set_defaults(run=_segment)


def _segment(options: argparse.Namespace) -> int:
    if options.auto and options.refine is not None:
        raise UsageError("--refine is for prompts; with --auto use --use-m2m.")
    options.refine = options.refine or server_settings().refine
    if options.auto and options.boxes is not None:
        raise UsageError("--auto finds everything, --boxes what lies in boxes: choose one.")
    if not options.auto and options.boxes is None:
        _one(options)
        return 0
    _refuse(options, (*_CLICKS, *FILE_OPTIONS), "is for one image and its prompts")
    if options.boxes is not None and given_automatic_options(options):
        raise UsageError(f"{given_automatic_options(options)[0]} goes with --auto.")
    check_output_options(options)
    return _many(options)


def _one(options: argparse.Namespace) -> None:
    if len(options.inputs) > 1 or Path(options.inputs[0]).is_dir():
        raise UsageError(
            "Clicks and a box are for one image: say what to do with many, --auto or --boxes FILE."
        )
    _refuse(options, (*OUTPUT_OPTIONS, *_CLEANUP), "goes with --auto or --boxes")
    if given_automatic_options(options):
        raise UsageError(f"{given_automatic_options(options)[0]} goes with --auto.")
    segment_one(Path(options.inputs[0]), options)


def _many(options: argparse.Namespace) -> int:
    known = known_model(options.model)
    folder = RunFolder(options.out)
    folder.refuse_if_used(options.resume)
    task, inputs = _task(options)
    model = load_known(known, options.device)
    facts: dict[str, Any] = {
        "folder of the images": str(inputs.root),
        "--model": known.name,
        "numeric path": model.numeric_path,
        **task.facts(),
        **format_facts(options),
    }
    files = inputs.images
    with Engine(model, store_bytes=STORE_BYTES) as engine, folder.open(facts) as run:
        form = make_format(options, run, task.categories, engine.numeric_path)
        try:
            outcome = segment_many(run, engine, task, form, files)
            return say_how_it_ended(run, form, files, outcome)
        except KeyboardInterrupt:
            run.read_journal()
            done = sum(run.is_done(file, form.place(file.name)) for file in files)
            print(
                f"sam2-serving: Stopped: {done} of {len(files)} images are done. To go on, give "
                "the same command with --resume.",
                file=sys.stderr,
            )
            return 130


def _task(options: argparse.Namespace) -> tuple[Task, Inputs]:
    """Return what to ask, and the images to ask it about."""
    cleanup = Cleanup(options.hole_area or 0, options.island_area or 0)
    if options.auto:
        settings = automatic_settings(options)
        return FindEverything(settings, cleanup), find_images(options.inputs, options.out)
    boxes = read_boxes(options.boxes)
    inputs = find_images(options.inputs, options.out)
    matches = match_images(boxes.images, inputs.images)
    asked = tuple(file for file in inputs.images if file.name in matches.listed)
    _say(len(inputs.images) - len(asked), "images have no entry in the boxes, and are left out")
    _say(len(matches.missing), "images of the boxes are not among the inputs", matches.missing)
    _say(boxes.passed_over, "annotations are no rectangles, and are passed over")
    task = MasksOfBoxes(boxes, matches.listed, options.refine, cleanup)
    return task, Inputs(inputs.root, asked)


def _say(count: int, what: str, examples: tuple[str, ...] = ()) -> None:
    if count:
        such = f" ({examples[0]!r}{', ...' if count > 1 else ''})" if examples else ""
        print(f"sam2-serving: {count} {what}{such}.", file=sys.stderr)


def _refuse(options: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(options, name) not in (None, False, []):
            raise UsageError(f"--{name.replace('_', '-')} {why}.")


def _area(text: str) -> int:
    if not (text.isdecimal() and int(text) <= _MAX_AREA):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels: 0 to {_MAX_AREA}")
    return int(text)
