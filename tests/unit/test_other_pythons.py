"""Model code works on the oldest and newest Python it promises, without the platform's SDK."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sam2_serving.pretrained import REPOSITORY

OLDEST = ("torch==2.5.1", "torchvision==0.20.1")
NEWEST = ("torch", "torchvision")
REST = ("numpy", "opencv-python-headless", "pycocotools", "safetensors", "pillow")

SCRIPT = """
import sys
from sam2_serving.engine import Engine, ImageKey, ImageSource
from sam2_serving.model import Point, Prompts, load_model
from sam2_serving.scenes import draw_scene
scene = draw_scene(1)
engine = Engine(load_model("checkpoints/nano/nano.pt", "cpu"), store_bytes=10**9)
source = ImageSource(ImageKey("file", "", "1"), lambda: scene.image)
answer = engine.segment(source, Prompts(points=(Point(60, 60),)))
engine.close()
assert answer.mask.shape == scene.image.shape[:2]
assert "supervisely" not in sys.modules
print("works on", sys.version.split()[0])
"""


def interpreter(version: str) -> str:
    """Return a Python of that version, or skip, saying so."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(str(p) for p in pyenv.glob(f"{version}.*/bin/python"))
    found = installed[-1] if installed else shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    return found


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("version", "torch"), [("3.10", OLDEST), ("3.12", NEWEST)])
def test_model_and_engine_run_without_the_sdk(tmp_path, version, torch):
    subprocess.run([interpreter(version), "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q"]
    subprocess.run([*install, *torch, "setuptools<81", "wheel", *REST], check=True)
    environment = {**os.environ, "SAM2_BUILD_CUDA": "0"}
    subprocess.run([*install, "--no-build-isolation", "sam2==1.1.0"], check=True, env=environment)
    environment["PYTHONPATH"] = str(REPOSITORY / "src")
    ran = subprocess.run(
        [python, "-c", SCRIPT], check=True, cwd=REPOSITORY, env=environment, capture_output=True
    )
    assert f"works on {version}." in ran.stdout.decode()
