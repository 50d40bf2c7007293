"""Through the whole HTTP path, masks are Meta's own predictor's for the pixels that were meant.

What the pixels are is worked out here from the drawn scene, not by the app's or the workspace's
code: window-mapped slices, 16-bit images, and mask prompts as logits of +-10.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from live import Platform, RunningApp
from pictures import scan_slice, window
from PIL import Image
from test_editing import inline
from test_sources import click, frame, slice_of
from test_traffic import mask_of

from sam2_serving.model import load_model
from sam2_serving.model.upstream import upstream_predictor
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

IMAGE = draw_scene(0, size=(320, 240)).image


@pytest.fixture(scope="module")
def predictor() -> Any:
    model = load_model(REPOSITORY / "checkpoints" / "nano" / "nano.pt", "cpu", "float32")
    return upstream_predictor(model.network)


def expected(predictor: Any, pixels: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Click the middle, as the tests of the sources do."""
    predictor.set_image(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2))
    mask_input = None
    if mask is not None:
        side = predictor.model.image_size // 4
        share = cv2.resize(mask.astype(np.float32), np.maximum(mask.shape[::-1], side))
        share = cv2.resize(share, (side, side), interpolation=cv2.INTER_AREA)
        mask_input = (20 * share - 10)[None]
    masks, ious, _ = predictor.predict(
        np.array([[160, 120]]), np.array([1]), None, mask_input, multimask_output=mask is None
    )
    return np.asarray(masks[int(np.argmax(ious))] > 0)


def same(found: Any, wanted: np.ndarray) -> None:
    assert found.status_code == 200, found.text
    assert wanted.any()
    np.testing.assert_array_equal(mask_of(found.json()), wanted)


@pytest.mark.parametrize(("center", "width"), [(1000, 4000), (0, 1500), (700.5, 900), (2500, 3000)])
def test_window_mapped_slices(
    center: float, width: float, app: RunningApp, platform: Platform, predictor: Any
) -> None:
    shown = window(scan_slice(IMAGE), center, width)
    assert len(np.unique(shown)) > 10
    source = slice_of(platform, window_center=center, window_width=width)
    same(click(app, platform, source), expected(predictor, shown))


def test_16_bit_images(app: RunningApp, platform: Platform, predictor: Any) -> None:
    source = {"image_id": platform.images["gray 16 bit"]}
    blue_green_red = cv2.cvtColor(IMAGE, cv2.COLOR_RGB2BGR)
    gray = np.asarray(Image.fromarray(IMAGE).convert("L"))
    same(click(app, platform, source), expected(predictor, gray))
    # OpenCV wrote the scene's channels in its own order.
    source = {"image_id": platform.images["colour 16 bit"]}
    same(click(app, platform, source), expected(predictor, blue_green_red))


@pytest.mark.parametrize("where", ["image", "frame"])
def test_mask_prompts(where: str, app: RunningApp, platform: Platform, predictor: Any) -> None:
    """Contract 7.1-8: logits of +-10, not 2540."""
    drawn = platform.objects["scene0"].mask
    source = {"image_id": platform.images["scene0"]} if where == "image" else frame(platform)
    found = click(app, platform, {**source, "mask": inline(drawn), "init_figure": True})
    same(found, expected(predictor, IMAGE, drawn))
    assert (mask_of(found.json()) != expected(predictor, IMAGE)).any()
