"""Masks that edits began with: kept on disk, bounded, never half."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sam2_serving.app.edit_masks import EditKey, EditMasks

KEY = EditKey("http://a", "hash-of-token", "local a/../b", "image 7", "+3,4")


def mask(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((30, 40)) > 0.7


def test_what_is_put_is_found_after_a_restart(tmp_path: Path) -> None:
    EditMasks(tmp_path / "edits").put(KEY, mask())
    found = EditMasks(tmp_path / "edits").find([KEY])
    np.testing.assert_array_equal(found, mask())


@pytest.mark.parametrize("part", ["server", "user", "figure", "image", "first_prompt"])
def test_every_part_of_the_key_counts(part: str, tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    masks.put(KEY, mask())
    assert masks.find([replace(KEY, **{part: "another"})]) is None


def test_edit_that_began_last_wins(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    other = replace(KEY, first_prompt="-1,1")
    for order in ([KEY, other], [other, KEY]):
        for seed, key in enumerate(order):
            masks.put(key, mask(seed))
        np.testing.assert_array_equal(masks.find([KEY, other]), mask(1))


def test_names_of_a_key_never_become_paths(tmp_path: Path) -> None:
    EditMasks(tmp_path / "edits").put(replace(KEY, figure="local ../../x", user="\0"), mask())
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].parent == Path("edits")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"height": 2}', b"\xff"])
def test_damaged_file_is_no_mask(damage: bytes, tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    masks.put(KEY, mask())
    (tmp_path / KEY.file_name).write_bytes(damage)
    assert masks.find([KEY]) is None


def test_half_a_file_is_no_mask(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    masks.put(KEY, mask())
    file = tmp_path / KEY.file_name
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        assert masks.find([KEY]) is None


def test_bounded_in_files_and_the_used_ones_stay(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path, max_files=5)
    keys = [replace(KEY, figure=str(number)) for number in range(8)]
    for number, key in enumerate(keys):
        masks.put(key, mask())
        os.utime(tmp_path / key.file_name, (number, number))
        assert masks.find([keys[0]]) is not None, "used again and again"
    assert len(list(tmp_path.iterdir())) == 5
    assert masks.find([keys[1]]) is None


def test_bounded_in_bytes(tmp_path: Path) -> None:
    size = 20_000
    masks = EditMasks(tmp_path, max_bytes=size)
    for number in range(40):
        masks.put(
            replace(KEY, figure=str(number)), np.random.default_rng(number).random((90, 90)) > 0.5
        )
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= size
    assert masks.find([replace(KEY, figure="39")]) is not None


def test_disk_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    masks = EditMasks(tmp_path / "file" / "edits")
    masks.put(KEY, mask())
    assert masks.find([KEY]) is None


def test_many_threads(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path, max_files=10)

    def work(number: int) -> None:
        key = replace(KEY, figure=str(number % 8))
        masks.put(key, mask(number % 8))
        np.testing.assert_array_equal(masks.find([key]), mask(number % 8))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert not list(tmp_path.glob("*.part"))
