"""Drawn scenes: same bytes for the same seed, masks that say exactly what shows."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sam2_serving
from heldout.style import HELD_OUT
from sam2_serving.scenes import EASY, HARD, Style, draw_clip, draw_scene
from sam2_serving.scenes.painting import Pose, Thing, coverage, paint, visible_masks
from sam2_serving.scenes.shapes import SHAPES, normalised
from sam2_serving.scenes.textures import TEXTURES

DIFFICULTIES = ["easy", "hard"]


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_a_seed_gives_the_same_bytes(difficulty):
    first, second = (draw_scene(11, (160, 120), difficulty) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert np.array_equal(first.masks, second.masks)
    other = draw_scene(12, (160, 120), difficulty)
    assert other.image.tobytes() != first.image.tobytes()


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize("size", [64, (640, 480), (90, 200)])
def test_sizes_and_types(difficulty, size):
    width, height = (size, size) if isinstance(size, int) else size
    scene = draw_scene(3, size, difficulty)
    assert scene.image.shape == (height, width, 3)
    assert scene.image.dtype == np.uint8
    assert scene.masks.shape[1:] == (height, width)
    assert scene.masks.dtype == np.bool_
    assert len(scene.masks) == len(scene.parents) == len(scene.shapes) >= 1


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_masks_are_disjoint_and_not_empty(difficulty):
    for seed in range(25):
        scene = draw_scene(seed, 128, difficulty)
        assert scene.masks.sum(axis=0).max() == 1
        assert scene.masks.any(axis=(1, 2)).all()


def test_easy_objects_are_two_to_five_and_apart():
    counts = []
    for seed in range(25):
        scene = draw_scene(seed, 256, "easy")
        counts.append(len(scene.masks))
        grown = [np.zeros_like(mask) for mask in scene.masks]
        for mask, wide in zip(scene.masks, grown, strict=True):
            ys, xs = np.nonzero(mask)
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    wide[np.clip(ys + dy, 0, 255), np.clip(xs + dx, 0, 255)] = True
        assert np.sum(grown, axis=0).max() == 1, f"objects touch in scene {seed}"
    assert min(counts) >= 1
    assert max(counts) <= 5
    assert np.mean(counts) > 2


def test_masks_match_the_pixels():
    """Flat colours, no noise, light or shadow: the picture itself tells where an object is."""
    plain = replace(
        EASY, object_texture=(0.0, 0.0), background_texture=(0.0, 0.0), noise=0.0, shadow_share=0.0
    )
    flat = Style(textures={"flat": TEXTURES["flat"]})
    checked = 0
    for seed in range(12):
        scene = draw_scene(seed, 200, plain, flat)
        free = ~scene.masks.any(axis=0)
        ground = np.median(scene.image[free], axis=0)
        away = np.abs(scene.image.astype(float) - ground).max(axis=2)
        for mask in scene.masks:
            inner = np.median(away[mask])
            if inner < 40:
                continue
            checked += 1
            ys, xs = np.nonzero(mask)
            window = (
                slice(max(0, ys.min() - 3), ys.max() + 4),
                slice(max(0, xs.min() - 3), xs.max() + 4),
            )
            seen = away[window] > inner / 2
            wrong = np.count_nonzero(seen != mask[window])
            assert wrong <= 0.12 * mask.sum() + 4
    assert checked >= 15


def test_what_lies_on_top_takes_the_pixel():
    disc = normalised(SHAPES["ellipse"](np.random.default_rng(0)))
    low = coverage(disc, Pose(30, 30, 20, 0.0), 64, 64)
    high = coverage(disc, Pose(38, 30, 20, 0.0), 64, 64)
    masks = visible_masks([low, high], 64, 64)
    assert np.array_equal(masks[1], high >= 128)
    assert np.array_equal(masks[0], (low >= 128) & (high < 128))


def test_a_pixel_belongs_to_a_thing_whose_colour_it_shows_by_half():
    disc = normalised(SHAPES["ellipse"](np.random.default_rng(0)))
    white = Thing(disc, np.full((16, 16, 3), 255, np.float32), -1, "ellipse")
    pose = Pose(50.3, 49.6, 33.0, 0.4)
    alphas = [coverage(disc, pose, 101, 101)]
    picture = paint(np.zeros((101, 101, 3), np.float32), [white], [pose], alphas, 0.0)
    assert np.array_equal(picture[..., 0] > 127.5, visible_masks(alphas, 101, 101)[0])


def test_a_whole_contains_its_parts():
    for seed in range(40):
        scene = draw_scene(seed, 256, "hard")
        for part in np.flatnonzero(scene.parents >= 0):
            parent = int(scene.parents[part])
            assert scene.parents[parent] == -1
            assert scene.whole(parent)[scene.masks[part]].all()
            return
    pytest.fail("no scene had a part")


def test_clips_are_deterministic_and_disjoint():
    first, second = (draw_clip(5, 6, (120, 96), "hard") for _ in range(2))
    assert first.frames.tobytes() == second.frames.tobytes()
    assert np.array_equal(first.masks, second.masks)
    assert first.frames.shape == (6, 96, 120, 3)
    assert first.masks.shape[:1] + first.masks.shape[2:] == (6, 96, 120)
    assert first.masks.sum(axis=1).max() == 1


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_object_of_a_clip_shows_at_first(difficulty):
    for seed in range(10):
        assert draw_clip(seed, 2, 96, difficulty).present[0].all()


def test_some_objects_leave_hide_and_come_back():
    left, back = 0, 0
    for seed in range(30):
        present = draw_clip(seed, 30, 64, "easy").present
        gone = ~present.all(axis=0)
        left += int(gone.sum())
        back += int((gone & present[-1]).sum())
    assert left >= 10
    assert back >= 3


def test_bad_arguments_are_told():
    with pytest.raises(ValueError, match="difficulty is 'medium'"):
        draw_scene(1, 64, "medium")
    with pytest.raises(ValueError, match="at least 32 pixels"):
        draw_scene(1, (640, 16))
    with pytest.raises(ValueError, match="frames is 0"):
        draw_clip(1, 0)


def test_held_out_scenes_share_nothing_with_training():
    assert not set(HELD_OUT.textures) & set(TEXTURES)
    shapes = {name: shape for name, shape in HELD_OUT.shapes.items() if name in SHAPES}
    assert set(shapes) <= {"glyph"}, "letters are held out by other fonts and characters"
    scene = draw_scene(1, 128, HARD, HELD_OUT)
    assert set(scene.shapes) <= set(HELD_OUT.shapes)


def test_nothing_that_trains_or_ships_imports_the_held_out_style():
    package = Path(sam2_serving.__file__).parent
    recipe = Path(__file__).parents[3] / "tools" / "train_nano"
    files = [*package.rglob("*.py"), *recipe.rglob("*.py")]
    assert len(files) > 20
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = [alias.name for alias in node.names]
            names.append(getattr(node, "module", None) or "")
            assert not any("heldout" in name for name in names), f"{path} imports held-out styles"
