"""Draws training images and asks questions about them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sam2_serving.scenes import EASY, HARD, Rules, Scene, draw_scene
from train_nano.forward import Window
from train_nano.network import IMAGE_SIZE

Mask = npt.NDArray[np.bool_]

_LEAST_PIXELS = 30
# In a 128-pixel window things keep the size that they have in a 256-pixel image.
_NEAR_EASY = replace(EASY, objects=(2, 4), radius=(0.13, 0.3), outside=0.5)
_NEAR_HARD = replace(HARD, objects=(3, 7), radius=(0.1, 0.34), outside=0.6)
_NEAR_SIZE = 160


@dataclass(frozen=True)
class Batch:
    """Images and the masks that are asked for.

    Attributes:
        images: uint8 B x S x S x 3.
        window: the part of the frame that all images show.
        owner: P, the image of each question.
        masks: bool P x S x S, the answer; empty for questions about the background.
        free: bool P x S x S, pixels that show no object.
    """

    images: npt.NDArray[np.uint8]
    window: Window
    owner: Tensor
    masks: Mask
    free: Mask


def target_of(scene: Scene, index: int) -> Mask:
    """What a user means by an object: a part alone, but a whole with its parts."""
    return scene.masks[index] if scene.parents[index] >= 0 else scene.whole(index)


def _rules(rng: np.random.Generator, hard_share: float, near: bool) -> Rules:
    hard = rng.random() < hard_share
    if near:
        return _NEAR_HARD if hard else _NEAR_EASY
    return HARD if hard else EASY


def _drawn(
    rng: np.random.Generator, side: int, hard_share: float
) -> tuple[npt.NDArray[np.uint8], list[Mask], npt.NDArray[np.int64]]:
    """An image of this side, the masks in it and the object that owns each pixel (0: none)."""
    near = side < IMAGE_SIZE
    size = _NEAR_SIZE if near else side
    scene = draw_scene(int(rng.integers(2**31)), size, _rules(rng, hard_share, near))
    x, y = rng.integers(0, size - side + 1, 2)
    cut = (slice(y, y + side), slice(x, x + side))
    masks = [target_of(scene, i)[cut] for i in range(len(scene.masks))]
    owner = (scene.masks * np.arange(1, len(scene.masks) + 1)[:, None, None]).sum(0)
    kept = [mask for mask in masks if np.count_nonzero(mask) >= _LEAST_PIXELS]
    return scene.image[cut], kept, owner[cut]


def draw_batch(
    rng: np.random.Generator,
    images: int,
    questions: int,
    side: int,
    hard_share: float,
    background_share: float = 0.0,
) -> Batch:
    """Draw images and choose `questions` objects in each (again and again if there are fewer)."""
    pictures: list[npt.NDArray[np.uint8]] = []
    owner: list[int] = []
    masks: list[Mask] = []
    free: list[Mask] = []
    while len(pictures) < images:
        picture, found, owned = _drawn(rng, side, hard_share)
        if not found:
            continue
        order = rng.permutation(len(found))
        empty = owned == 0
        for k in range(questions):
            nothing = empty.mean() > 0.1 and rng.random() < background_share
            mask = found[order[k % len(found)]]
            masks.append(np.zeros_like(mask) if nothing else mask)
            owner.append(len(pictures))
            free.append(empty)
        pictures.append(picture)
    room = (IMAGE_SIZE - side) // 32 + 1
    x, y = rng.integers(0, room, 2) * 32
    return Batch(
        images=np.stack(pictures),
        window=Window(int(x), int(y), side),
        owner=torch.tensor(owner),
        masks=np.stack(masks),
        free=np.stack(free),
    )


def centre_of(region: Mask) -> tuple[float, float]:
    """The pixel (x, y) farthest from the region's edge."""
    padded = np.pad(region, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), region.shape)
    return float(x), float(y)


def pixel_of(rng: np.random.Generator, region: Mask) -> tuple[float, float]:
    """A random pixel (x, y) of a region that is not empty."""
    flat = np.flatnonzero(region)
    y, x = divmod(int(flat[int(rng.integers(len(flat)))]), region.shape[1])
    return float(x), float(y)


def click_on(rng: np.random.Generator, region: Mask) -> tuple[float, float]:
    """Where a person might click on a region: near its middle as often as anywhere."""
    return centre_of(region) if rng.random() < 0.4 else pixel_of(rng, region)


def box_of(rng: np.random.Generator, mask: Mask, looseness: float) -> list[tuple[float, float]]:
    """Corners (x0, y0), (x1, y1) of a box drawn by hand round a mask, exclusive at x1, y1.

    Args:
        rng: where chance comes from.
        mask: not empty.
        looseness: standard deviation of each side, as a share of the box.
    """
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x0, y0, x1, y1 = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
    scale = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0]) * looseness
    slip = np.clip(rng.normal(0.0, 1.0, 4) * scale, -8.0, 8.0)
    side_y, side_x = mask.shape
    loose = np.clip(np.array([x0, y0, x1, y1]) + slip, 0, [side_x, side_y, side_x, side_y])
    return [(float(loose[0]), float(loose[1])), (float(loose[2]), float(loose[3]))]


def correction(
    rng: np.random.Generator, found: Mask, mask: Mask, exact: bool
) -> tuple[float, float, int]:
    """The next click of a person who sees `found` and wants `mask`: (x, y, label).

    Args:
        rng: where chance comes from.
        found: the mask so far.
        mask: the mask wanted.
        exact: click at the middle of the largest wrong region, as in evaluation; else often
            anywhere in what is missing or too much.
    """
    missing, extra = mask & ~found, found & ~mask
    wrong = missing if np.count_nonzero(missing) >= np.count_nonzero(extra) else extra
    if not wrong.any():
        wrong = mask if mask.any() and (exact or rng.random() < 0.5) else ~mask
    if exact or rng.random() < 0.5:
        x, y = largest_centre(wrong)
    else:
        x, y = pixel_of(rng, wrong)
    return x, y, int(mask[int(y), int(x)])


def largest_centre(region: Mask) -> tuple[float, float]:
    """Middle of the largest connected part of a region that is not empty."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    if count > 2:
        region = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return centre_of(region)
