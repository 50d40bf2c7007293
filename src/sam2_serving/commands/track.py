"""The command `track`: one object through a video."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sam2_serving.commands.clicks import add_clicks, prompts_of
from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.images import read_image
from sam2_serving.commands.loading import load_known
from sam2_serving.commands.models import add_model_options, known_model
from sam2_serving.commands.track_video import VideoFile, check_output, frames_to_track, track_file
from sam2_serving.engine import Engine
from sam2_serving.model import Prompts
from sam2_serving.settings import ServerSettings, server_settings


def add_track_options(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    """Add the options of `track`."""
    parser.add_argument("video", type=Path)
    parser.add_argument(
        "--frame", type=int, default=0, help="where the object is shown; default: 0"
    )
    add_clicks(parser)
    parser.add_argument("--mask", type=Path, help="image of the object's mask: what is not black")
    parser.add_argument("--frames", type=int, help="how many to track; default: to the end")
    parser.add_argument("--backward", action="store_true", help="towards the first frame")
    parser.add_argument(
        "--out", type=Path, required=True, help="overlay video (.mp4), or a folder of mask PNGs"
    )
    add_model_options(parser, settings)
    parser.set_defaults(run=_track)


def _track(options: argparse.Namespace) -> None:
    ways = sum(one is not None for one in (options.point or None, options.box, options.mask))
    if ways != 1 or (options.negative and not options.point):
        raise UsageError(
            "Say where the object is, in one way: --box X0 Y0 X1 Y1, --point X Y or --mask FILE."
        )
    known = known_model(options.model)
    video = VideoFile.open(options.video)
    facts = video.facts
    indices = frames_to_track(facts.frames, options.frame, options.frames, options.backward)
    if options.mask is None:
        prompts = prompts_of(options, facts.height, facts.width)
    else:
        prompts = Prompts(mask=_read_mask(options.mask, facts.height, facts.width))
    check_output(options.out, options.video)
    model = load_known(known, options.device)
    with Engine(model, store_bytes=server_settings().store_mb * 2**20) as engine:
        followed = track_file(engine, video, options.frame, indices, prompts, options.out)
    for sentence in followed.sentences():
        print(sentence)
    print(f"Tracked {len(indices)} frames ({engine.numeric_path}): {options.out}")


def _read_mask(path: Path, height: int, width: int) -> npt.NDArray[np.bool_]:
    mask = np.asarray(read_image(path).any(axis=2))
    if mask.shape != (height, width):
        raise UsageError(
            f"The mask {str(path)!r} has {mask.shape[1]} x {mask.shape[0]} pixels, the video "
            f"{width} x {height}."
        )
    if not mask.any():
        raise UsageError(f"The mask {str(path)!r} is empty: all of it is black.")
    if mask.all():
        raise UsageError(f"The mask {str(path)!r} covers the whole frame: none of it is black.")
    return mask
