"""The command `sam2-serving`: demo, serve, models, download, segment, track."""

from __future__ import annotations

import argparse
import sys

from pydantic import ValidationError

from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.models import download, list_models
from sam2_serving.commands.segment import add_segment_options
from sam2_serving.commands.servers import add_demo_options, add_serve_options
from sam2_serving.commands.track import add_track_options
from sam2_serving.commands.track_video import TrackError
from sam2_serving.demo import DemoError
from sam2_serving.downloads import DownloadError
from sam2_serving.model import ModelError
from sam2_serving.settings import ServerSettings, server_settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        what the command says, 0 if nothing; or 2 after a sentence on stderr, or 130 after Ctrl-C.
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
    add_demo_options(demo, settings)

    serve = commands.add_parser("serve", help="the app alone, without a page")
    add_serve_options(serve, settings)

    models = commands.add_parser("models", help="list the pretrained models")
    models.set_defaults(run=list_models)

    fetch = commands.add_parser("download", help="fetch checkpoints, so that none is waited for")
    fetch.add_argument("models", nargs="+", metavar="NAME", help="name or alias: see `models`")
    fetch.set_defaults(run=download)

    segment = commands.add_parser("segment", help="masks of one image or many")
    add_segment_options(segment, settings)

    track = commands.add_parser("track", help="one object through a video")
    add_track_options(track, settings)
    return parser


if __name__ == "__main__":
    sys.exit(main())
