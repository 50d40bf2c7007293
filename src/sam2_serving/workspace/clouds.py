"""Point clouds: here only for the photos that belong to them."""

from __future__ import annotations

from pathlib import PurePosixPath

CLOUD_MIMES = {
    ".pcd": "image/pcd",
    ".ply": "application/x-ply",
    ".las": "application/vnd.las",
    ".laz": "application/vnd.laz",
}
PHOTO_FOLDER = "related_images"
"""The platform's project format: photos of `x.pcd` lie in `related_images/x_pcd/`."""


def is_photo(path: str) -> bool:
    """Tell whether a picture's path says that it is the photo of a cloud."""
    return PHOTO_FOLDER in PurePosixPath(path).parts[:-1]


def photo_folders(cloud: str) -> list[str]:
    """Return where photos of a cloud may lie: beside it, or beside its folder `pointcloud`.

    Example:
        >>> photo_folders("street/pointcloud/a.pcd")
        ['street/pointcloud/related_images/a_pcd', 'street/related_images/a_pcd']
    """
    path = PurePosixPath(cloud)
    places = [path.parent]
    if path.parent.name == "pointcloud":
        places.append(path.parent.parent)
    return [str(place / PHOTO_FOLDER / path.name.replace(".", "_")) for place in places]
