"""Draws the learning curves with OpenCV (no plotting library is needed)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

_SIZE = (900, 420)
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 30, 700, 370
_LINES = {
    ("easy", "click"): (200, 120, 30),
    ("easy", "box"): (60, 140, 40),
    ("easy", "three"): (40, 40, 190),
    ("hard", "click"): (235, 190, 130),
    ("hard", "box"): (140, 210, 130),
    ("hard", "three"): (140, 140, 240),
    ("easy", "tracked"): (150, 30, 130),
    ("hard", "tracked"): (220, 150, 210),
    ("easy", "absent"): (0, 110, 200),
    ("hard", "absent"): (120, 190, 245),
}
_NAMES = {
    "click": "click",
    "box": "box",
    "three": "three clicks",
    "tracked": "tracked",
    "absent": "absence told",
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_curves(folder: Path, history: list[dict[str, Any]]) -> None:
    """Write `curves.png`: scores on the validation scenes and clips by training step.

    Mean IoU, and for absences the share that was told. Clips are validated in the later stages
    alone: their curves begin there.
    """
    picture = np.full((_SIZE[1], _SIZE[0], 3), 255, np.uint8)
    last = max([1, *(entry["step"] for entry in history)])
    for level in np.arange(0.0, 1.01, 0.2):
        y = int(_BOTTOM - level * (_BOTTOM - _TOP))
        cv2.line(picture, (_LEFT, y), (_RIGHT, y), (225, 225, 225), 1)
        cv2.putText(picture, f"{level:.1f}", (20, y + 5), _FONT, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    for k, ((difficulty, figure), colour) in enumerate(_LINES.items()):
        points = [
            (
                int(_LEFT + entry["step"] / last * (_RIGHT - _LEFT)),
                int(_BOTTOM - entry[difficulty][figure] * (_BOTTOM - _TOP)),
            )
            for entry in history
            if figure in entry[difficulty]
        ]
        if points:
            cv2.polylines(picture, [np.array(points, np.int32)], False, colour, 2, cv2.LINE_AA)
        y = 50 + 28 * k
        cv2.line(picture, (720, y), (750, y), colour, 2, cv2.LINE_AA)
        name = f"{difficulty}, {_NAMES[figure]}"
        cv2.putText(picture, name, (760, y + 5), _FONT, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    text = f"mean IoU (absence: share told) on validation scenes and clips; steps 0 to {last}"
    cv2.putText(picture, text, (_LEFT, 400), _FONT, 0.5, (60, 60, 60), 1, cv2.LINE_AA)
    cv2.imwrite(str(folder / "curves.png"), picture)
