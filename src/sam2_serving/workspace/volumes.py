"""Volumes: NRRD files as the platform keeps them, and their slices under a window."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sam2_serving.workspace.pictures import UnreadableMedia

VOLUME_MIMES = {".nrrd": "image/nrrd"}
NORMALS = {"sagittal": (1, 0, 0), "coronal": (0, 1, 0), "axial": (0, 0, 1)}
"""The platform's planes: which axis of the volume (x, y, z) a plane's slices are counted along."""

_KEPT_BYTES = 512 << 20


@dataclass(frozen=True)
class Window:
    """The intensities that are shown: from black to white over `width`, around `center`."""

    center: float
    width: float

    def map(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Map intensities to 0..255; what is below or above the window is black or white."""
        low = self.center - self.width / 2.0
        shares = (values.astype(np.float64) - low) / self.width
        return np.rint(np.clip(shares, 0.0, 1.0) * 255.0).astype(np.uint8)


def plane_size(plane: str, meta: dict[str, Any]) -> tuple[int, int, int]:
    """Return width and height of a plane's slices, and how many there are."""
    x, y, z = (int(meta["dimensionsIJK"][axis]) for axis in "xyz")
    return {"sagittal": (y, z, x), "coronal": (x, z, y), "axial": (x, y, z)}[plane]


def describe_volume(file: Path) -> tuple[int, int, dict[str, Any]]:
    """Read a volume's meta as the platform keeps it.

    Returns:
        Width and height of an axial slice, and `{"meta": ..., "type": ...}`.

    Raises:
        UnreadableMedia: it is no volume of one channel in three dimensions.
    """
    values, image = _read(file)
    low, high = float(values.min()), float(values.max())
    spacing, origin = image.GetSpacing(), image.GetOrigin()
    directions = np.array(image.GetDirection()).reshape(3, 3)
    # ITK counts to the left and to the back (LPS); the platform to the right and to the front.
    flip = np.diag([-1.0, -1.0, 1.0])
    world = np.eye(4)
    world[:3, :3] = flip @ directions @ np.diag(spacing)
    world[:3, 3] = flip @ np.array(origin)
    meta = {
        "ACS": "RAS",
        "channelsCount": 1,
        "rescaleSlope": 1,
        "rescaleIntercept": 0,
        "intensity": {"min": low, "max": high},
        "windowWidth": high - low,
        "windowCenter": low + (high - low) / 2.0,
        "dimensionsIJK": dict(zip("xyz", values.shape, strict=True)),
        "IJK2WorldMatrix": world.ravel().tolist(),
    }
    return values.shape[0], values.shape[1], {"meta": meta, "type": str(values.dtype)}


class VolumeReader:
    """Cuts slices; keeps the volumes that were used last in memory. Safe to use from any thread."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], npt.NDArray[Any]] = OrderedDict()

    def slice(self, file: Path, plane: str, index: int, window: Window) -> npt.NDArray[np.uint8]:
        """Return a slice as it is shown: the front or the head up, right on the left.

        This is how the SDK turns the masks of slices (`Mask3D.add_mask_2d`).

        Raises:
            IndexError: there is no such slice.
            UnreadableMedia: the file is no volume (any more).
        """
        values = self._values(file)
        axis = NORMALS[plane].index(1)
        if not 0 <= index < values.shape[axis]:
            raise IndexError(index)
        return window.map(np.take(values, index, axis)[::-1, ::-1].T)

    def _values(self, file: Path) -> npt.NDArray[Any]:
        key = (str(file), file.stat().st_mtime_ns)
        # Under the lock: two requests for one volume read it once.
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _read(file)[0]
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and self._size() > self._kept_bytes:
                self._kept.popitem(last=False)
            return self._kept[key]

    def _size(self) -> int:
        return sum(values.nbytes for values in self._kept.values())


def _read(file: Path) -> tuple[npt.NDArray[Any], Any]:
    """Return a volume's values by (x, y, z), turned to the platform's axes, and ITK's image."""
    # Late: a workspace without volumes starts without it.
    import SimpleITK

    sitk: Any = SimpleITK  # it has no types
    try:
        image = sitk.ReadImage(str(file))
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise UnreadableMedia("a volume has three dimensions and one channel")
        image = sitk.DICOMOrient(image, "RAS")
    except RuntimeError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise UnreadableMedia(f"not a readable volume ({reason})") from error
    values = np.transpose(sitk.GetArrayFromImage(image), (2, 1, 0))
    return np.ascontiguousarray(values), image
