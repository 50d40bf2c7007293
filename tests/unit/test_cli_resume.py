"""Runs of `segment` that are killed at any moment, stopped, and gone on with."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_scenes import AUTO, NAMES, coco_masks, draw_folder
from filelock import FileLock
from PIL import Image
from pycocotools.coco import COCO

from sam2_serving.cli import main

COMMAND = [sys.executable, "-m", "sam2_serving.cli", "segment"]
SCENES = 9
JOURNAL = Path("out/.sam2-serving/journal")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # of other processes: results of another number of threads are not gone on with
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    return tmp_path


def images_done() -> list[str]:
    """Return the names in the journal's whole lines."""
    if not JOURNAL.is_file():
        return []
    text = JOURNAL.read_text()
    return [json.loads(line)["image"] for line in text[: text.rfind("\n") + 1].splitlines()]


def stop(run: subprocess.Popen[bytes], number: int, after: int, pause: float = 0.0) -> bytes:
    """Send a signal as soon as so many images are done; returns what was said on stderr."""
    deadline = time.monotonic() + 120
    while len(images_done()) < after:
        assert run.poll() is None, run.stderr and run.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(pause)
    run.send_signal(number)
    return run.communicate(timeout=60)[1]


def results(folder: str) -> dict[str, bytes]:
    """Return every file that is a result."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    whole = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return {name: content for name, content in whole.items() if ".sam2-serving" not in name}


@pytest.mark.parametrize("form", ["coco", pytest.param("png", marks=pytest.mark.long)])
def test_a_killed_run_is_gone_on_with_to_the_same_bytes(here, form):
    draw_folder(here / "in", tuple(f"{at % 3}/{at // 3}.png" for at in range(SCENES)))
    words = ["in", *AUTO, "--format", form]
    begun = subprocess.Popen([*COMMAND, *words, "--out", "out"], stderr=subprocess.PIPE)
    stop(begun, signal.SIGKILL, after=2)
    before = images_done()
    assert 2 <= len(before) < SCENES, "it was killed in the middle"
    assert form != "coco" or not results("out"), "nothing looks finished"
    assert main(["segment", *words, "--out", "out", "--resume"]) == 0
    after = images_done()
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) == SCENES, "each image was done once"
    assert main(["segment", *words, "--out", "whole"]) == 0
    assert results("out") == results("whole")
    if form == "coco":
        assert sum(len(masks) for masks in coco_masks(Path("out/annotations.json")).values()) > 10


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_hundred_scenes_killed_again_and_again(here):
    """Every image exactly once, in a file that pycocotools loads, as if nothing had happened."""
    names = tuple(f"{at % 7}/{at // 7}.png" for at in range(200))
    draw_folder(here / "in", names)
    words = ["in", *AUTO]
    kills, random = 0, np.random.default_rng(1)
    while len(images_done()) < 160:
        resume = ["--resume"] if kills else []
        run = subprocess.Popen([*COMMAND, *words, "--out", "out", *resume], stderr=subprocess.PIPE)
        after = len(images_done()) + int(random.integers(15, 45))
        stop(run, signal.SIGKILL, after, pause=float(random.uniform(0, 0.1)))
        assert run.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 3
    assert main(["segment", *words, "--out", "out", "--resume"]) == 0
    done = images_done()
    assert len(done) == len(set(done)) == 200, "each image was done once"
    coco = COCO("out/annotations.json")
    assert sorted(image["file_name"] for image in coco.imgs.values()) == sorted(names)
    assert len(coco.anns) > 400
    assert main(["segment", *words, "--out", "whole"]) == 0
    assert results("out") == results("whole")


def test_ctrl_c_says_how_to_go_on(here):
    draw_folder(here / "in", tuple(f"{at}.png" for at in range(SCENES)))
    run = subprocess.Popen([*COMMAND, "in", *AUTO, "--out", "out"], stderr=subprocess.PIPE)
    said = stop(run, signal.SIGINT, after=2).decode()
    assert run.returncode == 130
    count = len(images_done())
    assert 2 <= count < SCENES
    assert f"Stopped: {count} of {SCENES} images are done." in said
    assert "--resume" in said
    assert "Traceback" not in said
    assert not results("out")


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    """A finished run over five images."""
    folder = tmp_path_factory.mktemp("finished")
    draw_folder(folder / "in")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert segment() == 0
    return folder


@pytest.fixture
def finished(here, finished_once):
    """Come to a copy of it; returns its results."""
    # the same path, which a run remembers, is not there twice: the copy's is written down
    shutil.copytree(finished_once, here, dirs_exist_ok=True)
    record = JOURNAL.with_name("run.json")
    record.write_text(record.read_text().replace(str(finished_once), str(here)))
    return results("out")


def segment(*extra: str) -> int:
    return main(["segment", "in", *AUTO, "--out", "out", *extra])


def test_what_a_kill_can_leave_behind_is_made_good(finished):
    """Half a line, a line without a result, a result without a line, half a file."""
    hidden = JOURNAL.parent
    lines = JOURNAL.read_bytes().splitlines(keepends=True)
    JOURNAL.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    first = hidden / "images" / f"{json.loads(lines[0])['image']}.json"
    first.unlink()
    last = hidden / "images" / f"{json.loads(lines[-1])['image']}.json"
    last.write_bytes(last.read_bytes()[:50])
    (hidden / "partial/file").write_text("half")
    (hidden / "partial/folder").mkdir()
    Path("out/annotations.json").unlink()
    assert segment("--resume") == 0
    assert results("out") == finished
    made = [json.loads(line)["image"] for line in JOURNAL.read_bytes().splitlines()]
    assert made[-2:] == sorted(json.loads(lines[at])["image"] for at in (0, -1))
    assert len(made) == len(NAMES) + 1
    assert not list((hidden / "partial").iterdir())


def test_only_what_is_new_or_changed_is_done(finished, here):
    draw_folder(here / "in", ("new.png",))
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save("in/b.png")
    before = len(images_done())
    assert segment("--resume") == 0
    assert sorted(images_done()[before:]) == ["b.png", "new.png"]
    said = json.loads(Path("out/annotations.json").read_text())
    sizes = {image["file_name"]: image["width"] for image in said["images"]}
    assert sizes.keys() == {*NAMES, "new.png"}
    assert sizes["b.png"] == 60


def test_nothing_is_done_twice(finished):
    before = os.stat(JOURNAL).st_size
    assert segment("--resume") == 0
    assert os.stat(JOURNAL).st_size == before
    assert results("out") == finished


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--stability-score-offset", "0.5"], "--stability-score-offset was 1.0 and is 0.5"),
        (["--hole-area", "9"], "--hole-area was 0 and is 9"),
        (["--format", "png"], "--format was 'coco' and is 'png'"),
    ],
)
def test_going_on_with_other_settings_is_refused(finished, capsys, change, words):
    assert segment("--resume", *change) == 2
    assert words in capsys.readouterr().err
    assert results("out") == finished


def test_going_on_with_another_model_or_other_boxes_is_refused(here, capsys):
    draw_folder(here / "in", ("b.png",))
    said = {
        "images": [{"id": 1, "file_name": "b.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 50, 50]}],
        "categories": [{"id": 1, "name": "x"}],
    }
    boxes = ["segment", "in", "--boxes", "boxes.json", "--out", "out", "--device", "cpu"]
    Path("boxes.json").write_text(json.dumps(said))
    assert main(boxes) == 0
    record = JOURNAL.with_name("run.json")
    other = record.read_text().replace("Nano (demo)", "Tiny").replace("eager_lean-", "eager_lean-0")
    mine = record.read_text()
    record.write_text(other)
    assert main([*boxes, "--resume"]) == 2
    told = capsys.readouterr().err
    assert "--model was 'Tiny' and is 'Nano (demo)'" in told
    assert "numeric path was" in told
    record.write_text(mine)
    said["annotations"][0]["bbox"] = [2, 2, 50, 50]
    Path("boxes.json").write_text(json.dumps(said))
    assert main([*boxes, "--resume"]) == 2
    assert "content of --boxes was" in capsys.readouterr().err


def test_without_resume_results_are_not_touched(finished, capsys):
    assert segment() == 2
    assert "go on with it with --resume, or name another folder" in capsys.readouterr().err
    assert results("out") == finished


def test_two_runs_do_not_write_to_one_folder(finished, capsys):
    with FileLock(JOURNAL.with_name("lock")):
        assert segment("--resume") == 2
    assert "Another run is writing to 'out'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["journal", "run.json"])
def test_a_damaged_record_is_refused_with_a_sentence(finished, capsys, name):
    JOURNAL.with_name(name).write_text('{"image": 3\n')
    assert segment("--resume") == 2
    assert "is damaged" in capsys.readouterr().err


def test_a_disk_that_is_full_from_the_beginning(here, capsys):
    draw_folder(here / "in", ("b.png",))
    with no_file_above(100):
        assert segment() == 2
    assert "The folder 'out' cannot be written to: File too large." in capsys.readouterr().err
    assert segment() == 0


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_the_run_with_a_sentence(here, capsys):
    """The limit on the size of files stands in for a full disk."""
    draw_folder(here / "in")
    command = ["segment", "in", *AUTO, "--format", "supervisely", "--out", "out"]
    with no_file_above(4096):
        assert main(command) == 2
    said = capsys.readouterr().err
    assert "The results cannot be written: File too large" in said
    assert "--resume" in said
    assert main([*command, "--resume"]) == 0
    assert len(images_done()) == len(set(images_done())) == len(NAMES)
