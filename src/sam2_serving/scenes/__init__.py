"""Drawn scenes and clips with exact masks, shared by training, samples, tests and benches.

Example:
    >>> from sam2_serving.scenes import draw_scene
    >>> scene = draw_scene(seed=7, size=(640, 480), difficulty="easy")
    >>> scene.image.shape
    (480, 640, 3)
"""

from sam2_serving.scenes.clip import Clip, draw_clip
from sam2_serving.scenes.scene import Scene, draw_scene
from sam2_serving.scenes.style import DEFAULT_STYLE, EASY, HARD, Rules, Style

__all__ = [
    "DEFAULT_STYLE",
    "EASY",
    "HARD",
    "Clip",
    "Rules",
    "Scene",
    "Style",
    "draw_clip",
    "draw_scene",
]
