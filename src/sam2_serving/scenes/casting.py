"""Chooses what a scene shows: backgrounds, things, and a first place for each."""

from __future__ import annotations

import numpy as np

from sam2_serving.scenes import colours
from sam2_serving.scenes.painting import Canvas, Pose, Thing
from sam2_serving.scenes.shapes import normalised
from sam2_serving.scenes.style import Rules, Style
from sam2_serving.scenes.textures import Field, smooth_noise

_PLACE_TRIES = 40
_PART_RADIUS = (0.22, 0.5)


def coloured(field: Field, base: colours.Colour, other: colours.Colour) -> Canvas:
    """Give a pattern its two colours."""
    weight = (field[..., None] + np.float32(1.0)) * np.float32(0.5)
    return np.asarray(base + (other - base) * weight, dtype=np.float32)


def _pick(rng: np.random.Generator, names: list[str]) -> str:
    return names[int(rng.integers(len(names)))]


def background(
    rng: np.random.Generator, side: int, rules: Rules, style: Style
) -> tuple[Canvas, colours.Colour]:
    """A square background and its main colour."""
    base = colours.muted(rng)
    strength = rng.uniform(*rules.background_texture)
    texture = style.textures[_pick(rng, list(style.textures))]
    canvas = coloured(texture(rng, side), base, colours.accent(rng, base, strength))
    light = np.float32(1.0) + smooth_noise(rng, side, 2)[..., None] * np.float32(0.1)
    return np.asarray(canvas * light, dtype=np.float32), base


def _surface(
    rng: np.random.Generator, radius: float, base: colours.Colour, rules: Rules, style: Style
) -> Canvas:
    side = int(np.clip(2.0 * radius, 16.0, 256.0))
    texture = style.textures[_pick(rng, list(style.textures))]
    other = colours.accent(rng, base, rng.uniform(*rules.object_texture))
    canvas = coloured(texture(rng, side), base, other)
    slope = np.linspace(-1.0, 1.0, side, dtype=np.float32)[:, None, None]
    return np.asarray(canvas * (1.0 - np.float32(rng.uniform(0.0, 0.25)) * slope), np.float32)


def thing(
    rng: np.random.Generator,
    radius: float,
    base: colours.Colour,
    rules: Rules,
    style: Style,
    parent: int = -1,
) -> Thing:
    """A thing with a shape and a surface.

    Args:
        rng: where chance comes from.
        radius: about how large it will be drawn, in pixels.
        base: its main colour.
        rules: how strong its pattern may be.
        style: shapes and textures to choose from.
        parent: see `Thing`.
    """
    shape = _pick(rng, list(style.shapes))
    outline = normalised(style.shapes[shape](rng))
    return Thing(outline, _surface(rng, radius, base, rules, style), parent, shape)


def free_place(
    rng: np.random.Generator, taken: list[Pose], rules: Rules, width: int, height: int
) -> Pose | None:
    """A pose that keeps the gap to all taken ones, or None if 40 tries found none."""
    short = float(min(width, height))
    for _ in range(_PLACE_TRIES):
        low, high = rules.radius
        radius = short * low * (high / low) ** rng.random()
        margin = radius * (1.0 - rules.outside) + 1.0
        if 2.0 * margin >= short:
            continue
        x, y = rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)
        gap = rules.gap * short
        if all(np.hypot(x - p.x, y - p.y) >= radius + p.radius + gap for p in taken):
            return Pose(x, y, radius, rng.uniform(0.0, 2.0 * np.pi))
    return None


def cast(
    rng: np.random.Generator,
    ground: colours.Colour,
    rules: Rules,
    style: Style,
    width: int,
    height: int,
) -> tuple[list[Thing], list[Pose]]:
    """Things and their first poses; a part's pose is in units of its parent.

    Parts follow their parent at once, so that whatever covers the parent covers them too.
    """
    things: list[Thing] = []
    poses: list[Pose] = []
    placed: list[Pose] = []
    used = [ground]
    for _ in range(int(rng.integers(rules.objects[0], rules.objects[1] + 1))):
        pose = free_place(rng, placed, rules, width, height)
        if pose is None:
            break
        base = colours.distinct(rng, used if rules.gap >= 0.0 else [ground], rules.contrast)
        used.append(base)
        whole = len(things)
        placed.append(pose)
        things.append(thing(rng, pose.radius, base, rules, style))
        poses.append(pose)
        if rng.random() < rules.part_share:
            _add_parts(rng, things, poses, whole, base, rules, style)
    return things, poses


def _add_parts(
    rng: np.random.Generator,
    things: list[Thing],
    poses: list[Pose],
    whole: int,
    base: colours.Colour,
    rules: Rules,
    style: Style,
) -> None:
    radius = poses[whole].radius
    for _ in range(int(rng.integers(1, 3))):
        size = rng.uniform(*_PART_RADIUS)
        x, y = rng.uniform(-0.45, 0.45, 2)
        colour = colours.distinct(rng, [base], rules.contrast)
        things.append(thing(rng, radius * size, colour, rules, style, parent=whole))
        poses.append(Pose(float(x), float(y), size, rng.uniform(0.0, 2.0 * np.pi)))
