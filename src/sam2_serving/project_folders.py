"""Where a folder of media lies in a project of the platform's format.

A project has a folder for each dataset. The dataset of a folder inside a folder lies in the other's
dataset, under `datasets/`.
"""

from __future__ import annotations

from pathlib import PurePosixPath

ROOT_DATASET = "ds0"
"""Dataset of the media that lie in no folder."""
RESERVED = {
    ROOT_DATASET,
    "ann", "blob", "datasets", "img", "img_info", "meta", "pointcloud", "project", "seg", "video",
}  # fmt: skip
"""Names that mean something else in a project."""


def dataset_folder(folder: PurePosixPath, reserved: frozenset[str] = frozenset()) -> PurePosixPath:
    """Return where the dataset of a folder lies, relative to the project.

    Args:
        folder: relative to the media folder; `.` is the media folder itself.
        reserved: more names that mean something else, as in projects of volumes.

    >>> str(dataset_folder(PurePosixPath("cats/small")))
    'cats/datasets/small'
    """
    taken = RESERVED | reserved
    names = [f"{part}_" if part.rstrip("_") in taken else part for part in folder.parts]
    return PurePosixPath("/datasets/".join(names or [ROOT_DATASET]))
