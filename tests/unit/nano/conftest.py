"""Puts `tests/` and `tools/` on the path, so that `heldout` and the recipe can be imported."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]
