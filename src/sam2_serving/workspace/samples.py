"""The sample folder: a few drawn scenes and a few photographs, for a first try."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import skimage

from sam2_serving.scenes import draw_scene
from sam2_serving.workspace.media import ABOUT_FILE

SCENE_SEEDS = (11, 23, 37, 41, 58, 76)
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
"""Files in scikit-image's wheel, so no network is needed; all in the public domain or CC0."""

ABOUT_SCENES = "Drawn scenes: what the small nano model was trained on."
ABOUT_PHOTOGRAPHS = "nano was not trained for photographs: choose tiny."

_SCENE_SIZE = (640, 480)


def make_samples(folder: Path) -> None:
    """Fill the sample folder; files that are there stay as they are.

    Args:
        folder: is made when it does not exist.
    """
    scenes, photographs = folder / "drawn scenes", folder / "photographs"
    for place, about in ((scenes, ABOUT_SCENES), (photographs, ABOUT_PHOTOGRAPHS)):
        place.mkdir(parents=True, exist_ok=True)
        (place / ABOUT_FILE).write_text(about + "\n", "utf-8")
    for number, seed in enumerate(SCENE_SEEDS, start=1):
        file = scenes / f"scene-{number}.png"
        if not file.exists():
            image = draw_scene(seed, size=_SCENE_SIZE, difficulty="easy").image
            ok, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            if not ok:
                raise RuntimeError(f"{file.name} could not be encoded.")
            _write(file, content.tobytes())
    shipped = Path(skimage.__file__).parent / "data"
    for name in PHOTOGRAPHS:
        file = photographs / name
        if not file.exists() and (shipped / name).is_file():
            _write(file, (shipped / name).read_bytes())


def _write(file: Path, content: bytes) -> None:
    part = file.with_suffix(".part")
    part.write_bytes(content)
    shutil.move(part, file)
