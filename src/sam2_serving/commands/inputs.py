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
        inputs: files, folders (with all below them but what is hidden) or globs.
        leave_out: a folder that no image is taken from: results may be images too.

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
    fixed = path
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    found: list[Path] = []
    for match in glob.iglob(str(path), recursive=True):
        if Path(match).is_dir():
            found += _images_below(Path(match), excluded)
        elif _is_image(match) and not Path(match).resolve().is_relative_to(excluded):
            found.append(Path(match))
    return fixed, found


def _images_below(folder: Path, excluded: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        if Path(place).resolve().is_relative_to(excluded):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in files if _is_image(name))


def _is_image(name: str) -> bool:
    return not Path(name).name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
