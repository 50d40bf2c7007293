"""Which files are taken, which are refused, and with what words."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from sam2_serving.model import CheckpointError, build_network
from sam2_serving.model.checkpoints import (
    fingerprint,
    load_checkpoint,
    parameter_count,
    recognise,
)
from sam2_serving.model.network import CONFIG_NAMES

MILLIONS = {
    "sam2.1_hiera_t.yaml": 38.9,
    "sam2.1_hiera_s.yaml": 46.0,
    "sam2.1_hiera_b+.yaml": 80.8,
    "sam2.1_hiera_l.yaml": 224.4,
}


@pytest.fixture(scope="module")
def nano_state():
    torch.manual_seed(3)
    return build_network("nano.yaml").state_dict()


def others(state):
    return {key: value + 1 for key, value in state.items()}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if "_l." in name or "b+" in name else [])
        for name in CONFIG_NAMES
    ],
)
def test_every_packaged_network_is_recognised_from_its_tensor_shapes(name):
    network = build_network(name)
    assert recognise(network.state_dict()) == name
    if name in MILLIONS:
        assert int(parameter_count(network) / 1e5) / 10 == MILLIONS[name]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state},
        lambda state: {"state_dict": state},
        lambda state: state,
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"model": {key: value.half() for key, value in state.items()}},
        lambda state: {"model": state, "config": "a/path/that/is/only/a/name.yaml"},
        lambda state: {"model": others(state), "ema": {"module": state}},
        lambda state: {"state_dict": {f"model.net.{k}": v for k, v in state.items()}},
        lambda state: {"n_averaged": torch.tensor(5), **{f"module.{k}": state[k] for k in state}},
    ],
    ids=[
        *("model", "state_dict", "bare", "module.", "half", "with config"),
        *("averaged weights first", "any prefix", "averaging wrapper"),
    ],
)
def test_common_forms_load(tmp_path, nano_state, wrap):
    torch.save(wrap(nano_state), tmp_path / "weights.pt")
    network, config = load_checkpoint(tmp_path / "weights.pt")
    assert config == "nano.yaml"
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, nano_state[key], atol=2e-3, rtol=2e-3)


def test_safetensors_load(tmp_path, nano_state):
    save_file(nano_state, tmp_path / "weights.safetensors")
    network, _ = load_checkpoint(tmp_path / "weights.safetensors")
    assert fingerprint(network) == fingerprint(load_from(nano_state))


def load_from(state):
    network = build_network("nano.yaml")
    network.load_state_dict(state)
    return network


class Evil:
    def __reduce__(self):
        return (os.system, ("touch evil-was-here",))


def test_code_in_a_checkpoint_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Evil()}, "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"model": Evil()}))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "evil-was-here").exists()


def test_a_config_inside_a_checkpoint_is_never_instantiated(tmp_path, monkeypatch, nano_state):
    monkeypatch.chdir(tmp_path)
    config = {"model": {"_target_": "os.system", "command": "touch evil-was-here"}}
    torch.save({"model": nano_state, "config": config}, "weights.pt")
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    assert load_checkpoint(tmp_path / "weights.pt")[1] == "nano.yaml"
    with pytest.raises(ValueError, match="no packaged config"):
        build_network(str(tmp_path / "config.yaml"))
    assert not (tmp_path / "evil-was-here").exists()


def endless() -> dict:
    """A wrapper that wraps itself."""
    wrapper: dict = {}
    wrapper["model"] = wrapper
    return wrapper


def change(key: str, value: torch.Tensor | None):
    def apply(state):
        changed = dict(state)
        if value is None:
            del changed[key]
        else:
            changed[key] = value
        return changed

    return apply


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change("no_mem_embed", None), "lacks 1 tensors: no_mem_embed"),
        (change("extra.weight", torch.zeros(1)), "unknown 1 tensors: extra.weight"),
        (change("no_mem_embed", torch.zeros(2)), "misshapen 1 tensors: no_mem_embed"),
        (
            change("image_encoder.trunk.patch_embed.proj.weight", torch.zeros(77, 3, 7, 7)),
            "width 77",
        ),
        (lambda _: {"conv.weight": torch.zeros(3)}, "not the weights of a SAM 2"),
        (change("no_mem_embed", torch.full((1, 1, 128), torch.nan)), "not finite"),
        (change("no_mem_embed", torch.zeros(1, 1, 128, dtype=torch.complex64)), "plain numbers"),
        (change("no_mem_embed", torch.zeros(1, 1, 128).to_sparse()), "plain numbers"),
        (
            change("image_encoder.trunk.patch_embed.proj.weight", torch.tensor(1.0)),
            "not the weights",
        ),
        (change("image_encoder.trunk.blocks.foo.x", torch.zeros(1)), "blocks"),
        (lambda _: endless(), "no tensors"),
        (lambda _: {"model": {}}, "no tensors"),
        (lambda _: [1, 2, 3], "no state dict"),
    ],
)
def test_wrong_contents_are_refused_in_one_sentence(tmp_path, nano_state, spoil, words):
    torch.save(spoil(nano_state), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=words) as refused:
        load_checkpoint(tmp_path / "weights.pt")
    assert str(refused.value).endswith(".")
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", os.urandom(1000)])
def test_files_that_are_no_checkpoints_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("position", range(0, 1600, 100))
def test_damaged_files_of_the_old_format_are_refused(tmp_path, position):
    torch.save({"a": torch.arange(9.0)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    content = bytearray((tmp_path / "a.pt").read_bytes())
    content[position % len(content)] ^= 0xFF
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "a.pt")


def test_a_truncated_and_a_missing_file_are_refused(tmp_path, nano_state):
    torch.save(nano_state, tmp_path / "weights.pt")
    whole = (tmp_path / "weights.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    for name in ("half.pt", "missing.pt"):
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(tmp_path / name)


def test_the_fingerprint_is_of_the_weights(nano_state):
    changed = dict(nano_state)
    changed["no_mem_embed"] = nano_state["no_mem_embed"] + 1e-3
    assert fingerprint(load_from(nano_state)) == fingerprint(load_from(nano_state))
    assert fingerprint(load_from(nano_state)) != fingerprint(load_from(changed))
