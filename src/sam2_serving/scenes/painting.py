"""Puts things onto a canvas and says exactly which pixel shows which thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sam2_serving.scenes.shapes import Outline

Canvas = npt.NDArray[np.float32]  # H x W x 3, RGB, 0..255
Alpha = npt.NDArray[np.uint8]  # H x W, how much of a pixel a thing covers, 0..255
Masks = npt.NDArray[np.bool_]

_SHIFT = 4  # cv2 takes sub-pixel coordinates as integers with this many fractional bits
_HALF = 128  # a pixel belongs to a thing that covers at least half of it
_CORNERS = np.array([[-1, -1], [1, -1], [-1, 1]], dtype=np.float32)


@dataclass(frozen=True)
class Pose:
    """Where a thing is: centre (x, y) and radius in pixels, angle in radians."""

    x: float
    y: float
    radius: float
    angle: float

    def place(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map points of the thing (unit radius) to pixels."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        turn = np.array([[c, s], [-s, c]], dtype=np.float32) * np.float32(self.radius)
        return (points @ turn + np.array([self.x, self.y], dtype=np.float32)).astype(np.float32)

    def inside(self, parent: Pose) -> Pose:
        """This pose, given in units of a parent, in pixels."""
        centre = parent.place(np.array([[self.x, self.y]], dtype=np.float32))[0]
        return Pose(
            float(centre[0]),
            float(centre[1]),
            self.radius * parent.radius,
            self.angle + parent.angle,
        )


@dataclass(frozen=True)
class Thing:
    """Something that can be drawn.

    Attributes:
        outline: contours in units of the thing (see `shapes`).
        surface: square RGB picture of its surface, float32 S x S x 3, 0..255.
        parent: index of the thing that this one is a part of, or -1. A part is drawn only where
            its parent is.
        shape: name of its shape.
    """

    outline: Outline
    surface: Canvas
    parent: int
    shape: str


def coverage(outline: Outline, pose: Pose, width: int, height: int) -> Alpha:
    """How much of each pixel an outline covers, 0..255 (`height` x `width`)."""
    alpha = np.zeros((height, width), np.uint8)
    contours = [
        np.rint(pose.place(contour) * (1 << _SHIFT)).astype(np.int32) for contour in outline
    ]
    cv2.fillPoly(alpha, contours, 255, cv2.LINE_AA, _SHIFT)
    return alpha


def coverages(
    things: Sequence[Thing], poses: Sequence[Pose], width: int, height: int
) -> list[Alpha]:
    """Coverage of each thing; parts are cut to their parents."""
    alphas: list[Alpha] = []
    for thing, pose in zip(things, poses, strict=True):
        alpha = coverage(thing.outline, pose, width, height)
        if thing.parent >= 0:
            alpha = np.minimum(alpha, alphas[thing.parent])
        alphas.append(alpha)
    return alphas


def visible_masks(alphas: Sequence[Alpha], width: int, height: int) -> Masks:
    """Which pixel shows which thing; later things lie on top.

    Returns:
        bool N x H x W, disjoint.
    """
    owner = np.full((height, width), -1, np.int16)
    for index, alpha in enumerate(alphas):
        owner[alpha >= _HALF] = index
    return np.asarray(owner[None] == np.arange(len(alphas), dtype=np.int16)[:, None, None])


def paint(
    canvas: Canvas,
    things: Sequence[Thing],
    poses: Sequence[Pose],
    alphas: Sequence[Alpha],
    shadow: float,
) -> Canvas:
    """Draw things onto a copy of a canvas, in order.

    Args:
        canvas: the background.
        things: what to draw.
        poses: where.
        alphas: their coverages on this canvas.
        shadow: darkness of soft shadows, 0 (none) to 1.
    """
    picture = canvas.copy()
    height, width = picture.shape[:2]
    for thing, pose, alpha in zip(things, poses, alphas, strict=True):
        x0, y0, x1, y1 = _window(pose, width, height)
        if x1 <= x0 or y1 <= y0:
            continue
        region = picture[y0:y1, x0:x1]
        if shadow > 0.0 and thing.parent < 0:
            region *= _shade(alpha[y0:y1, x0:x1], pose.radius, shadow)
        _lay_on(region, thing.surface, pose, (x0, y0), alpha[y0:y1, x0:x1])
    return picture


def _window(pose: Pose, width: int, height: int) -> tuple[int, int, int, int]:
    reach = pose.radius * 1.25 + 2.0
    return (
        max(0, int(pose.x - reach)),
        max(0, int(pose.y - reach)),
        min(width, int(pose.x + reach) + 1),
        min(height, int(pose.y + reach) + 1),
    )


def _shade(alpha: Alpha, radius: float, darkness: float) -> Canvas:
    """Factor that darkens the ground below and right of a thing."""
    offset = max(1.0, radius * 0.1)
    blur = int(max(1.0, radius * 0.08)) * 2 + 1
    height, width = alpha.shape
    move = np.array([[1, 0, offset], [0, 1, offset]], dtype=np.float32)
    moved = cv2.warpAffine(alpha, move, (width, height))
    soft = cv2.blur(moved, (blur, blur)).astype(np.float32) * np.float32(darkness / 255.0)
    return np.asarray(1.0 - soft[..., None], dtype=np.float32)


def _lay_on(
    region: Canvas, surface: Canvas, pose: Pose, origin: tuple[int, int], alpha: Alpha
) -> None:
    """Blend a turned and scaled surface into `region`, in place."""
    side = surface.shape[0]
    source = (_CORNERS + 1.0) * np.float32((side - 1) / 2.0)
    target = pose.place(_CORNERS) - np.array(origin, dtype=np.float32)
    matrix = cv2.getAffineTransform(source, target)
    height, width = alpha.shape
    patch = cv2.warpAffine(
        surface, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    weight = alpha.astype(np.float32)[..., None] * np.float32(1.0 / 255.0)
    region += (patch - region) * weight


def photograph(picture: Canvas, rng: np.random.Generator, noise: float) -> npt.NDArray[np.uint8]:
    """Turn a canvas into an image as a camera would see it: a little grain, 8 bits."""
    if noise > 0.0:
        grain = rng.standard_normal((*picture.shape[:2], 1), dtype=np.float32)
        picture = picture + grain * np.float32(noise)
    return np.clip(np.rint(picture), 0.0, 255.0).astype(np.uint8)
