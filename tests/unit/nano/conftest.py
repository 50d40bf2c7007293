"""Puts what the evaluation and the recipe need on the path, so that they can be imported."""

import sys
from pathlib import Path

import pytest

from sam2_serving.model import SegmentationModel, load_model

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / name) for name in ("tests", "tools", "benchmarks")]


@pytest.fixture(scope="session")
def nano() -> SegmentationModel:
    """The checkpoint that ships, on the CPU."""
    return load_model(ROOT / "checkpoints" / "nano" / "nano.pt", device="cpu", dtype="float32")
