"""Shapes, letters and textures that nano never sees in training.

They plug into `sam2_serving.scenes` as a `Style`. Nothing under `src/` or in the training recipe
may import this module: it is what "held out" means in nano's model card.
"""

from __future__ import annotations

import cv2
import numpy as np

from sam2_serving.scenes import Style
from sam2_serving.scenes.shapes import Outline, glyph_shape, polar
from sam2_serving.scenes.textures import Field, smooth_noise, turned_grid

_TURN = 2.0 * np.pi


def gear(rng: np.random.Generator) -> Outline:
    """A toothed wheel, mostly with an axle hole."""
    teeth = int(rng.integers(7, 13))
    low = rng.uniform(0.72, 0.85)
    outline = [polar(np.tile([1.0, 1.0, low, low], teeth))]
    if rng.random() < 0.7:
        outline.append(polar(np.full(40, rng.uniform(0.2, 0.35)))[::-1].copy())
    return outline


def arrow(rng: np.random.Generator) -> Outline:
    """An arrow with a broad head."""
    shaft, neck = rng.uniform(0.14, 0.26), rng.uniform(-0.1, 0.35)
    x = [-1.0, neck, neck, 1.0, neck, neck, -1.0]
    y = [-shaft, -shaft, -0.55, 0.0, 0.55, shaft, shaft]
    return [np.array([x, y], dtype=np.float32).T.copy()]


def bolt(rng: np.random.Generator) -> Outline:
    """A flash of lightning."""
    x = np.array([-0.1, 0.55, 0.15, 0.5, -0.45, -0.05, -0.45])
    y = np.array([-1.0, -1.0, -0.25, -0.25, 1.0, 0.1, 0.1])
    jitter = rng.uniform(-0.06, 0.06, (2, 7))
    return [(np.stack([x, y]) + jitter).T.astype(np.float32)]


def fish(rng: np.random.Generator) -> Outline:
    """An oval body with a forked tail."""
    angle = np.linspace(0.35, _TURN - 0.35, 44)
    fat = rng.uniform(0.38, 0.6)
    body = np.stack([-np.cos(angle), fat * np.sin(angle)], axis=1)
    fin = rng.uniform(0.3, 0.5)
    tail = [[-1.5, -fin], [-1.3, 0.0], [-1.5, fin]]
    return [np.concatenate([body, np.array(tail)[::-1]]).astype(np.float32)]


def bow_tie(rng: np.random.Generator) -> Outline:
    """Two wedges that meet in a knot."""
    knot, wing = rng.uniform(0.12, 0.25), rng.uniform(0.5, 0.75)
    x = [-1.0, 0.0, 1.0, 1.0, 0.0, -1.0]
    y = [-wing, -knot, -wing, wing, knot, wing]
    return [np.array([x, y], dtype=np.float32).T.copy()]


def half_disc(rng: np.random.Generator) -> Outline:
    """A slice of a disc, as of melon."""
    angle = np.linspace(0.0, np.pi * rng.uniform(0.75, 1.25), 40)
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)]


def flower(rng: np.random.Generator) -> Outline:
    """Round petals about a middle."""
    petals = int(rng.integers(5, 9))
    angle = np.arange(128) * (_TURN / 128)
    return [polar(0.72 + 0.28 * np.abs(np.cos(angle * petals / 2.0)))]


def house(rng: np.random.Generator) -> Outline:
    """Walls, a roof, and a window to look through."""
    eaves, ridge = rng.uniform(-0.3, 0.0), rng.uniform(-1.0, -0.7)
    x = [-0.7, -0.7, -0.85, 0.0, 0.85, 0.7, 0.7]
    y = [1.0, eaves, eaves, ridge, eaves, eaves, 1.0]
    window = [[-0.2, 0.3], [0.2, 0.3], [0.2, 0.65], [-0.2, 0.65]]
    return [np.array([x, y], dtype=np.float32).T.copy(), np.array(window, dtype=np.float32)]


