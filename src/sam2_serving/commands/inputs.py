"""Which images the user named: files, folders, quoted globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam2_serving.commands.errors import UsageError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".jfif", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
)
"""What a folder or a glob is searched for; a file that is named itself may have any suffix."""

HIDDEN = ".sam2-serving"
"""What a run remembers lies in a folder of this name; so it marks folders of results."""


@dataclass(frozen=True)
class ImageFile:
    """An image to segment.

    Attributes:
        path: absolute.
        name: path below the inputs' common folder, with slashes: no two images share one, and a
            result named by it collides with no other.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Inputs:
    """All images of a run.

    Attributes:
        root: the deepest folder that holds all inputs.
        images: each once, by name.
    """

    root: Path
    images: tuple[ImageFile, ...]


def find_images(inputs: Sequence[str], leave_out: Path) -> Inputs:
    """Return the images that the inputs name.

    Args:
        inputs: files, folders (with all below them but what is hidden, and results of runs, which
            may be images too) or globs.
        leave_out: a folder that no image is taken from: where results will be.

    Raises:
        UsageError: an input names nothing, or no image.
    """
    excluded = leave_out.resolve()
    bases: list[Path] = []
    found: set[Path] = set()
    for given in inputs:
        base, paths = _expand(given, excluded)
        if not paths:
            raise UsageError(f"There are no images in {given!r}.")
        bases.append(base)
        found.update(paths)
    root = Path(os.path.commonpath(bases))
    images = (ImageFile(path, path.relative_to(root).as_posix()) for path in found)
    return Inputs(root, tuple(sorted(images, key=lambda image: image.name)))


def _expand(given: str, excluded: Path) -> tuple[Path, list[Path]]:
    """Return the folder that an input is about, and its images."""
    path = Path(os.path.abspath(given))
    if path.is_dir():
        return path, list(_images_below(path, excluded))
    if path.exists():
        return path.parent, [path]
    if not glob.has_magic(given):
        raise UsageError(f"There is no file or folder {given!r}.")
    fixed = Path(given)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    base = Path(os.path.abspath(fixed))
    found: list[Path] = []
    # as it was given: the folders that lead to it may have names that look like globs
    for match in (Path(os.path.abspath(name)) for name in glob.iglob(given, recursive=True)):
        if _holds_results(match, base):
            continue
        if match.is_dir():
            found += _images_below(match, excluded)
        elif _is_image(match.name) and not match.resolve().is_relative_to(excluded):
            found.append(match)
    return base, found


def _holds_results(path: Path, base: Path) -> bool:
    """Tell whether the path is a folder of results below `base`, or lies in one."""
    between = (path, *path.parents)[: len(path.parts) - len(base.parts)]
    return any((folder / HIDDEN).is_dir() for folder in between)


def _images_below(folder: Path, excluded: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        results = HIDDEN in folders and Path(place) != folder
        if results or Path(place).resolve().is_relative_to(excluded):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in files if _is_image(name))


def _is_image(name: str) -> bool:
    return not Path(name).name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
