"""Outlines of things, in units of the thing itself.

A *shape* is a function of a random generator that returns an outline: closed contours around the
origin. The contours are filled by the even-odd rule, so an inner contour is a hole. The painter
centres every outline and scales it to a radius of 1, so a shape may use any unit it likes.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Contour = npt.NDArray[np.float32]
Outline = list[Contour]
Shape = Callable[[np.random.Generator], Outline]

_TURN = 2.0 * np.pi


def normalised(outline: Outline) -> Outline:
    """Centre an outline on its bounding box and scale its farthest point to a distance of 1."""
    points = np.concatenate(outline)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2.0
    radius = float(np.linalg.norm(points - centre, axis=1).max())
    return [((contour - centre) / radius).astype(np.float32) for contour in outline]


def polar(radius: npt.NDArray[np.float64], start: float = 0.0) -> Contour:
    """Contour whose points lie at `radius[k]` in evenly spaced directions."""
    angle = start + np.arange(len(radius)) * (_TURN / len(radius))
    return np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=1).astype(np.float32)


def _stretched(contour: Contour, factor: float) -> Contour:
    return contour * np.array([1.0, factor], dtype=np.float32)


def ellipse(rng: np.random.Generator) -> Outline:
    """A disc or an ellipse."""
    return [_stretched(polar(np.ones(64)), rng.uniform(0.45, 1.0))]


def rounded_box(rng: np.random.Generator) -> Outline:
    """A rectangle; its corners are anything from sharp to round (a superellipse)."""
    angle = np.arange(96) * (_TURN / 96)
    power = 2.0 / rng.uniform(3.5, 20.0)
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    contour = np.stack([x, y], axis=1).astype(np.float32)
    return [_stretched(contour, rng.uniform(0.4, 1.0))]


def polygon(rng: np.random.Generator) -> Outline:
    """A triangle, kite, pentagon ... with slightly uneven corners."""
    corners = int(rng.integers(3, 8))
    return [_stretched(polar(rng.uniform(0.8, 1.0, corners)), rng.uniform(0.7, 1.0))]


def star(rng: np.random.Generator) -> Outline:
    """A star of 4 to 7 points."""
    points = int(rng.integers(4, 8))
    return [polar(np.tile([1.0, rng.uniform(0.45, 0.7)], points))]


def blob(rng: np.random.Generator) -> Outline:
    """A pebble or puddle: a circle whose radius is disturbed by a few slow waves."""
    angle = np.arange(96) * (_TURN / 96)
    radius = np.ones(96)
    for wave in range(2, 6):
        radius += rng.uniform(0.0, 0.5 / wave) * np.cos(wave * angle + rng.uniform(0.0, _TURN))
    return [_stretched(polar(np.maximum(radius, 0.3)), rng.uniform(0.6, 1.0))]


def ring(rng: np.random.Generator) -> Outline:
    """A ring; its hole shows what lies behind."""
    hole = rng.uniform(0.4, 0.65)
    outer = polar(np.ones(64))
    return [outer, (outer * hole)[::-1].copy()]


def crescent(rng: np.random.Generator) -> Outline:
    """A banana: a bent strip that grows thin towards its ends."""
    along = np.linspace(-1.0, 1.0, 40)
    angle = along * rng.uniform(0.9, 1.6)
    half = rng.uniform(0.2, 0.34) * np.sqrt(np.maximum(1.0 - along**2, 0.02))
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    outer = directions * (1.0 + half)[:, None]
    inner = directions * (1.0 - half)[:, None]
    return [np.concatenate([outer, inner[::-1]]).astype(np.float32)]


def cross(rng: np.random.Generator) -> Outline:
    """A plus sign with arms of one width."""
    w = rng.uniform(0.28, 0.45)
    x = [w, w, 1, 1, w, w, -w, -w, -1, -1, -w, -w]
    y = [-1, -w, -w, w, w, 1, 1, w, w, -w, -w, -1]
    return [np.array([x, y], dtype=np.float32).T.copy()]


def leaf(rng: np.random.Generator) -> Outline:
    """A leaf: two bows that meet in points."""
    x = np.linspace(-1.0, 1.0, 40)
    bow = rng.uniform(0.35, 0.6) * (1.0 - x**2)
    upper = np.stack([x, bow], axis=1)
    lower = np.stack([x, -bow * rng.uniform(0.5, 1.0)], axis=1)
    return [np.concatenate([upper, lower[-2:0:-1]]).astype(np.float32)]


def bottle(rng: np.random.Generator) -> Outline:
    """A bottle or a vase: a profile turned about its axis."""
    neck, shoulder = rng.uniform(0.1, 0.22), rng.uniform(0.0, 0.45)
    belly, foot = rng.uniform(0.32, 0.5), rng.uniform(0.2, 0.45)
    heights = np.linspace(-1.0, 1.0, 48)
    knots = [-1.0, -0.85, shoulder - 0.5, shoulder, 0.75, 1.0]
    widths = np.interp(heights, knots, [neck * 1.2, neck, neck, belly, belly, foot])
    widths = np.convolve(np.pad(widths, 2, mode="edge"), np.ones(5) / 5.0, mode="valid")
    right = np.stack([widths, heights], axis=1)
    left = np.stack([-widths, heights], axis=1)[::-1]
    return [np.concatenate([right, left]).astype(np.float32)]


def heart(rng: np.random.Generator) -> Outline:
    """A heart."""
    t = np.arange(64) * (_TURN / 64)
    x = 16.0 * np.sin(t) ** 3
    y = -(13.0 * np.cos(t) - 5.0 * np.cos(2 * t) - 2.0 * np.cos(3 * t) - np.cos(4 * t))
    contour = np.stack([x, y], axis=1).astype(np.float32)
    return [_stretched(contour, rng.uniform(0.85, 1.15))]


def glyph_shape(fonts: tuple[int, ...], letters: str) -> Shape:
    """Make a shape that draws one thick letter in one of OpenCV's own fonts.

    Args:
        fonts: `cv2.FONT_*` numbers to choose from.
        letters: characters to choose from.
    """

    def glyph(rng: np.random.Generator) -> Outline:
        letter = letters[int(rng.integers(len(letters)))]
        font = fonts[int(rng.integers(len(fonts)))]
        canvas = np.zeros((160, 160), np.uint8)
        thickness = int(rng.integers(16, 24))
        cv2.putText(canvas, letter, (40, 120), font, 3.6, 255, thickness, cv2.LINE_AA)
        solid = cv2.threshold(canvas, 127, 255, cv2.THRESH_BINARY)[1]
        found, _ = cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
        return [contour[:, 0].astype(np.float32) for contour in found if len(contour) > 2]

    return glyph


glyph = glyph_shape(
    (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX), "ABCDEFHJKLMNPRSTUVXYZ23457"
)

SHAPES: dict[str, Shape] = {
    "ellipse": ellipse,
    "rounded_box": rounded_box,
    "polygon": polygon,
    "star": star,
    "blob": blob,
    "ring": ring,
    "crescent": crescent,
    "cross": cross,
    "leaf": leaf,
    "bottle": bottle,
    "heart": heart,
    "glyph": glyph,
}
