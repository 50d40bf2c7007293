"""Short drawn films: things that move, cover one another, leave and come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sam2_serving.scenes import colours
from sam2_serving.scenes.casting import background, cast, thing
from sam2_serving.scenes.painting import (
    Canvas,
    Masks,
    Pose,
    Thing,
    coverages,
    paint,
    photograph,
    visible_masks,
)
from sam2_serving.scenes.scene import Size, absolute, size_of, without_hidden
from sam2_serving.scenes.style import DEFAULT_STYLE, Rules, Style, rules_for

_WALL_SHARE = 0.35
_MOST_OBJECTS = 5
_JOURNEYS = ("wander", "wander", "across", "leave", "return")


@dataclass(frozen=True)
class Clip:
    """A film and what is in it.

    Attributes:
        frames: RGB uint8 T x H x W x 3.
        masks: bool T x N x H x W: the pixels that show each object on each frame; disjoint within
            a frame. All zero where an object is hidden or has left.
        parents: int N, as in `Scene`.
        journeys: N words for what each object does: "wander", "across", "leave", "return",
            "stay" (a wall that others pass behind) or "part".
    """

    frames: npt.NDArray[np.uint8]
    masks: Masks
    parents: npt.NDArray[np.int64]
    journeys: tuple[str, ...]

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Whether any of an object shows, bool T x N."""
        return np.asarray(self.masks.any(axis=(2, 3)))


@dataclass(frozen=True)
class _Path:
    """A smooth journey: pose at time 0..1."""

    knots: npt.NDArray[np.float64]  # K x 2 places, evenly spaced in time
    start: Pose
    turn: float
    growth: float

    def at(self, time: float) -> Pose:
        position = time * (len(self.knots) - 1)
        before = min(int(position), len(self.knots) - 2)
        share = position - before
        share = share * share * (3.0 - 2.0 * share)
        x, y = self.knots[before] * (1.0 - share) + self.knots[before + 1] * share
        radius = self.start.radius * (1.0 + self.growth * time)
        return Pose(float(x), float(y), radius, self.start.angle + self.turn * time)


def _outside(rng: np.random.Generator, start: Pose, width: int, height: int) -> list[float]:
    """A place just out of sight."""
    reach = start.radius * 1.3
    if rng.random() < 0.5:
        return [-reach if rng.random() < 0.5 else width + reach, rng.uniform(0.2, 0.8) * height]
    return [rng.uniform(0.2, 0.8) * width, -reach if rng.random() < 0.5 else height + reach]


def _journey(rng: np.random.Generator, kind: str, start: Pose, width: int, height: int) -> _Path:
    def somewhere() -> list[float]:
        margin = min(start.radius, 0.4 * min(width, height))
        return [rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)]

    here = [start.x, start.y]
    if kind == "stay":
        return _Path(np.array([here, here]), start, 0.0, 0.0)
    if kind == "across":
        knots = [here, [width - start.x, height - start.y], somewhere()]
    elif kind == "leave":
        knots = [here, somewhere(), _outside(rng, start, width, height)]
    elif kind == "return":
        out = _outside(rng, start, width, height)
        knots = [here, out, out, somewhere()]
    else:
        knots = [here, somewhere(), somewhere()]
    return _Path(np.array(knots), start, rng.uniform(-1.5, 1.5), rng.uniform(-0.2, 0.3))


def _add_wall(
    rng: np.random.Generator,
    things: list[Thing],
    poses: list[Pose],
    ground: colours.Colour,
    rules: Rules,
    style: Style,
    width: int,
    height: int,
) -> None:
    """A still, narrow, upright thing in front of all others."""
    radius = 0.48 * min(width, height)
    base = colours.distinct(rng, [ground], rules.contrast)
    wall = thing(rng, radius, base, rules, style)
    half = rng.uniform(0.12, 0.2)
    corners = [[-half, -1.0], [half, -1.0], [half, 1.0], [-half, 1.0]]
    things.append(replace(wall, outline=[np.array(corners, dtype=np.float32)], shape="wall"))
    poses.append(Pose(rng.uniform(0.35, 0.65) * width, height / 2.0, radius, 0.0))


def _stage(
    rng: np.random.Generator, rules: Rules, style: Style, width: int, height: int
) -> tuple[Canvas, list[Thing], list[Pose]]:
    """Background, things and their poses on the first frame."""
    while True:
        canvas, ground = background(rng, int(max(width, height) * 1.25), rules, style)
        things, poses = cast(rng, ground, rules, style, width, height)
        if rng.random() < _WALL_SHARE:
            _add_wall(rng, things, poses, ground, rules, style, width, height)
        things, poses = without_hidden(things, poses, width, height)
        if any(t.shape != "wall" for t in things):
            return canvas, things, poses


def _paths(
    rng: np.random.Generator,
    things: Sequence[Thing],
    poses: Sequence[Pose],
    width: int,
    height: int,
) -> tuple[list[_Path], list[str]]:
    paths, journeys = [], []
    for one, pose in zip(things, poses, strict=True):
        kind = _JOURNEYS[int(rng.integers(len(_JOURNEYS)))]
        if one.shape == "wall":
            kind = "stay"
        still = one.parent >= 0
        paths.append(_journey(rng, "stay" if still else kind, pose, width, height))
        journeys.append("part" if still else kind)
    return paths, journeys


def draw_clip(
    seed: int,
    frames: int = 30,
    size: Size = 256,
    difficulty: str | Rules = "easy",
    style: Style = DEFAULT_STYLE,
    span: float | None = None,
) -> Clip:
    """Draw a film with exact masks; the same arguments give the same bytes.

    Every object shows on the first frame; later some are covered, hide behind a wall, leave, or
    leave and come back.

    Args:
        seed: any integer >= 0.
        frames: how many.
        size: side of a square frame, or (width, height), in pixels.
        difficulty: as for `draw_scene`; in hard clips the background moves too.
        style: shapes and textures to choose from.
        span: share of the whole journey that the film shows; by default `frames / 40`, at most 1,
            so that things in short films do not race.

    Raises:
        ValueError: no frames, the size is too small or the difficulty unknown.
    """
    if frames < 1:
        raise ValueError(f"frames is {frames}; it must be at least 1")
    width, height = size_of(size)
    rules = rules_for(difficulty)
    rules = replace(rules, objects=(rules.objects[0], min(rules.objects[1], _MOST_OBJECTS)))
    rng = np.random.default_rng([seed, 2])
    canvas, things, poses = _stage(rng, rules, style, width, height)
    paths, journeys = _paths(rng, things, poses, width, height)
    shadow = rng.uniform(0.2, 0.5) if rng.random() < rules.shadow_share else 0.0
    noise = rng.uniform(0.0, rules.noise)
    slack = np.array([canvas.shape[1] - width, canvas.shape[0] - height])
    pan = rng.uniform(-1.0, 1.0, 2) if rules.gap < 0.0 else np.zeros(2)
    times = np.linspace(0.0, min(1.0, frames / 40.0) if span is None else span, frames)

    images, masks = [], []
    for time in times:
        places = absolute(things, [path.at(float(time)) for path in paths])
        alphas = coverages(things, places, width, height)
        x, y = np.rint(slack * (0.5 + 0.5 * pan * time)).astype(int)
        view = canvas[y : y + height, x : x + width]
        images.append(photograph(paint(view, things, places, alphas, shadow), rng, noise))
        masks.append(visible_masks(alphas, width, height))
    return Clip(
        frames=np.stack(images),
        masks=np.stack(masks),
        parents=np.array([t.parent for t in things], dtype=np.int64),
        journeys=tuple(journeys),
    )
