"""Embeddings on disk: the same bytes come back, or none; nothing that happens to a disk hurts."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sam2_serving.engine import embedding_files, embedding_folder
from sam2_serving.engine.embedding_files import DiskTier, EmbeddingFiles
from sam2_serving.engine.embedding_folder import EmbeddingFolder
from sam2_serving.engine.embedding_format import Origin, TensorForm, file_name
from sam2_serving.engine.embeddings import EmbeddingKey, EmbeddingStore, ImageKey, Tier
from sam2_serving.model import ImageEmbedding

CPU = torch.device("cpu")
FORMS = (
    TensorForm((1, 8, 4, 4), (128, 1, 32, 8), torch.bfloat16),  # channels innermost
    TensorForm((1, 2, 16, 16), (512, 256, 16, 1), torch.float32),
    TensorForm((1, 4, 8, 8), (256, 64, 8, 1), torch.float32),
)
ORIGIN = Origin("cpu_avx2_1threads-float32-eager-abc, torch 2", FORMS)


def key(name: str, by_content: bool = True) -> EmbeddingKey:
    image = ImageKey("image", "server", name, "hash", by_content=by_content)
    return EmbeddingKey("weights", 64, "float32", image)


def embedding(seed: int = 0) -> ImageEmbedding:
    random = torch.Generator().manual_seed(seed)
    features, fine, middle = (
        torch.empty_strided(form.shape, form.strides, dtype=form.dtype).copy_(
            torch.randn(form.shape, generator=random)
        )
        for form in FORMS
    )
    return ImageEmbedding(features, (fine, middle), (30, 40))


def files_in(folder: Path, budget: int = 2**20, origin: Origin = ORIGIN) -> EmbeddingFiles:
    return EmbeddingFiles(DiskTier(folder, budget), origin)


def keep(files: EmbeddingFiles, *names: str) -> None:
    for name in names:
        files.offer(key(name), embedding())
        assert files.settle(10)


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def assert_same(one: ImageEmbedding | None, other: ImageEmbedding) -> None:
    assert one is not None
    assert one.image_size == other.image_size
    for mine, its in zip(
        (one.features, *one.high_res), (other.features, *other.high_res), strict=True
    ):
        assert (mine.dtype, mine.stride()) == (its.dtype, its.stride())
        assert torch.equal(mine, its)
        assert mine.data_ptr() % 64 == 0


def test_another_process_reads_the_same_numbers_laid_out_in_the_same_way(tmp_path):
    keep(files_in(tmp_path), "a")
    later = files_in(tmp_path)
    assert_same(later.read(key("a")), embedding())
    assert (later.counters.read, later.counters.nbytes) == (1, only_file(tmp_path).stat().st_size)
    assert later.read(key("b")) is None


def test_only_what_is_named_by_its_content_is_kept(tmp_path):
    files = files_in(tmp_path)
    files.offer(key("a", by_content=False), embedding())
    assert files.settle(10)
    assert not list(tmp_path.iterdir())
    keep(files, "a")
    assert files.read(key("a", by_content=False)) is None


@pytest.mark.parametrize(
    "origin",
    [
        replace(ORIGIN, made_with="cpu_avx512_1threads-float32-eager-abc, torch 2"),
        replace(ORIGIN, made_with="cpu_avx2_1threads-float32-eager-abc, torch 3"),
    ],
)
def test_another_numeric_path_or_software_makes_its_own(tmp_path, origin):
    keep(files_in(tmp_path), "a")
    assert files_in(tmp_path, origin=origin).read(key("a")) is None
    assert_same(files_in(tmp_path).read(key("a")), embedding())


def test_an_embedding_that_looks_unlike_the_others_is_not_kept(tmp_path):
    files, odd = files_in(tmp_path), embedding()
    odd = replace(odd, features=odd.features.contiguous())
    files.offer(key("a"), odd)
    assert files.settle(10)
    assert files.read(key("a")) is None


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def name_another_size(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"height":"30"', b'"height":"31"'))


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"x" * 10**6)


def nest_deeply(file: Path) -> None:
    header = b"[" * 60_000
    file.write_bytes(len(header).to_bytes(8, "little") + header)


def replace_by_another(file: Path) -> None:
    other = files_in(file.parent)
    keep(other, "b")
    os.replace(file.parent / file_name(key("b"), ORIGIN), file)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip_a_bit,
        name_another_size,
        lengthen,
        replace_by_another,
        nest_deeply,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"\xff" * 100),
        lambda file: file.write_bytes(b"\x02" + b"\0" * 7 + b"[]"),
    ],
)
def test_a_damaged_file_is_removed_and_made_anew(tmp_path, damage):
    keep(files_in(tmp_path), "a")
    damage(only_file(tmp_path))
    files = files_in(tmp_path)
    assert files.read(key("a")) is None
    assert files.counters.damaged == 1
    assert not list(tmp_path.iterdir())
    keep(files, "a")
    assert_same(files.read(key("a")), embedding())


def test_the_folder_stays_within_its_budget_and_the_longest_unused_goes(tmp_path):
    keep(files_in(tmp_path), "a")
    one = only_file(tmp_path).stat().st_size
    files = files_in(tmp_path, 3 * one)
    keep(files, "b", "c")
    assert files.read(key("a")) is not None
    keep(files, "d")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) == files.counters.nbytes
    assert files.counters.nbytes == 3 * one
    assert files.counters.removed == 1
    assert files.read(key("b")) is None
    assert files.read(key("a")) is not None
    tiny = files_in(tmp_path / "tiny", one - 1)
    keep(tiny, "a")
    assert (tiny.counters.written, tiny.counters.nbytes) == (0, 0)


def test_what_the_store_answers_counts_as_a_use(tmp_path):
    keep(files_in(tmp_path / "size"), "a")
    one = only_file(tmp_path / "size").stat().st_size
    files = files_in(tmp_path / "kept", 2 * one)
    store = EmbeddingStore(Tier(CPU, 2**20), files=files)
    for name in ("a", "b", "a", "c"):
        store.get_or_make(key(name), embedding)
        assert files.settle(10)
    assert files_in(tmp_path / "kept").read(key("b")) is None
    assert files_in(tmp_path / "kept").read(key("a")) is not None


@pytest.mark.parametrize("scan_every", [1, 64])
def test_what_another_process_used_stays_and_what_it_removed_is_missed_by_nobody(
    tmp_path, monkeypatch, scan_every
):
    keep(files_in(tmp_path / "size"), "a")
    one = only_file(tmp_path / "size").stat().st_size
    monkeypatch.setattr(embedding_folder, "SCAN_EVERY", scan_every)
    mine, its = (files_in(tmp_path / "both", 2 * one) for _ in range(2))
    keep(mine, "a")
    keep(its, "b")
    assert mine.read(key("b")) is not None
    assert its.read(key("a")) is not None
    keep(mine, "c")  # the other used a last, so b goes
    assert its.read(key("b")) is None
    assert_same(its.read(key("a")), embedding())
    assert_same(its.read(key("c")), embedding())
    assert mine.counters.damaged == its.counters.damaged == 0


def test_what_another_process_wrote_counts_for_the_budget(tmp_path, monkeypatch):
    keep(files_in(tmp_path / "size"), "a")
    one = only_file(tmp_path / "size").stat().st_size
    monkeypatch.setattr(embedding_folder, "SCAN_EVERY", 1)
    mine, its = (files_in(tmp_path / "both", 2 * one) for _ in range(2))
    for files, names in ((mine, "ac"), (its, "bd"), (mine, "ce"), (its, "f")):
        keep(files, *names)
        assert sum(file.stat().st_size for file in (tmp_path / "both").iterdir()) <= 2 * one


def test_nothing_else_in_the_folder_is_touched(tmp_path):
    (tmp_path / "thesis.doc").write_bytes(b"x" * 5000)
    (tmp_path / "photos").mkdir()
    keep(files_in(tmp_path, 5000), "a", "b", "c")
    assert (tmp_path / "thesis.doc").stat().st_size == 5000
    assert (tmp_path / "photos").is_dir()


def test_a_disk_that_refuses_is_told_once_and_costs_nothing_else(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    files = files_in(tmp_path / "file")
    store = EmbeddingStore(Tier(CPU, 2**20), files=files)
    for name in ("a", "b", "c"):
        assert_same(store.get_or_make(key(name), embedding), embedding())
        assert files.settle(10)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "goes on without" in warnings[0].getMessage()


def test_a_full_disk_leaves_no_half_file_and_is_tried_again_later(tmp_path, caplog, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    files = files_in(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        keep(files, "a", "b")
    assert not list(tmp_path.iterdir())
    assert (files.counters.skipped, files.counters.written) == (1, 0)
    assert len(caplog.records) == 1
    keep(files, "c")
    assert files.counters.written == 0, "a full disk is left alone for some minutes"
    now = time.monotonic()
    monkeypatch.setattr(embedding_files.time, "monotonic", lambda: now + 601)
    keep(files, "c")
    assert files.counters.written == 1


def test_an_embedding_that_cannot_be_copied_is_left_out_and_the_next_is_kept(tmp_path, caplog):
    failures = [RuntimeError("CUDA error: out of memory")]

    def copy_from_gpu(one: ImageEmbedding) -> ImageEmbedding:
        if failures:
            raise failures.pop()
        return one

    files = EmbeddingFiles(DiskTier(tmp_path, 2**20), ORIGIN, copy_from_gpu)
    keep(files, "a", "b")
    assert (files.counters.skipped, files.counters.written) == (1, 1)
    assert len(caplog.records) == 1


def test_what_waits_is_bounded_and_is_offered_again_at_its_next_use(tmp_path, monkeypatch):
    nbytes = embedding().nbytes
    monkeypatch.setattr(embedding_files, "WAITING_BYTES", 2 * nbytes)
    gate = threading.Event()

    def when_it_may(one: ImageEmbedding) -> ImageEmbedding:
        gate.wait(10)
        return one

    files = EmbeddingFiles(DiskTier(tmp_path, 2**20), ORIGIN, when_it_may)
    store = EmbeddingStore(Tier(CPU, 2**20), files=files)
    for name in "abcdef":
        store.get_or_make(key(name), embedding)
    skipped = files.counters.skipped
    assert skipped >= 3, "one is being written and two wait"
    gate.set()
    assert files.settle(10)
    assert files.counters.written == 6 - skipped
    for name in "abcdef":
        store.get_or_make(key(name), pytest.fail)
        assert files.settle(10)
    assert files.counters.written == 6


def test_what_was_kept_is_not_made_again_nor_counted_as_missed(tmp_path):
    first = EmbeddingStore(Tier(CPU, 2**20), files=files_in(tmp_path))
    first.get_or_make(key("a"), embedding)
    assert first._files.settle(10)
    files = files_in(tmp_path)
    store = EmbeddingStore(Tier(CPU, 2**20), files=files)
    for _ in range(2):
        assert_same(store.get_or_make(key("a"), pytest.fail), embedding())
    assert (store.counters.hits, store.counters.misses, files.counters.read) == (1, 0, 1)


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])  # the module alone, without torch
from embedding_folder import EmbeddingFolder
folder = EmbeddingFolder(Path(sys.argv[1]), 10**8)
for number in range(10**6):
    folder.write(f"{number:064x}.safetensors", bytes([number % 256]) * 3_000_000)
    print(flush=True)
"""


def test_a_kill_leaves_no_half_file(tmp_path, monkeypatch):
    module = Path(embedding_folder.__file__)
    for round in range(5):
        killed = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path / str(round), module.parent],
            stdout=subprocess.PIPE,
        )
        assert killed.stdout is not None
        for _ in range(3 + round):
            killed.stdout.readline()
        time.sleep(0.001 * round)
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
        killed.stdout.close()
        whole = list((tmp_path / str(round)).glob("*.safetensors"))
        assert len(whole) >= 3
        assert {file.stat().st_size for file in whole} == {3_000_000}
    part = tmp_path / "0" / ("0" * 32 + ".part")
    part.write_bytes(b"x")
    monkeypatch.setattr(embedding_folder, "ABANDONED_S", -1.0)
    EmbeddingFolder(tmp_path / "0", 10**9).write("f" * 64 + ".safetensors", b"new")
    assert not part.exists()
