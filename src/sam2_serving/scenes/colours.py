"""Colours that can be told apart.

Colours are float32 RGB triples in 0..255; distances are Euclidean in CIELAB (CIE 1976 delta E).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Colour = npt.NDArray[np.float32]

_TRIES = 24


def lab(colour: Colour) -> Colour:
    """CIELAB coordinates of an RGB colour."""
    pixel = (np.clip(colour, 0.0, 255.0) / 255.0).astype(np.float32).reshape(1, 1, 3)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_RGB2Lab), dtype=np.float32).reshape(3)


def _from_hsv(hue: float, saturation: float, value: float) -> Colour:
    pixel = np.array([[[hue, saturation, value]]], dtype=np.float32)
    rgb = np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB), dtype=np.float32)
    return rgb.reshape(3) * np.float32(255.0)


def muted(rng: np.random.Generator) -> Colour:
    """A quiet colour, as of a wall, a table or the sky."""
    return _from_hsv(rng.uniform(0.0, 360.0), rng.uniform(0.03, 0.35), rng.uniform(0.35, 0.95))


def lively(rng: np.random.Generator) -> Colour:
    """A colour as things have it; one in five is grey, black or white."""
    saturation = rng.uniform(0.0, 0.1) if rng.random() < 0.2 else rng.uniform(0.4, 0.95)
    return _from_hsv(rng.uniform(0.0, 360.0), saturation, rng.uniform(0.2, 1.0))


def distinct(rng: np.random.Generator, others: list[Colour], distance: float) -> Colour:
    """A lively colour at least `distance` (delta E) from all `others`, or the best of 24 tries."""
    taken = [lab(other) for other in others]
    best, best_distance = lively(rng), -1.0
    for _ in range(_TRIES):
        colour = lively(rng)
        nearest = min((float(np.linalg.norm(lab(colour) - t)) for t in taken), default=1e9)
        if nearest >= distance:
            return colour
        if nearest > best_distance:
            best, best_distance = colour, nearest
    return best


def accent(rng: np.random.Generator, base: Colour, strength: float) -> Colour:
    """A second colour for a surface: `strength` 0 is the base itself, 1 any colour at all."""
    other = lively(rng)
    return (base + (other - base) * np.float32(strength)).astype(np.float32)
