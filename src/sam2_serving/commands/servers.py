"""The commands `demo` and `serve`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.models import add_model_options, known_model
from sam2_serving.demo import DemoError, app_command, demo_from, run_demo
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.settings import ServerSettings, server_settings


def add_demo_options(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    """Add the options of `demo`."""
    parser.add_argument("folder", nargs="?", type=Path, help="your images; default: samples")
    parser.add_argument("--port", type=_fixed_port, default=8080, help="of the page")
    parser.add_argument(
        "--app-port", type=_fixed_port, default=str(settings.port), help="of the app"
    )
    add_model_options(parser, settings)
    parser.set_defaults(run=_demo)


def add_serve_options(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    """Add the options of `serve`."""
    parser.add_argument("--host", default=settings.host)
    parser.add_argument("--port", type=_port, default=settings.port)
    add_model_options(parser, settings)
    parser.set_defaults(run=_serve)


def _demo(options: argparse.Namespace) -> int:
    if options.folder is not None and not options.folder.is_dir():
        raise UsageError(f"There is no folder {str(options.folder)!r}.")
    if options.port == options.app_port:
        raise UsageError(f"--port and --app-port are both {options.port}: they must differ.")
    known_model(options.model)
    settings = server_settings().model_copy(
        update={"port": options.app_port, "model": options.model, "device": options.device}
    )
    folder = None if options.folder is None else options.folder.resolve()
    _pass_on_folders()
    try:
        return run_demo(demo_from(settings, folder, options.port))
    except DemoError as error:
        raise UsageError(str(error)) from error


def _serve(options: argparse.Namespace) -> None:
    """Become the app's process, so that signals reach it."""
    known_model(options.model)
    for name in ("host", "port", "model", "device"):
        os.environ[f"SAM2_SERVING_{name.upper()}"] = str(getattr(options, name))
    _pass_on_folders()
    os.chdir(REPOSITORY)
    command = app_command(options.host, options.port)
    os.execv(command[0], command)


def _pass_on_folders() -> None:
    """Tell the servers, which run elsewhere, what folders named from here are meant."""
    for name in ("data_dir", "checkpoints_dir", "disk_store_dir", "compiled_dir"):
        folder: Path | None = getattr(server_settings(), name)
        if folder is not None:
            os.environ[f"SAM2_SERVING_{name.upper()}"] = str(folder.resolve())


def _fixed_port(text: str) -> int:
    """Read a port that the other server is told: none that is chosen later."""
    if text == "0":
        raise argparse.ArgumentTypeError("'0' is no port to find the other server at: give another")
    return _port(text)


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give 0 to 65535")
    return int(text)
