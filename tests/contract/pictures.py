"""Media that show drawn scenes, without loss: what a frame or a slice shows is known exactly."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import SimpleITK as sitk
import supervisely as sly
from live import OWNER_TOKEN
from PIL import Image

from sam2_serving.masks import Box
from sam2_serving.scenes import Clip, draw_clip

AIR, BONE = -1000, 3000
"""Intensities that black and white of a scene become in a scan."""


CLIP_FRAMES = 20


def _lasting(seed: int) -> tuple[Clip, list[int]]:
    """Draw a clip; return it with its objects that can be seen on every frame, largest first."""
    clip = draw_clip(seed, frames=CLIP_FRAMES, size=(160, 120))
    seen = np.flatnonzero((clip.masks.sum((2, 3)) > 60).all(0))
    return clip, sorted(map(int, seen), key=lambda one: -int(clip.masks[:, one].sum()))


CLIP, CLIP_OBJECTS = next(
    (clip, objects) for clip, objects in map(_lasting, range(100)) if len(objects) >= 3
)


def boxes_all_over(size: tuple[int, int]) -> Iterator[Box]:
    """Boxes that hardly fit an object of a picture (height, width), the largest first.

    A trained network answers some of them with scraps: which, only the weights know.
    """
    height, width = size
    for share in (4, 3, 2, 1):
        rows, columns = height * share // 4, width * share // 4
        for top in range(0, height - rows + 1, 40):
            for left in range(0, width - columns + 1, 40):
                yield Box(left, top, left + columns, top + rows)


def write_film(file: Path, frames: Sequence[np.ndarray]) -> None:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"FFV1"), 10, (width, height))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


def scan_slice(image: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) / 255
    return (AIR + gray * (BONE - AIR)).round().astype(np.int16)


def write_scan(file: Path, slices: Sequence[np.ndarray]) -> None:
    """Stack axial slices, each as it is shown: the front up, right on the left."""
    values = np.stack([shown[::-1, ::-1] for shown in slices])
    image = sitk.GetImageFromArray(values)
    # The axes that the platform counts along, so that nothing is turned when it is read.
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(file))


def window(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """Map intensities to what is seen through a window, uint8."""
    shares = (values.astype(np.float64) - (center - width / 2)) / width
    return np.rint(shares.clip(0, 1) * 255).astype(np.uint8)


def write_cloud(file: Path, photo: Path) -> None:
    """Write a cloud of no points, and its photo where the platform's project format has it."""
    file.write_text("# .PCD v0.7\n")
    folder = file.parent / "related_images" / file.name.replace(".", "_")
    folder.mkdir(parents=True)
    shutil.copy(photo, folder / "photo.png")


KINDS = {
    "gray": "png",
    "gray 16 bit": "png",
    "gray alpha": "png",
    "colour 16 bit": "png",
    "colour alpha": "png",
    "palette": "png",
    "one bit": "png",
    "cmyk": "jpg",
    "turned": "jpg",
    "float": "tif",
    "32 bit": "tif",
    "animated": "webp",
    "pages": "tif",
    "one pixel": "png",
    "wide": "png",
    "high": "png",
}
"""Kinds of images that a platform holds, and the files they come in."""


def write_kinds(folder: Path, image: np.ndarray) -> None:
    """Write an image of every kind."""
    folder.mkdir()
    files = {kind: folder / f"{kind}.{ending}" for kind, ending in KINDS.items()}
    colour = Image.fromarray(image)
    gray = np.asarray(colour.convert("L"))
    plain = {
        "gray": gray,
        "gray 16 bit": gray.astype(np.uint16) * 257,
        "colour 16 bit": image.astype(np.uint16) * 257,
        "float": gray.astype(np.float32) / 7,
        "one pixel": image[:1, :1],
        "wide": np.tile(image[:30], (1, 63, 1))[:, :20_000],
        "high": np.tile(image[:, :30], (84, 1, 1))[:20_000],
    }
    for kind, values in plain.items():
        assert cv2.imwrite(str(files[kind]), values), kind
    opacity = Image.fromarray(image[..., 1])
    for kind, picture in (("gray alpha", Image.fromarray(gray)), ("colour alpha", colour.copy())):
        picture.putalpha(opacity)
        picture.save(files[kind])
    colour.quantize(16).save(files["palette"])
    colour.convert("1").save(files["one bit"])
    colour.convert("CMYK").save(files["cmyk"])
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(files["turned"], exif=exif)
    Image.fromarray(gray.astype(np.int32) * 1000).save(files["32 bit"])
    later = Image.fromarray(255 - image)
    colour.save(files["animated"], save_all=True, append_images=[later], lossless=True)
    colour.save(files["pages"], save_all=True, append_images=[later])


def shapes_of(mask: np.ndarray) -> dict[str, Any]:
    """Return figures that a person may have drawn, one of each shape."""
    corners = ((40, 60), (40, 200), (180, 200), (180, 60))
    hole = ((80, 100), (80, 140), (120, 140), (120, 100))
    return {
        "mask": sly.Bitmap(mask),
        "polygon": sly.Polygon(
            [sly.PointLocation(*corner) for corner in corners],
            [[sly.PointLocation(*corner) for corner in hole]],
        ),
        "rectangle": sly.Rectangle(30, 50, 150, 220),
        "point": sly.Point(50, 50),
    }


def draw_figures(address: str, image_id: int, mask: np.ndarray) -> dict[str, int]:
    """Put a figure of each shape on an image and return their ids."""
    api = sly.Api(address, OWNER_TOKEN)
    project_id = api.project.get_list(1)[0].id
    shapes = shapes_of(mask)
    meta = sly.ProjectMeta.from_json(api.project.get_meta(project_id))
    meta = api.project.update_meta(
        project_id,
        meta.add_obj_classes([sly.ObjClass(name, type(shape)) for name, shape in shapes.items()]),
    )
    labels = [sly.Label(shape, meta.get_obj_class(name)) for name, shape in shapes.items()]
    # Not `append_labels`: it sends the pixels' numbers where the platform counts their edges.
    api.annotation.upload_ann(image_id, sly.Annotation(mask.shape, labels))
    figures = api.annotation.download_json(image_id)["objects"]
    return {figure["classTitle"]: figure["id"] for figure in figures}
