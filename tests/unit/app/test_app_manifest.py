"""The manifest and the files that the platform's template reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from sam2_serving.app.app import SegmentAnything2
from sam2_serving.app.sdk_app import APP_NAME
from sam2_serving.app.tracking.figures import TRACKED_SHAPES
from sam2_serving.demo import app_command
from sam2_serving.pretrained import REPOSITORY, pretrained_models

SERVE = REPOSITORY / "serve"
# Names that clients send or look for (contract, section 5.3).
CLIENT_SETTINGS = set(
    "mode input_image_id points_per_side points_per_batch pred_iou_thresh stability_score_thresh "  # noqa: SIM905
    "stability_score_offset box_nms_thresh crop_n_layers crop_nms_thresh crop_overlap_ratio "
    "crop_n_points_downscale_factor min_mask_region_area output_mode use_m2m bbox_class_name "
    "points_class_name replace_masks bbox_coordinates point_coordinates point_labels".split()
)


@pytest.fixture
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((REPOSITORY / "config.json").read_text())
    return loaded


def test_manifest_and_command_line_start_the_app_alike(config: dict[str, Any]) -> None:
    # options have no order
    assert sorted(config["entrypoint"].split()[1:]) == sorted(app_command("0.0.0.0", 8000)[1:])


def test_manifest_says_what_the_platform_looks_for(config: dict[str, Any]) -> None:
    assert config["name"] == APP_NAME
    assert APP_NAME.startswith("Serve Segment Anything")
    assert {f"framework:{SegmentAnything2.FRAMEWORK_NAME}", "serve"} <= set(config["categories"])
    tags = {"sly_smart_annotation", "deployed_nn_object_segmentation", "sly_video_tracking"}
    assert tags <= set(config["session_tags"])
    assert "scalable" not in config["session_tags"], "a request may depend on one replica's memory"
    assert config["can_disable_bbox"] is True
    assert tuple(config["allowed_shapes"]) == TRACKED_SHAPES
    assert config["gpu"] == "preferred"
    assert (config["type"], config["version"], config["port"]) == ("app", "2.0.0", 8000)


def test_settings_have_every_name_that_clients_use() -> None:
    text = (SERVE / "inference_settings.yaml").read_text()
    settings = yaml.safe_load(text)
    ours = {"use_box", "refine", "use_keyframes", "max_cond_frames", "polygon_tolerance"}
    ours |= {"init_mask", "inference_mode", "sliding_window_params", "output_geometry"}
    ours |= {"largest_only", "hole_area", "island_area", "keep_clicked"}
    assert set(settings) == CLIENT_SETTINGS | ours
    assert settings["mode"] == "raw"
    assert settings["replace_masks"] is False
    assert "None" not in settings.values()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line and not line.startswith("#"):
            above = lines[number - 1]
            told = above.startswith("#") or above.split(":")[0] in settings
            assert told, f"{line!r} has no comment"


def test_options_of_the_page_are_those_that_the_template_reads() -> None:
    options = yaml.safe_load((SERVE / "app_options.yaml").read_text())
    assert set(options) <= {
        "pretrained_models",
        "custom_models",
        "external_models",
        "external_model_options",
        "supported_runtimes",
    }
    assert options["supported_runtimes"] == ["PyTorch"]


def test_table_has_every_model_once_and_the_figures_of_its_own_release() -> None:
    models = {model.name: model for model in pretrained_models()}
    assert len(models) == 9
    quality = {name: model.columns["SA-V test J&F"] for name, model in models.items()}
    assert quality["SAM 2.1 Hiera tiny"] == "76.5"
    assert quality["SAM 2 Hiera tiny"] == "75.0"
    aliases = [alias for model in models.values() for alias in model.aliases]
    assert len(aliases) == len(set(aliases))
    for name, model in models.items():
        remote = model.checkpoint.startswith("https://dl.fbaipublicfiles.com/segment_anything_2/")
        assert remote == (name != "Nano (demo)")
        assert (model.sha256 is not None) == name.startswith("SAM 2.1")


def test_nano_says_what_it_is_not_for() -> None:
    nano = next(model for model in pretrained_models() if "nano" in model.aliases)
    assert "not for photographs" in nano.columns["Note"]
    assert (REPOSITORY / nano.checkpoint).is_file()
