"""`python -m sam2_serving.workspace [FOLDER]`: serve the workspace alone."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from sam2_serving.workspace.server import run
from sam2_serving.workspace.settings import WorkspaceSettings


def main() -> int:
    """Read the command line, then serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m sam2_serving.workspace", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="media folder; none: samples")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--data-dir", type=Path, help="where figures and samples are kept")
    parser.add_argument("--app-url", help="where the app listens")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # httpx writes a line for every request that goes to the app.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        run(WorkspaceSettings(**given))
    except (NotADirectoryError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
