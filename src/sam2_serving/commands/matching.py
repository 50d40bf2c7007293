"""Which of the images that the user named a list of boxes speaks of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from sam2_serving.commands.box_files import ListedImage
from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.inputs import ImageFile


@dataclass(frozen=True)
class Matches:
    """Which entry belongs to which image.

    Attributes:
        listed: the entry of each image that has one, by the image's name.
        missing: names of entries that no image was found for.
    """

    listed: dict[str, ListedImage]
    missing: tuple[str, ...]


def match_images(listed: Sequence[ListedImage], images: Sequence[ImageFile]) -> Matches:
    """Find the image of each entry.

    An entry's name is the image's name below the inputs' folder, or the end of the image's path,
    where a folder `img` directly round the image may be left out, and so may the suffix.

    Raises:
        UsageError: a name fits several images, or several names one image, or none fits at all.
    """
    exact = {image.name: image for image in images}
    by_end: dict[str, list[ImageFile]] = defaultdict(list)
    for image in images:
        for end in {image.path.name, image.path.stem}:
            by_end[end].append(image)
    found: dict[str, ListedImage] = {}
    missing = []
    for entry in listed:
        wanted = PurePosixPath(entry.name)
        one = exact.get(wanted.as_posix())
        fitting = [one] if one else [i for i in by_end[wanted.name] if _ends_with(i.path, wanted)]
        if not fitting:
            missing.append(entry.name)
            continue
        if len(fitting) > 1:
            names = " or ".join(repr(image.name) for image in fitting[:2])
            raise UsageError(f"The boxes of {entry.name!r} may be those of {names}.")
        if fitting[0].name in found:
            other = found[fitting[0].name].name
            raise UsageError(
                f"Both {other!r} and {entry.name!r} of the boxes are the image {fitting[0].name!r}."
            )
        found[fitting[0].name] = entry
    if not found:
        raise UsageError(
            f"None of the images that the boxes name is among the {len(images)} given: the boxes "
            f"name {listed[0].name!r}, given is {images[0].name!r}."
            if listed
            else "There are no images in the boxes."
        )
    return Matches(found, tuple(missing))


def _ends_with(path: Path, wanted: PurePath) -> bool:
    ways = [path, path.with_suffix("")]
    if path.parent.name == "img":
        ways += [path.parent.parent / way.name for way in ways]
    return any(way.parts[-len(wanted.parts) :] == wanted.parts for way in ways)
