"""Compiled image encoders: what is used, what is refused; nothing is compiled by itself."""

from __future__ import annotations

import hashlib
import json
import logging
from functools import cache

import pytest
import torch

from sam2_serving.model import Box, CompileError, Prompts, SegmentationModel, load_model, segment
from sam2_serving.model.agreement import example_picture
from sam2_serving.model.compiled import _file, _made_for, _note, compile_encoder, load_encoder
from sam2_serving.model.compiled_encoder import CompiledEncoder
from sam2_serving.model.loading import compiled_verdict, with_compiled
from sam2_serving.model.parts import finish
from sam2_serving.pretrained import REPOSITORY

NANO = REPOSITORY / "checkpoints/nano/nano.pt"
SIDE = 128


@cache
def eager() -> SegmentationModel:
    return load_model(NANO, "cpu", "float32", input_size=SIDE)


def served(folder):
    return load_model(
        NANO,
        "cpu",
        "float32",
        verdict_dir=folder / "verdicts",
        input_size=SIDE,
        compiled_dir=folder,
    )


def same_code(pixels: torch.Tensor):
    return finish(eager().feature_maps(pixels))


def other_code(pixels: torch.Tensor):
    return [level.flip(-1) for level in same_code(pixels)]


def put(folder, content: bytes, **other):
    """Leave a file as if it had been compiled for nano."""
    file = _file(eager(), folder)
    file.write_bytes(content)
    note = {"sha256": hashlib.sha256(content).hexdigest()} | _made_for(eager()) | other
    _note(file).write_text(json.dumps(note))
    return file


def test_without_anything_compiled_it_is_eager_and_the_log_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO, "sam2_serving")
    model = served(tmp_path)
    assert "-eager_lean-" in model.numeric_path
    assert "eager: none was compiled" in caplog.text
    assert not list(tmp_path.glob("*.pt2"))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"sha256": "0" * 64}, "not the one that was compiled"),
        ({"torch": "1.0"}, "something else"),
        ({"processor": "another"}, "something else"),
        ({"weights": "others"}, "something else"),
        ({}, "refused"),  # no machine code at all
    ],
    ids=["damaged", "torch", "processor", "weights", "no code"],
)
def test_what_is_not_as_it_was_compiled_here_is_refused(tmp_path, caplog, other, words):
    put(tmp_path, b"PK no package", **other)
    model = served(tmp_path)
    assert model.compiled is None
    assert words in caplog.text
    assert "eager" in caplog.text
    assert segment(model, model.embed(example_picture()), Prompts(box=Box(50, 40, 150, 140)))


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"sha256": 3}', "\udc80"])
def test_a_note_that_is_none_is_refused(tmp_path, caplog, note):
    file = put(tmp_path, b"PK")
    _note(file).write_text(note, errors="surrogateescape")
    assert load_encoder(eager(), tmp_path) is None
    assert "refused" in caplog.text


def test_code_serves_only_if_its_masks_are_the_eager_ones(tmp_path):
    same, other = (
        with_compiled(eager(), CompiledEncoder(digit * 64, code))
        for digit, code in (("a", same_code), ("b", other_code))
    )
    assert "-compiled_aaaaaaaa_lean-" in same.numeric_path
    assert compiled_verdict(same, eager(), tmp_path)
    assert not compiled_verdict(other, eager(), tmp_path)
    assert not compiled_verdict(other, eager(), tmp_path), "also as it is remembered"


def test_code_that_fails_or_differs_leaves_the_eager_encoder(tmp_path, caplog, monkeypatch):
    def fails(_):
        raise RuntimeError("illegal instruction, say")

    for code, words in ((fails, "failed"), (other_code, "other masks"), (same_code, "")):
        encoder = CompiledEncoder(f"{words:c<64}", code)
        monkeypatch.setattr("sam2_serving.model.loading.load_encoder", lambda *_, e=encoder: e)
        assert served(tmp_path).compiled is (None if words else encoder)
        assert words in caplog.text


def test_without_a_compiler_it_says_what_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompileError, match=r"no C\+\+ compiler 'no-such-compiler'"):
        compile_encoder(eager(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_compiled_code_gives_the_eager_masks_again_and_again(tmp_path, caplog):
    file = compile_encoder(eager(), tmp_path)
    model = served(tmp_path)
    assert "-compiled_" in model.numeric_path
    assert model.numeric_path == served(tmp_path).numeric_path
    picture, prompts = example_picture(), Prompts(box=Box(50, 40, 150, 140))
    ours, theirs = model.embed(picture), eager().embed(picture)
    for mine, plain in zip(ours.high_res, theirs.high_res, strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-4, rtol=0)
        assert mine.stride() == plain.stride()
    logits = segment(model, ours, prompts).logits
    torch.testing.assert_close(logits, segment(eager(), theirs, prompts).logits, atol=1e-3, rtol=0)
    assert torch.equal(model.embed(picture).features, ours.features)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert served(tmp_path).compiled is None
    assert "refused" in caplog.text
