"""The command `sam2-serving`: demo, serve, models, download, segment, track."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import ValidationError
from tqdm import tqdm

from sam2_serving.cli_track import (
    TrackError,
    VideoFile,
    check_output,
    frames_to_track,
    track_file,
)
from sam2_serving.demo import DemoError, app_command, demo_from, run_demo
from sam2_serving.downloads import DownloadError
from sam2_serving.engine import Engine, ImageKey, ImageSource, Segmentation
from sam2_serving.images import decode_image
from sam2_serving.masks import Box, draw_overlay, encode_rle
from sam2_serving.model import ModelError, Point, Prompts, load_model
from sam2_serving.pretrained import (
    REPOSITORY,
    PretrainedModel,
    checkpoint_file,
    find_pretrained,
    pretrained_models,
)
from sam2_serving.settings import ServerSettings, server_settings


class UsageError(Exception):
    """The command cannot be carried out; the text says why."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0, or 2 after a sentence on stderr, or 130 after Ctrl-C.
    """
    try:
        options = _parser(server_settings()).parse_args(arguments)
        return int(options.run(options) or 0)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = f"SAM2_SERVING_{'_'.join(str(part) for part in wrong['loc']).upper()}"
        print(f"sam2-serving: {name}: {wrong['msg']}.", file=sys.stderr)
        return 2
    except (UsageError, TrackError, DemoError, DownloadError, ModelError) as error:
        print(f"sam2-serving: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sam2-serving: Stopped.", file=sys.stderr)
        return 130


def _parser(settings: ServerSettings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sam2-serving", description="Serve Segment Anything 2.1.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="workspace and app together, no account needed")
    demo.add_argument("folder", nargs="?", type=Path, help="your images; default: samples")
    demo.add_argument("--port", type=_port, default=8080, help="of the page")
    demo.add_argument("--app-port", type=_port, default=settings.port, help="of the app")
    demo.set_defaults(run=_demo)

    serve = commands.add_parser("serve", help="the app alone, without a page")
    serve.add_argument("--host", default=settings.host)
    serve.add_argument("--port", type=_port, default=settings.port)
    serve.set_defaults(run=_serve)

    models = commands.add_parser("models", help="list the pretrained models")
    models.set_defaults(run=_models)

    download = commands.add_parser("download", help="fetch checkpoints, so that none is waited for")
    download.add_argument("models", nargs="+", metavar="NAME", help="name or alias: see `models`")
    download.set_defaults(run=_download)

    segment = commands.add_parser("segment", help="one image and prompts to one mask")
    segment.add_argument("image", type=Path)
    _add_clicks(segment)
    segment.add_argument("--refine", choices=("single", "two_pass"), default=settings.refine)
    segment.add_argument("--overlay", type=Path, help="PNG of the image with the mask over it")
    segment.add_argument("--mask", type=Path, help="PNG of the mask, 0 and 255")
    segment.add_argument("--rle", type=Path, help="JSON: COCO run-length code, predicted IoU")
    segment.set_defaults(run=_segment)

    track = commands.add_parser("track", help="one object through a video")
    track.add_argument("video", type=Path)
    track.add_argument("--frame", type=int, default=0, help="where the object is shown; default: 0")
    _add_clicks(track)
    track.add_argument("--mask", type=Path, help="image of the object's mask: what is not black")
    track.add_argument("--frames", type=int, help="how many to track; default: to the end")
    track.add_argument("--backward", action="store_true", help="towards the first frame")
    track.add_argument(
        "--out", type=Path, required=True, help="overlay video (.mp4), or a folder of mask PNGs"
    )
    track.set_defaults(run=_track)

    for command in (demo, serve, segment, track):
        command.add_argument("--model", default=settings.model, help="name or alias: see `models`")
        command.add_argument("--device", default=settings.device, help="auto, cpu, cuda, cuda:N")
    return parser


def _add_clicks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--box", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"), help="x1, y1 exclusive"
    )
    for name, meaning in (("--point", "click on the object"), ("--negative", "click beside it")):
        parser.add_argument(
            name, type=float, nargs=2, action="append", default=[], metavar=("X", "Y"), help=meaning
        )


def _demo(options: argparse.Namespace) -> int:
    if options.folder is not None and not options.folder.is_dir():
        raise UsageError(f"There is no folder {str(options.folder)!r}.")
    _known(options.model)
    settings = server_settings().model_copy(
        update={"port": options.app_port, "model": options.model, "device": options.device}
    )
    folder = None if options.folder is None else options.folder.resolve()
    return run_demo(demo_from(settings, folder, options.port))


def _serve(options: argparse.Namespace) -> None:
    """Become the app's process, so that signals reach it."""
    _known(options.model)
    for name in ("host", "port", "model", "device"):
        os.environ[f"SAM2_SERVING_{name.upper()}"] = str(getattr(options, name))
    os.chdir(REPOSITORY)
    command = app_command(options.host, options.port)
    os.execv(command[0], command)


