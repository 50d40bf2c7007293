"""What may be drawn (`Style`) and how hard it is to tell apart (`Rules`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sam2_serving.scenes.shapes import SHAPES, Shape
from sam2_serving.scenes.textures import TEXTURES, Texture


@dataclass(frozen=True)
class Style:
    """The shapes and textures to choose from, by name."""

    shapes: Mapping[str, Shape] = field(default_factory=lambda: SHAPES)
    textures: Mapping[str, Texture] = field(default_factory=lambda: TEXTURES)


@dataclass(frozen=True)
class Rules:
    """How a scene is laid out. Lengths are fractions of the image's shorter side.

    Attributes:
        objects: least and most number of whole objects.
        radius: smallest and largest radius of an object.
        gap: least free space between the circles round two objects; negative lets them overlap.
        contrast: least colour distance (delta E) between an object and the background.
        object_texture: least and most strength of patterns on objects, 0..1.
        background_texture: the same for the background.
        part_share: share of objects that carry one or two parts (objects of their own).
        shadow_share: share of scenes with soft shadows.
        outside: how far, in radii, an object may reach over the image's border.
        noise: largest standard deviation of camera noise, in grey levels.
    """

    objects: tuple[int, int]
    radius: tuple[float, float]
    gap: float
    contrast: float
    object_texture: tuple[float, float]
    background_texture: tuple[float, float]
    part_share: float
    shadow_share: float
    outside: float
    noise: float


EASY = Rules(
    objects=(2, 5),
    radius=(0.09, 0.24),
    gap=0.02,
    contrast=38.0,
    object_texture=(0.0, 0.35),
    background_texture=(0.0, 0.2),
    part_share=0.0,
    shadow_share=0.6,
    outside=0.0,
    noise=3.0,
)

HARD = Rules(
    objects=(4, 9),
    radius=(0.07, 0.3),
    gap=-0.16,
    contrast=20.0,
    object_texture=(0.1, 1.0),
    background_texture=(0.1, 0.8),
    part_share=0.25,
    shadow_share=0.4,
    outside=0.5,
    noise=6.0,
)

DIFFICULTIES: dict[str, Rules] = {"easy": EASY, "hard": HARD}
DEFAULT_STYLE = Style()


def rules_for(difficulty: str | Rules) -> Rules:
    """The rules that a difficulty names.

    Raises:
        ValueError: the name is neither "easy" nor "hard".
    """
    if isinstance(difficulty, Rules):
        return difficulty
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"difficulty is {difficulty!r}; it must be one of {sorted(DIFFICULTIES)}")
    return DIFFICULTIES[difficulty]
