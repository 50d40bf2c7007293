"""The command `sam2-serving`: demo, serve, models, download, compile, segment, track.

What a command needs is imported when it is given: torch takes seconds to import, and `models`, say,
does not need it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from pydantic import ValidationError

from sam2_serving.commands.errors import UsageError
from sam2_serving.cores import leave_cores_to_the_device
from sam2_serving.settings import ServerSettings, server_settings

AddOptions = Callable[[argparse.ArgumentParser, ServerSettings], None]


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        what the command says, 0 if nothing; or 2 after a sentence on stderr, or 130 after Ctrl-C.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if arguments is None and given[:1] in (["segment"], ["track"]):
        leave_cores_to_the_device()
    try:
        options = _parser(given, _settings()).parse_args(given)
        return int(options.run(options) or 0)
    except UsageError as error:
        print(f"sam2-serving: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sam2-serving: Stopped.", file=sys.stderr)
        return 130


def _settings() -> ServerSettings:
    try:
        return server_settings()
    except ValidationError as error:
        wrong = error.errors()[0]
        name = f"SAM2_SERVING_{'_'.join(str(part) for part in wrong['loc']).upper()}"
        raise UsageError(f"{name}: {wrong['msg']}.") from error


def _parser(given: list[str], settings: ServerSettings) -> argparse.ArgumentParser:
    """Return a parser that knows all commands, and the options of the one that is given."""
    parser = argparse.ArgumentParser(prog="sam2-serving", description="Serve Segment Anything 2.1.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    chosen = next((word for word in given if not word.startswith("-")), None)
    for name, (meaning, add_options) in _COMMANDS.items():
        command = commands.add_parser(name, help=meaning)
        if name == chosen:
            add_options(command, settings)
    return parser


def _demo(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    from sam2_serving.commands.servers import add_demo_options

    add_demo_options(parser, settings)


def _serve(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    from sam2_serving.commands.servers import add_serve_options

    add_serve_options(parser, settings)


def _models(parser: argparse.ArgumentParser, _: ServerSettings) -> None:
    from sam2_serving.commands.models import list_models

    parser.set_defaults(run=list_models)


def _download(parser: argparse.ArgumentParser, _: ServerSettings) -> None:
    from sam2_serving.commands.models import add_download_options

    add_download_options(parser)


def _compile(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    from sam2_serving.commands.compiling import add_compile_options

    add_compile_options(parser, settings)


def _segment(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    from sam2_serving.commands.segment import add_segment_options

    add_segment_options(parser, settings)


def _track(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    from sam2_serving.commands.track import add_track_options

    add_track_options(parser, settings)


_COMMANDS: dict[str, tuple[str, AddOptions]] = {
    "demo": ("workspace and app together, no account needed", _demo),
    "serve": ("the app alone, without a page", _serve),
    "models": ("list the pretrained models", _models),
    "download": ("fetch checkpoints, so that none is waited for", _download),
    "compile": ("make the image encoder machine code, for the next deploy", _compile),
    "segment": ("masks of one image or many", _segment),
    "track": ("one object through a video", _track),
}


if __name__ == "__main__":
    sys.exit(main())
