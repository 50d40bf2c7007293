"""Finds a Chromium, or gets one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # Chromium refuses to run as root with one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class NoChromium(Exception):
    """There is none, and none could be had."""


def find_chromium() -> str:
    """Return the path of a Chromium.

    Looked for in this order: `$CHROMIUM`; an installed one; Playwright's own, downloaded when it
    is not there; Debian's, installed when this runs as root.

    Raises:
        NoChromium: nothing of this worked; the text says what was tried.
    """
    given = os.environ.get("CHROMIUM")
    if given:
        found = shutil.which(given)
        if found is None:
            raise NoChromium(f"$CHROMIUM is {given!r}, which is no program.")
        return found
    return _installed() or _of_playwright() or _of_debian() or _give_up()


def _installed() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _of_playwright() -> str | None:
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    if not Path(path).exists():
        _try(sys.executable, "-m", "playwright", "install", "chromium")
    return path if Path(path).exists() else None


def _of_debian() -> str | None:
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    _try("apt-get", "update", "-q")
    _try("apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium")
    return _installed()


def _try(*command: str) -> None:
    try:
        subprocess.run(command, check=False, timeout=240, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command[0]}: {error}", file=sys.stderr)


def _give_up() -> str:
    raise NoChromium(
        "The browser tests need Chromium. Set CHROMIUM to its path, or install one "
        "(`playwright install chromium`, `apt-get install chromium`), or leave these tests out "
        "with NO_BROWSER=1."
    )