glyph = glyph_shape(
    (cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX), "GIOQWS0689abdeghk"
)


def chevrons(rng: np.random.Generator, side: int) -> Field:
    """Zigzag stripes."""
    x, y = turned_grid(rng, side)
    zigzag = np.abs((y * rng.uniform(2.0, 4.0)) % 1.0 - 0.5)
    wave = np.sin((x + zigzag * rng.uniform(0.2, 0.5)) * rng.uniform(9.0, 20.0))
    return np.asarray(np.clip(wave * 4.0, -1.0, 1.0), dtype=np.float32)


def plaid(rng: np.random.Generator, side: int) -> Field:
    """Tartan: bands of differing width that cross."""
    x, y = turned_grid(rng, side)
    bands = rng.uniform(-0.5, 0.5, (2, 9))
    fields = [
        row[np.clip((axis + 1.5) * 3.0, 0, 8).astype(int)]
        for row, axis in zip(bands, (x, y), strict=True)
    ]
    return np.asarray(fields[0] + fields[1], dtype=np.float32)


def growth_rings(rng: np.random.Generator, side: int) -> Field:
    """Uneven rings, as of cut wood."""
    x, y = turned_grid(rng, side)
    cx, cy = rng.uniform(-0.8, 0.8, 2)
    distance = np.hypot(x - cx, y - cy) + 0.15 * smooth_noise(rng, side, 4)
    return np.asarray(np.sin(distance * rng.uniform(14.0, 30.0)), dtype=np.float32)


def marble(rng: np.random.Generator, side: int) -> Field:
    """Thin veins on a plain ground."""
    vein = smooth_noise(rng, side, 3) + 0.5 * smooth_noise(rng, side, 7)
    return (1.0 - 2.0 * np.clip(np.abs(vein) * 5.0, 0.0, 1.0)).astype(np.float32)


def honeycomb(rng: np.random.Generator, side: int) -> Field:
    """Six-sided cells."""
    x, y = turned_grid(rng, side)
    pitch = rng.uniform(9.0, 18.0)
    waves = [np.cos(pitch * (np.cos(a) * x + np.sin(a) * y)) for a in (0.0, _TURN / 3, -_TURN / 3)]
    return np.clip(np.sum(waves, axis=0) * 0.8, -1.0, 1.0).astype(np.float32)


def hatching(rng: np.random.Generator, side: int) -> Field:
    """Two sets of thin crossing lines."""
    lines = np.ones((side, side), np.float32)
    for _ in range(2):
        x, _ = turned_grid(rng, side)
        lines = np.minimum(lines, np.abs((x * rng.uniform(4.0, 9.0)) % 1.0 - 0.5) * 8.0)
    return (np.clip(lines, 0.0, 1.0) * 2.0 - 1.0).astype(np.float32)


def scales(rng: np.random.Generator, side: int) -> Field:
    """Overlapping round scales, as of a fish or a roof."""
    x, y = turned_grid(rng, side)
    rows = rng.uniform(3.0, 6.0)
    row = np.floor(y * rows)
    u = (x * rows + 0.5 * (row % 2.0)) % 1.0 - 0.5
    v = y * rows - row
    return np.clip((np.hypot(u, v) - 0.35) * 4.0, -1.0, 1.0).astype(np.float32)


HELD_OUT = Style(
    shapes={
        "gear": gear,
        "arrow": arrow,
        "bolt": bolt,
        "fish": fish,
        "bow_tie": bow_tie,
        "half_disc": half_disc,
        "flower": flower,
        "house": house,
        "glyph": glyph,
    },
    textures={
        "chevrons": chevrons,
        "plaid": plaid,
        "growth_rings": growth_rings,
        "marble": marble,
        "honeycomb": honeycomb,
        "hatching": hatching,
        "scales": scales,
    },
)
