"""One thread of a process has OpenMP's helpers: the device's owner."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
from sam2_serving.cores import leave_cores_to_the_device
{first}
import os, threading
import numpy as np, torch
from sam2_serving.engine import Engine, ImageKey, ImageSource
from sam2_serving.engine.all_cores import with_all_cores
from sam2_serving.model import Point, Prompts, load_model
from sam2_serving.pretrained import REPOSITORY

def helpers():
    return len(os.listdir("/proc/self/task")) - threading.active_count()

def compute():
    torch.ones(1000, 1000).exp()

before = helpers()
model = with_all_cores(lambda: load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu"))
with Engine(model, store_bytes=2**24) as engine:
    compute()
    alone = helpers() - before
    image = ImageSource(ImageKey("image", "s", "1"), lambda: np.zeros((64, 64, 3), np.uint8))
    engine.segment(image, Prompts((Point(9, 9),)))
    owner = helpers() - before
    path = engine.numeric_path
print(alone, owner, "2threads" in path)
"""


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        pytest.param("leave_cores_to_the_device()", "0 1 True", id="cores are left"),
        pytest.param("", "1 2 True", id="any thread takes them", marks=pytest.mark.long),
    ],
)
def test_who_has_helpers(first, expected):
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    environment.pop("SAM2_SERVING_THREADS", None)
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(first=first)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == expected
