"""A folder with every kind of medium, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from workspace_http import Running, write_picture

from sam2_serving.scenes import draw_clip
from sam2_serving.workspace.samples import draw_volume, write_cloud, write_video, write_volume

FRAMES = draw_clip(8, frames=45, size=(96, 64)).frames
"""What `films/clip.avi` (without loss) and `films/lossy.mp4` show, RGB T x H x W x 3."""

VOXELS = draw_volume((96, 80, 48))
"""What `scans/blobs.nrrd` holds, int16 by (x, y, z)."""


@dataclass(frozen=True)
class Ids:
    """Ids of the gallery's media."""

    clip: int
    lossy: int
    volume: int
    cloud: int
    photo: int
    films: int
    """Dataset of the films."""
    scans: int
    street: int


def make_gallery(root: Path) -> Path:
    """Fill a folder."""
    for name in ("albums", "films", "scans", "street/pointcloud"):
        (root / name).mkdir(parents=True)
    write_picture(root / "albums" / "one.png", seed=1)
    write_picture(root / "albums" / "two.png", seed=2)
    write_video(root / "films" / "clip.avi", FRAMES)
    write_video(root / "films" / "lossy.mp4", FRAMES, codec="mp4v")
    write_volume(root / "scans" / "blobs.nrrd", VOXELS)
    write_cloud(root / "street" / "pointcloud" / "a.pcd")
    write_picture(root / "street" / "related_images" / "a_pcd" / "front.png", seed=7)
    return root


def ids_of(running: Running) -> Ids:
    """Look the ids up in a workspace over a gallery."""
    store = running.app.state.workspace.store
    media = {entity.name: entity for entity in store.entities(kind=None)}
    cloud = media["a.pcd"]
    return Ids(
        clip=media["clip.avi"].id,
        lossy=media["lossy.mp4"].id,
        volume=media["blobs.nrrd"].id,
        cloud=cloud.id,
        photo=store.photos([cloud.id])[0].id,
        films=media["clip.avi"].dataset_id,
        scans=media["blobs.nrrd"].dataset_id,
        street=cloud.dataset_id,
    )


def slice_of(plane: str, index: int, center: float, width: float) -> np.ndarray:
    """Cut a slice by the definition, voxel by voxel as the SDK turns masks (Mask3D)."""
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    flat = VOXELS.take(index, axis).astype(float)
    columns, rows = flat.shape
    shown = np.zeros((rows, columns), np.uint8)
    for row in range(rows):
        for column in range(columns):
            value = flat[columns - 1 - column, rows - 1 - row]
            share = min(max((value - (center - width / 2)) / width, 0.0), 1.0)
            shown[row, column] = round(share * 255)
    return shown
