"""Checkpoint files as people really have them, good and bad, and what becomes of each.

The table in docs/checkpoints.md is made here: `UPDATE_DOCS=1 pytest tests/unit/model/test_checkpoint_zoo.py`.
"""

# ruff: noqa: E501 (one animal a line)
from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_huggingface import hugging_face_state

from sam2_serving.model import CheckpointError, build_network
from sam2_serving.model.checkpoints import StateDict, load_checkpoint
from sam2_serving.pretrained import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "checkpoints.md"
BEGIN, END = (
    "<!-- zoo: made by tests/unit/model/test_checkpoint_zoo.py -->\n",
    "<!-- end of zoo -->",
)
Make = Callable[[Path, StateDict], None]

torch.manual_seed(11)
NANO = build_network("nano.yaml").state_dict()
PATCH = "image_encoder.trunk.patch_embed.proj.weight"


class Runs:
    """Would run a command when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("touch zoo-was-escaped",))


def saved(change: Callable[[StateDict], object]) -> Make:
    return lambda path, state: torch.save(change(state), path)


def written(content: bytes) -> Make:
    return lambda path, _: path.write_bytes(content) and None


def without(*keys: str) -> Callable[[StateDict], StateDict]:
    return lambda state: {k: v for k, v in state.items() if k not in keys}


def truncated(path: Path, state: StateDict) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:100_000])


def tensors_of(name: str) -> Callable[[StateDict], StateDict]:
    return lambda _: build_network(name).state_dict()


def zipped_text(path: Path, _: StateDict) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"no pickle")


ZOO: list[tuple[str, str, Make]] = [
    ("model.pt", "Meta's form: the state dict under `model`", saved(lambda s: {"model": s})),
    ("state_dict.pt", "under `state_dict`", saved(lambda s: {"state_dict": s})),
    ("bare.pt", "the state dict itself", saved(lambda s: s)),
    ("ordered.pth", "an OrderedDict, as `module.state_dict()` gives", saved(OrderedDict)),
    ("parallel.pt", "`module.` before every name",
     saved(lambda s: {"model": {f"module.{k}": v for k, v in s.items()}})),
    ("compiled.pt", "`_orig_mod.` before every name",
     saved(lambda s: {f"_orig_mod.{k}": v for k, v in s.items()})),
    ("lightning.ckpt", "`model.` before every name, beside a step counter",
     saved(lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}, "global_step": 7})),
    ("ema.pt", "weights and averaged weights: the averaged ones are taken",
     saved(lambda s: {"model": s, "ema": s})),
    ("ema-settings.pt", "weights beside how they were to be averaged",
     saved(lambda s: {"model": s, "ema": {"decay": 0.999}, "ema_state_dict": {}})),
    ("model-settings.pt", "weights beside the network's name under `model`",
     saved(lambda s: {"model": {"name": "sam2.1_t"}, "state_dict": s})),
    ("averaged.pt", "as torch's AveragedModel saves it",
     saved(lambda s: {"n_averaged": torch.tensor(3), **{f"module.{k}": v for k, v in s.items()}})),
    ("fine-tuned.pt", "weights with the name of a config",
     saved(lambda s: {"model": s, "config": "configs/sam2.1/sam2.1_hiera_t.yaml"})),
    ("trainer.pt", "weights beside an optimizer's state and counters",
     saved(lambda s: {"model": s, "optimizer": {"state": {}, "lr": 1e-5}, "epoch": 3})),
    ("half.pt", "float16", saved(lambda s: {"model": {k: v.half() for k, v in s.items()}})),
    ("bfloat16.pt", "bfloat16", saved(lambda s: {k: v.bfloat16() for k, v in s.items()})),
    ("old.pt", "torch's file format before 1.6",
     lambda p, s: torch.save(s, p, _use_new_zipfile_serialization=False)),
    ("weights.safetensors", "safetensors", lambda p, s: save_file(s, p)),
    ("CAPITALS.SAFETENSORS", "safetensors under a name in capitals", lambda p, s: save_file(s, p)),
    ("hugging-face.safetensors", "Hugging Face's names (tiny)",
     lambda p, _: save_file(hugging_face_state(), p)),
    ("tiny-2.1.pt", "SAM 2.1 tiny", saved(tensors_of("sam2.1_hiera_t.yaml"))),
    ("tiny-2.0.pt", "SAM 2.0 tiny", saved(tensors_of("sam2_hiera_t.yaml"))),
    ("small-renamed-large.pt", "a small under another name", saved(tensors_of("sam2.1_hiera_s.yaml"))),
    ("empty.pt", "no bytes", written(b"")),
    ("error-page.pt", "a web page saved as a checkpoint", written(b"<html>Not found</html>")),
    ("noise.pt", "random bytes", written(bytes(range(256)) * 40)),
    ("noise.safetensors", "random bytes", written(bytes(range(256)) * 40)),
    ("truncated.pt", "a download that broke off", truncated),
    ("zip.pt", "a zip file that is no checkpoint", zipped_text),
    ("code.pt", "runs a command when unpickled", saved(lambda _: {"model": Runs()})),
    ("code.pkl", "a plain pickle that runs a command", written(pickle.dumps(Runs()))),
    ("whole-module.pt", "a pickled module instead of its weights", saved(lambda _: torch.nn.Linear(2, 2))),
    ("list.pt", "a list of tensors", saved(lambda _: [torch.zeros(2)])),
    ("arrays.pt", "numpy arrays instead of tensors", saved(lambda _: {"a": np.zeros(2)})),
    ("nothing-inside.pt", "an empty state dict", saved(lambda _: {"model": {}})),
    ("other-network.pt", "weights of another network", saved(lambda _: {"conv.weight": torch.zeros(3)})),
    ("encoder-only.pt", "the image encoder alone",
     saved(lambda s: {k: v for k, v in s.items() if k.startswith("image_encoder")})),
    ("one-missing.pt", "one tensor left out", saved(without("no_mem_embed"))),
    ("image-only.pt", "without the memory's tensors",
     saved(lambda s: {k: v for k, v in s.items() if not k.startswith("memory")})),
    ("one-more.pt", "a tensor that the network does not have",
     saved(lambda s: {**s, "text_encoder.weight": torch.zeros(2)})),
    ("adapter.pt", "low-rank adapters that were not merged",
     saved(lambda s: {**s, "image_encoder.trunk.blocks.0.attn.qkv.lora_A.weight": torch.zeros(2, 2)})),
    ("misshapen.pt", "one tensor of another shape", saved(lambda s: {**s, "no_mem_embed": torch.zeros(1, 1, 7)})),
    ("unknown-width.pt", "an image encoder of unknown width", saved(lambda s: {**s, PATCH: torch.zeros(77, 3, 7, 7)})),
    ("not-a-number.pt", "a training run that diverged",
     saved(lambda s: {**s, "no_mem_embed": torch.full_like(s["no_mem_embed"], torch.nan)})),
]  # fmt: skip


def outcome(folder: Path, name: str, make: Make) -> str:
    make(folder / name, NANO)
    try:
        return f"serves as `{load_checkpoint(folder / name)[1]}`"
    except CheckpointError as error:
        return str(error)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("zoo")
    before = Path.cwd()
    os.chdir(folder)
    try:
        return {name: outcome(folder, name, make) for name, _, make in ZOO}
    finally:
        os.chdir(before)
        assert not (folder / "zoo-was-escaped").exists()


def test_the_document_says_what_happens_to_each(outcomes):
    rows = [f"| `{name}` | {what} | {outcomes[name]} |\n" for name, what, _ in ZOO]
    table = "".join(["| File | What it holds | What happens |\n", "|---|---|---|\n", *rows])
    text = DOCUMENT.read_text()
    head, rest = text.split(BEGIN)
    shown, tail = rest.split(END)
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(head + BEGIN + table + END + tail)
    else:
        assert shown == table, "run again with UPDATE_DOCS=1 and read what changed"


@pytest.mark.parametrize("name", [name for name, _, _ in ZOO[:22]])
def test_good_ones_serve(outcomes, name):
    assert outcomes[name].startswith("serves as")


@pytest.mark.parametrize("name", [name for name, _, _ in ZOO[22:]])
def test_bad_ones_are_refused_in_one_sentence_that_names_the_file_or_the_network(outcomes, name):
    said = outcomes[name]
    assert not said.startswith("serves as")
    assert said.endswith(".")
    assert "/" not in said, "no folder of this machine"
