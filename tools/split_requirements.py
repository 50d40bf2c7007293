"""Split a list of packages with hashes into the steps in which the image installs them.

    uv pip compile ... --generate-hashes | python tools/split_requirements.py docker/requirements

torch and CUDA are layers of the image of their own: they are 20 times as large as the rest, and
change seldom. sam2 is built from source and imports torch for that, so it comes last.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

STEPS = {
    "build": re.compile(r"setuptools|wheel"),
    "torch": re.compile(r"torch|torchvision"),
    "cuda": re.compile(r"nvidia-.*|cuda-.*|triton"),
    "sam2": re.compile(r"sam2"),
    "app": re.compile(r".*"),
}
HEAD = "# Made by `make lock` from pyproject.toml and constraints.txt.\n"


def step_of(name: str) -> str:
    """Return the first step that a package belongs to."""
    return next(step for step, names in STEPS.items() if names.fullmatch(name))


def split(lock: str) -> dict[str, str]:
    """Return the text of each step's file.

    Raises:
        ValueError: a line is no pinned package with hashes.
    """
    found = dict.fromkeys(STEPS, HEAD)
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        pinned = re.match(r"([A-Za-z0-9._-]+)==\S+", entry)
        if pinned is None or "--hash=sha256:" not in entry:
            raise ValueError(f"This is no pinned package with hashes: {entry[:100]!r}")
        found[step_of(pinned.group(1))] += entry + "\n"
    return found


def main() -> None:
    """Read the list from standard input."""
    folder = Path(sys.argv[1])
    for step, text in split(sys.stdin.read()).items():
        (folder / f"{step}.txt").write_text(text)


if __name__ == "__main__":
    main()