def _models(_: argparse.Namespace) -> None:
    models = pretrained_models()
    rows = [{"name": model.short_name, **model.columns} for model in models]
    headers = list(rows[0])
    widths = [max(len(header), *(len(row[header]) for row in rows)) for header in headers]
    for cells in [headers, *([row[header] for header in headers] for row in rows)]:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)))


def _download(options: argparse.Namespace) -> None:
    for model in [_known(name) for name in options.models]:
        print(f"{model.name}: {_checkpoint(model)}")


def _segment(options: argparse.Namespace) -> None:
    image = _read_image(options.image)
    prompts = _prompts(options, *image.shape[:2])
    model = load_model(_checkpoint(_known(options.model)), options.device, server_settings().dtype)
    with Engine(model, store_bytes=server_settings().store_mb * 2**20) as engine:
        source = ImageSource(ImageKey("file", "", str(options.image)), lambda: image)
        answer = engine.segment(source, prompts, refine=options.refine)
    try:
        _write(options, image, answer)
    except OSError as error:
        raise UsageError(f"The result cannot be written: {error}.") from error


def _track(options: argparse.Namespace) -> None:
    ways = sum(one is not None for one in (options.point or None, options.box, options.mask))
    if ways != 1 or (options.negative and not options.point):
        raise UsageError(
            "Say where the object is, in one way: --box X0 Y0 X1 Y1, --point X Y or --mask FILE."
        )
    known = _known(options.model)
    video = VideoFile.open(options.video)
    facts = video.facts
    indices = frames_to_track(facts.frames, options.frame, options.frames, options.backward)
    if options.mask is None:
        prompts = _prompts(options, facts.height, facts.width)
    else:
        prompts = Prompts(mask=_read_mask(options.mask, facts.height, facts.width))
    check_output(options.out, options.video)
    model = load_model(_checkpoint(known), options.device, server_settings().dtype)
    with Engine(model, store_bytes=server_settings().store_mb * 2**20) as engine:
        followed = track_file(engine, video, options.frame, indices, prompts, options.out)
    for sentence in followed.sentences():
        print(sentence)
    print(f"Tracked {len(indices)} frames ({engine.numeric_path}): {options.out}")


def _read_mask(path: Path, height: int, width: int) -> npt.NDArray[np.bool_]:
    mask = np.asarray(_read_image(path).any(axis=2))
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


def _read_image(path: Path) -> npt.NDArray[np.uint8]:
    try:
        return decode_image(path.read_bytes(), server_settings().max_image_pixels)
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error}") from error


def _prompts(options: argparse.Namespace, height: int, width: int) -> Prompts:
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


def _write(options: argparse.Namespace, image: npt.NDArray[np.uint8], answer: Segmentation) -> None:
    overlay = options.overlay
    if overlay is None and options.mask is None and options.rle is None:
        overlay = Path(f"{options.image.stem}-overlay.png")
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


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give 0 to 65535")
    return int(text)


def _known(name: str) -> PretrainedModel:
    try:
        return find_pretrained(name)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from error


def _checkpoint(model: PretrainedModel) -> Path:
    with tqdm(unit="B", unit_scale=True, desc=model.name, disable=None, leave=False) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return checkpoint_file(model, server_settings().checkpoints_dir, show)


if __name__ == "__main__":
    sys.exit(main())
