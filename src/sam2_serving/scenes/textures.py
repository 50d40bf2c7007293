"""Surface patterns.

A *texture* is a function `(rng, side) -> field`: a float32 array of `side` x `side` values in
-1..1 that says where the base colour (-1) and where the accent colour (+1) shows. Colours are
chosen elsewhere (`colours.py`), so one pattern serves mild and strong surfaces alike.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Texture = Callable[[np.random.Generator, int], Field]


def _bounded(field: npt.ArrayLike) -> Field:
    return np.asarray(np.clip(field, -1.0, 1.0), dtype=np.float32)


def _grid(side: int) -> tuple[Field, Field]:
    axis = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def turned_grid(rng: np.random.Generator, side: int) -> tuple[Field, Field]:
    """Coordinates -1..1 of a square, turned by a random angle."""
    x, y = _grid(side)
    angle = rng.uniform(0.0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y, c * y - s * x


def smooth_noise(rng: np.random.Generator, side: int, cells: int) -> Field:
    """Noise in -1..1 that varies over about `1 / cells` of the side."""
    coarse = rng.uniform(-1.0, 1.0, (cells + 2, cells + 2)).astype(np.float32)
    field = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return _bounded(field)


def flat(rng: np.random.Generator, side: int) -> Field:
    """No pattern."""
    return np.full((side, side), rng.uniform(-1.0, 1.0), dtype=np.float32)


def gradient(rng: np.random.Generator, side: int) -> Field:
    """One colour fading into the other."""
    x, _ = turned_grid(rng, side)
    return _bounded(x)


def radial(rng: np.random.Generator, side: int) -> Field:
    """One colour in the middle of somewhere, the other around it."""
    x, y = _grid(side)
    cx, cy = rng.uniform(-0.6, 0.6, 2)
    distance = np.hypot(x - cx, y - cy)
    return _bounded(distance * 2.0 - 1.0)


def clouds(rng: np.random.Generator, side: int) -> Field:
    """Soft spots of three sizes."""
    cells = int(rng.integers(2, 6))
    field = sum(smooth_noise(rng, side, cells * 2**k) * 0.6 / 2**k for k in range(3))
    return _bounded(field)


def grain(rng: np.random.Generator, side: int) -> Field:
    """Fine irregular grain, as of stone or plaster."""
    return smooth_noise(rng, side, max(4, side // int(rng.integers(2, 5))))


def stripes(rng: np.random.Generator, side: int) -> Field:
    """Straight stripes with edges from soft to sharp."""
    x, _ = turned_grid(rng, side)
    wave = np.sin(x * rng.uniform(6.0, 22.0) + rng.uniform(0.0, 6.3))
    return _bounded(wave * rng.uniform(1.0, 6.0))


def waves(rng: np.random.Generator, side: int) -> Field:
    """Stripes bent by slow noise, as of water or cloth."""
    x, _ = turned_grid(rng, side)
    bend = smooth_noise(rng, side, 3) * np.float32(rng.uniform(0.1, 0.35))
    wave = np.sin((x + bend) * rng.uniform(8.0, 20.0))
    return _bounded(wave * 2.0)


def checks(rng: np.random.Generator, side: int) -> Field:
    """A chessboard."""
    x, y = turned_grid(rng, side)
    pitch = rng.uniform(2.0, 6.0)
    squares = (np.floor(x * pitch) + np.floor(y * pitch)) % 2.0
    return _bounded(squares * 2.0 - 1.0)


def dots(rng: np.random.Generator, side: int) -> Field:
    """Dots in rows."""
    x, y = turned_grid(rng, side)
    pitch = rng.uniform(8.0, 20.0)
    bumps = np.cos(x * pitch) + np.cos(y * pitch)
    return _bounded((bumps - rng.uniform(0.3, 1.0)) * 3.0)


def cells(rng: np.random.Generator, side: int) -> Field:
    """Patches of differing shade (Voronoi cells), as of camouflage or gravel."""
    count = int(rng.integers(8, 40))
    seeds = np.full((side, side), 255, np.uint8)
    seeds[rng.integers(0, side, count), rng.integers(0, side, count)] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 3)
    shades = rng.uniform(-1.0, 1.0, int(labels.max()) + 1).astype(np.float32)
    return np.asarray(shades[labels], dtype=np.float32)


def bricks(rng: np.random.Generator, side: int) -> Field:
    """A brick wall with light joints."""
    x, y = turned_grid(rng, side)
    rows = rng.uniform(2.0, 5.0)
    row = np.floor(y * rows)
    along = x * rows / 2.0 + 0.5 * (row % 2.0)
    joint = np.minimum(along - np.floor(along), 0.5 * (y * rows - row)) < 0.07
    return np.where(joint, 1.0, -0.6).astype(np.float32)


TEXTURES: dict[str, Texture] = {
    "flat": flat,
    "gradient": gradient,
    "radial": radial,
    "clouds": clouds,
    "grain": grain,
    "stripes": stripes,
    "waves": waves,
    "checks": checks,
    "dots": dots,
    "cells": cells,
    "bricks": bricks,
}
