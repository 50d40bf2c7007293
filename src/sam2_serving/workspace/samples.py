"""The sample folder: drawn scenes and photographs, a film, a volume, a point cloud's photo."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import skimage

from sam2_serving.scenes import draw_clip, draw_scene
from sam2_serving.workspace.clouds import photo_folders
from sam2_serving.workspace.media import ABOUT_FILE, NOT_FOR_FILE
from sam2_serving.workspace.pictures import encode_png

SCENE_SEEDS = (11, 23, 37, 41, 58, 76)
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
"""Files in scikit-image's wheel, so no network is needed; all in the public domain or CC0."""

CLIP_SEED, CLIP_FRAMES, CLIP_SIZE = 6, 60, (320, 240)
PHOTO_SEED = 90

ABOUT = {
    "drawn scenes": "Drawn scenes: what the small nano model was trained on.",
    "photographs": "nano was not trained for these: choose tiny.",
    "film": "A drawn film. Choose a frame under the picture.",
    "volume": "Smooth blobs in 16 bits. Choose a plane, a slice and a window.",
    "point cloud": "A point cloud's photo can be labeled; the cloud itself is not shown.",
}

_SCENE_SIZE = (640, 480)


def make_samples(folder: Path) -> None:
    """Fill the sample folder; files that are there stay as they are.

    Args:
        folder: is made when it does not exist.
    """
    for name, about in ABOUT.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / ABOUT_FILE).write_text(about + "\n", "utf-8")
    (folder / "photographs" / NOT_FOR_FILE).write_text("nano\n", "utf-8")
    for number, seed in enumerate(SCENE_SEEDS, start=1):
        _make(folder / "drawn scenes" / f"scene-{number}.png", _scene(seed))
    shipped = Path(skimage.__file__).parent / "data"
    for name in PHOTOGRAPHS:
        if (shipped / name).is_file():
            _make(folder / "photographs" / name, _copy_of(shipped / name))
    _make(folder / "film" / "clip.avi", write_clip)
    _make(folder / "volume" / "blobs.nrrd", _blobs)
    cloud = "point cloud/street.pcd"
    _make(folder / cloud, write_cloud)
    _make(folder / photo_folders(cloud)[0] / "photo.png", _scene(PHOTO_SEED))


def write_clip(file: Path) -> None:
    """Draw a film and write it without loss (FFV1), so that frames are what was drawn."""
    clip = draw_clip(CLIP_SEED, frames=CLIP_FRAMES, size=CLIP_SIZE)
    write_video(file, clip.frames)


def write_video(file: Path, frames: npt.NDArray[np.uint8], codec: str = "FFV1") -> None:
    """Write RGB frames (T x H x W x 3) at 25 frames a second.

    Raises:
        RuntimeError: this build of OpenCV has no such codec.
    """
    height, width = frames.shape[1:3]
    code = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, code, 25.0, (width, height))
    if not writer.isOpened():
        raise RuntimeError(f"This OpenCV writes no {codec}.")
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def _blobs(file: Path) -> None:
    write_volume(file, draw_volume((128, 112, 64)))


def write_volume(file: Path, values: npt.NDArray[np.int16]) -> None:
    """Write voxels by (x, y, z) as NRRD."""
    # Late: SimpleITK is needed only where there is a volume.
    import SimpleITK

    image: Any = SimpleITK.GetImageFromArray(np.transpose(values, (2, 1, 0)))
    # LPS to RAS, so that a voxel's index is where it was drawn.
    image.SetDirection((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    SimpleITK.WriteImage(image, str(file), useCompression=True)


def draw_volume(size: tuple[int, int, int], seed: int = 7) -> npt.NDArray[np.int16]:
    """Return blobs (300 to 1200) in a soft background around 0, int16 by (x, y, z)."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(side) for side in size), indexing="ij"), axis=-1)
    blobs = np.zeros(size)
    for number in range(8):
        center = [side * rng.uniform(0.2, 0.8) for side in size]
        radii = [side * rng.uniform(0.09, 0.17) for side in size]
        distance = np.sqrt((((grid - center) / radii) ** 2).sum(axis=-1))
        # A soft edge, two or three voxels wide.
        share = 1.0 / (1.0 + np.exp((distance - 1.0) * 14.0))
        blobs = np.maximum(blobs, share * (300.0 + 130.0 * number))
    return np.rint(blobs + rng.normal(0.0, 20.0, size)).astype(np.int16)


def write_cloud(file: Path) -> None:
    """Write a spiral of points as an ASCII PCD file."""
    turns = [number / 20.0 for number in range(400)]
    points = [(math.cos(turn) * turn, math.sin(turn) * turn, turn / 4.0) for turn in turns]
    header = (
        "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
        f"WIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\n"
        f"POINTS {len(points)}\nDATA ascii\n"
    )
    lines = (f"{x:.3f} {y:.3f} {z:.3f}\n" for x, y, z in points)
    file.write_text("# .PCD v.7\n" + header + "".join(lines), "ascii")


def _scene(seed: int) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(encode_png(draw_scene(seed, size=_SCENE_SIZE, difficulty="easy").image))

    return write


def _copy_of(source: Path) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        shutil.copyfile(source, file)

    return write


def _make(file: Path, write: Callable[[Path], None]) -> None:
    """Make a file that is not there, aside first: a stopped start leaves no half file."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers choose the format by it.
    part = file.with_name(f".part-{file.name}")
    write(part)
    shutil.move(part, file)
