"""Masks that edits began with: kept on disk, bounded, never half."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sam2_serving.app.edit_masks import EditKey, EditMasks

KEY = EditKey("http://a", "hash-of-token", "local a/../b", "image 7")
FIRST = "+3,4"


def mask(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((30, 40)) > 0.7


def test_what_is_put_is_found_after_a_restart(tmp_path: Path) -> None:
    EditMasks(tmp_path / "edits").put(KEY, FIRST, mask())
    found = EditMasks(tmp_path / "edits").find(KEY, [FIRST])
    np.testing.assert_array_equal(found, mask())


@pytest.mark.parametrize("part", ["server", "user", "figure", "picture"])
def test_every_part_of_the_key_counts(part: str, tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    masks.put(KEY, FIRST, mask())
    assert masks.find(replace(KEY, **{part: "another"}), [FIRST]) is None


def test_found_by_the_click_that_the_edit_began_with(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    masks.put(KEY, FIRST, mask())
    assert masks.find(KEY, ["+3,5", "none"]) is None
    assert masks.find(KEY, ["-1,1", FIRST]) is not None


def test_next_edit_of_a_figure_replaces_the_last(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    masks.put(KEY, "none", mask(0))
    masks.put(KEY, FIRST, mask(1))
    assert masks.find(KEY, ["none"]) is None
    np.testing.assert_array_equal(masks.find(KEY, [FIRST, "none"]), mask(1))


def test_what_is_forgotten_is_not_found(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    masks.forget(KEY)
    masks.put(KEY, FIRST, mask())
    masks.forget(KEY)
    assert masks.find(KEY, [FIRST]) is None


def test_names_of_a_key_never_become_paths(tmp_path: Path) -> None:
    key = replace(KEY, figure="local ../../x", user="\0")
    EditMasks(tmp_path / "edits").put(key, FIRST, mask())
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].parent == Path("edits")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"height": 2}', b"\xff"])
def test_damaged_file_is_no_mask(damage: bytes, tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    masks.put(KEY, FIRST, mask())
    (tmp_path / KEY.file_name).write_bytes(damage)
    assert masks.find(KEY, [FIRST]) is None


def test_half_a_file_is_no_mask(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path)
    masks.put(KEY, FIRST, mask())
    file = tmp_path / KEY.file_name
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        assert masks.find(KEY, [FIRST]) is None


def test_bounded_in_files_and_the_used_ones_stay(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path, max_files=5)
    keys = [replace(KEY, figure=str(number)) for number in range(8)]
    for number, key in enumerate(keys):
        masks.put(key, FIRST, mask())
        os.utime(tmp_path / key.file_name, (number, number))
        assert masks.find(keys[0], [FIRST]) is not None, "used again and again"
    assert len(list(tmp_path.iterdir())) == 5
    assert masks.find(keys[1], [FIRST]) is None


def test_bounded_in_bytes(tmp_path: Path) -> None:
    size = 20_000
    masks = EditMasks(tmp_path, max_bytes=size)
    for number in range(40):
        noise = np.random.default_rng(number).random((90, 90)) > 0.5
        masks.put(replace(KEY, figure=str(number)), FIRST, noise)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= size
    assert masks.find(replace(KEY, figure="39"), [FIRST]) is not None


def test_disk_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    masks = EditMasks(tmp_path / "file" / "edits")
    masks.put(KEY, FIRST, mask())
    assert masks.find(KEY, [FIRST]) is None


def test_many_threads(tmp_path: Path) -> None:
    masks = EditMasks(tmp_path, max_files=10)

    def work(number: int) -> None:
        key = replace(KEY, figure=str(number % 8))
        masks.put(key, FIRST, mask(number % 8))
        np.testing.assert_array_equal(masks.find(key, [FIRST]), mask(number % 8))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert not list(tmp_path.glob("*.part"))
