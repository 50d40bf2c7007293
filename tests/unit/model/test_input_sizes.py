"""Smaller images for the same weights: which sizes there are, and what they keep apart."""

from __future__ import annotations

import pytest

from sam2_serving.model import InputSizeError, load_model
from sam2_serving.model.agreement import Verdict, example_picture
from sam2_serving.model.checkpoints import load_checkpoint
from sam2_serving.model.network import CONFIG_NAMES, input_sizes
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.settings import INPUT_SIZES, ServerSettings

NANO = REPOSITORY / "checkpoints/nano/nano.pt"


@pytest.mark.parametrize("name", CONFIG_NAMES)
def test_the_settings_name_the_sizes_of_every_network(name):
    of = "nano" if name == "nano.yaml" else "the other models"
    assert input_sizes(name) == INPUT_SIZES[of]
    assert all(size % 32 == 0 for size in input_sizes(name))


def test_what_this_network_does_not_take_is_refused_with_what_it_does():
    with pytest.raises(InputSizeError, match=r"'nano.pt'.* 512 pixels.* 128, 192 or 256\."):
        load_checkpoint(NANO, 512)


@pytest.mark.parametrize("wrong", ["100", "0", "-512", "512.0", "big", "256,192"])
def test_what_no_network_takes_is_refused_at_the_start(monkeypatch, wrong):
    monkeypatch.setenv("SAM2_SERVING_INPUT_SIZE", wrong)
    with pytest.raises(ValueError, match="nano: 128, 192, 256; the other models: 512, 768, 1024"):
        ServerSettings()


@pytest.mark.parametrize(("given", "meant"), [("", None), ("192", 192), ("768", 768)])
def test_the_setting(monkeypatch, given, meant):
    monkeypatch.setenv("SAM2_SERVING_INPUT_SIZE", given)
    assert ServerSettings().input_size == meant


def test_weights_are_the_same_and_paths_are_not():
    own, named, small = (
        load_model(NANO, "cpu", "float32", input_size=side) for side in (None, 256, 128)
    )
    assert own.fingerprint == small.fingerprint
    assert own.numeric_path == named.numeric_path
    assert "-128px-" in small.numeric_path
    assert own.numeric_path == small.numeric_path.replace("-128px-", "-256px-")
    fine, middle = small.embed(example_picture()).high_res
    assert (fine.shape[-1], middle.shape[-1]) == (32, 16)


def test_a_verdict_on_a_number_format_is_of_one_size(tmp_path, monkeypatch):
    monkeypatch.setattr("sam2_serving.model.loading.fast_dtype", lambda *_: "bfloat16")
    verdicts = iter([Verdict(1.0, 1.0), Verdict(0.5, 0.0)])
    monkeypatch.setattr("sam2_serving.model.loading.measure_agreement", lambda *_: next(verdicts))
    dtypes = [
        load_model(NANO, "cpu", verdict_dir=tmp_path, input_size=side).dtype for side in (None, 128)
    ]
    assert dtypes == ["bfloat16", "float32"]
