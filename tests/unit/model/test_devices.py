import pytest
import torch

from sam2_serving.model import (
    DeviceError,
    SegmentationModel,
    build_network,
    load_model,
    segment,
)
from sam2_serving.model.agreement import Verdict, measure_agreement, remembered_verdict
from sam2_serving.model.devices import fast_dtype, on_one_core, resolve_device
from sam2_serving.pretrained import REPOSITORY

NANO = REPOSITORY / "checkpoints/nano/nano.pt"
CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_cpu_has_one_name(name):
    assert resolve_device(name) == CPU


@pytest.mark.parametrize("name", ["cuda:99", "mps", "gpu", "", "cuda:x", "meta"])
def test_a_device_that_is_not_here_is_refused_in_words(name):
    with pytest.raises(DeviceError, match=r"device|supported"):
        resolve_device(name)


def test_auto_takes_what_is_here():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_nano_stays_in_float32_on_a_cpu():
    assert fast_dtype(CPU, 5_000_000) == "float32"


@pytest.mark.parametrize(
    ("verdict", "agrees"),
    [
        (Verdict(0.99, 0.95), True),
        (Verdict(0.9899, 0.99), False),
        (Verdict(0.999, 0.9499), False),
    ],
)
def test_what_counts_as_agreement(verdict, agrees):
    assert verdict.agrees is agrees


def test_a_verdict_is_measured_once_per_conditions(tmp_path):
    model = load_model(NANO, "cpu", "bfloat16")
    measured = []

    def measure() -> Verdict:
        measured.append(1)
        return Verdict(0.995, 0.96)

    first = remembered_verdict(model, tmp_path, measure)
    assert remembered_verdict(model, tmp_path, measure) == first
    assert len(measured) == 1
    other = SegmentationModel(build_network("nano.yaml"), "nano.yaml", CPU, "bfloat16")
    remembered_verdict(other, tmp_path, measure)
    assert len(measured) == 2
    damaged = ("{ half a verd", "null", '{"mean_iou": "a"}', '{"mean_iou": 7, "lowest_iou": 9}')
    for number, text in enumerate(damaged):
        for file in tmp_path.iterdir():
            file.write_text(text)
        assert remembered_verdict(model, tmp_path, measure) == first
        assert len(measured) == 3 + number


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path):
    (tmp_path / "file").write_text("")
    model = load_model(NANO, "cpu", "bfloat16")
    verdict = Verdict(1.0, 1.0)
    assert remembered_verdict(model, tmp_path / "file", lambda: verdict) == verdict


def test_the_same_weights_agree_and_other_weights_do_not():
    exact = load_model(NANO, "cpu", "float32")
    assert measure_agreement(exact, exact) == Verdict(1.0, 1.0)
    torch.manual_seed(5)
    other = SegmentationModel(build_network("nano.yaml"), "nano.yaml", CPU)
    assert not measure_agreement(other, exact).agrees


@pytest.mark.parametrize("verdict", [Verdict(1.0, 1.0), Verdict(0.9, 0.2)])
def test_a_fast_format_serves_only_if_it_agrees(tmp_path, monkeypatch, verdict):
    monkeypatch.setattr("sam2_serving.model.loading.fast_dtype", lambda *_: "bfloat16")
    monkeypatch.setattr("sam2_serving.model.loading.measure_agreement", lambda *_: verdict)
    model = load_model(NANO, "cpu", verdict_dir=tmp_path)
    assert model.dtype == ("bfloat16" if verdict.agrees else "float32")
    assert model.dtype in model.numeric_path


def test_a_format_that_was_asked_for_is_taken_as_it_is(tmp_path):
    model = load_model(NANO, "cpu", "bfloat16", verdict_dir=tmp_path)
    assert model.dtype == "bfloat16"
    assert not list(tmp_path.iterdir())


def test_sixteen_prompts_are_compared(monkeypatch):
    exact, seen = load_model(NANO, "cpu", "float32"), []
    monkeypatch.setattr(
        "sam2_serving.model.agreement.segment",
        lambda model, *rest: seen.append(rest) or segment(model, *rest),
    )
    measure_agreement(exact, exact)
    assert len(seen) == 2 * 16


def test_the_numeric_path_names_what_decides_the_last_bits():
    threads = torch.get_num_threads()
    model = load_model(NANO, "cpu", "float32")
    try:
        torch.set_num_threads(threads + 1)
        other = load_model(NANO, "cpu", "float32")
    finally:
        torch.set_num_threads(threads)
    assert model.numeric_path != other.numeric_path
    assert model.numeric_path == load_model(NANO, "cpu", "float32").numeric_path


def test_one_core_for_now():
    def fail() -> None:
        with on_one_core():
            seen.append(torch.get_num_threads())
            raise ZeroDivisionError

    seen, before = [], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            fail()
        assert (torch.get_num_threads(), seen) == (2, [1])
    finally:
        torch.set_num_threads(before)
