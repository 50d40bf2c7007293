"""The command `track`: what it writes, says, refuses, and what it leaves when it is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sam2_serving.cli import main
from sam2_serving.commands.track_video import VideoFile, track_file
from sam2_serving.engine import Engine, Keyframe, ObjectToTrack, TrackingRequest
from sam2_serving.masks import Box, tight_box
from sam2_serving.model import Point, Prompts, load_model
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_clip
from sam2_serving.videos import describe_video

FRAMES, SIZE = 14, (160, 120)
CLIP = draw_clip(6, frames=FRAMES, size=SIZE)
TRUTH = np.asarray(CLIP.masks)[:, 2]
FAST = ["--device", "cpu", "--model", "nano"]


def write_video(file: Path, frames: np.ndarray, codec: str = "FFV1") -> None:
    size = (frames.shape[2], frames.shape[1])
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*codec), 10, size)
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a clip, masks of its object, and files that are none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_video(tmp_path / "clip.avi", np.asarray(CLIP.frames))
    for frame in (0, FRAMES - 1):
        Image.fromarray(TRUTH[frame].astype(np.uint8) * 255).save(f"mask{frame}.png")
    Image.new("L", SIZE).save("black.png")
    Image.new("L", SIZE, 255).save("white.png")
    Image.new("L", (9, 9), 255).save("small.png")
    Path("note.txt").write_text("no video")
    Path("full").mkdir()
    Path("full/note.txt").write_text("keep me")
    Path("folder.mp4").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def engine():
    model = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    with Engine(model, store_bytes=2**26) as engine:
        yield engine


def masks_in(folder: Path) -> dict[int, np.ndarray]:
    return {int(file.stem): np.asarray(Image.open(file)) == 255 for file in folder.iterdir()}


def iou(one: np.ndarray, other: np.ndarray) -> float:
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def box_of(mask: np.ndarray) -> list[str]:
    return [str(side) for side in tight_box(mask)]


@pytest.mark.parametrize(
    ("start", "extra"),
    [(0, []), pytest.param(FRAMES - 1, ["--backward"], marks=pytest.mark.long)],
)
def test_the_masks_are_those_that_the_engine_finds(here, engine, capsys, start, extra):
    mask = ["--mask", f"mask{start}.png", "--out", "masks", *extra, *FAST]
    assert main(["track", "clip.avi", "--frame", str(start), *mask]) == 0
    found = masks_in(here / "masks")
    assert sorted(found) == list(range(FRAMES))
    assert np.array_equal(found[start], TRUTH[start])
    prompts = Prompts(mask=TRUTH[start])
    one = ObjectToTrack("it", Keyframe("", lambda: prompts))
    request = TrackingRequest("clip", start, FRAMES - 1 - start, [one], FRAMES)
    for frame in engine.track(request, VideoFile.open(here / "clip.avi")):
        assert np.array_equal(found[frame.index], frame.objects["it"].mask)
    assert np.mean([iou(found[i], TRUTH[i]) for i in found]) > 0.8
    assert f"Tracked {FRAMES - 1} frames" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["box", "point"])
def test_a_box_or_a_point_is_shown_on_its_own_frame_too(here, how):
    ys, xs = np.nonzero(TRUTH[2])
    middle = len(xs) // 2
    prompt = {
        "box": ["--box", *box_of(TRUTH[2])],
        "point": ["--point", str(xs[middle]), str(ys[middle])],
    }[how]
    Path("masks").mkdir()  # empty: it may be there
    begin = ["track", "clip.avi", "--frame", "2", "--frames", "5", "--out", "masks"]
    assert main([*begin, *prompt, *FAST]) == 0
    found = masks_in(here / "masks")
    assert sorted(found) == [2, 3, 4, 5, 6, 7]
    assert np.mean([iou(found[i], TRUTH[i]) for i in found]) > 0.7


def test_the_overlay_video_shows_every_frame_in_the_order_of_time(here):
    Path("out.mp4").write_text("of an earlier run")
    last = FRAMES - 1
    begin = ["track", "clip.avi", "--frame", str(last), "--backward", "--out", "out.mp4"]
    assert main([*begin, "--mask", f"mask{last}.png", *FAST]) == 0
    assert describe_video(here / "out.mp4").frames == FRAMES
    shown = VideoFile.open(here / "out.mp4")
    for index in (0, 7, last):
        drawn = shown.frame(index).astype(int)
        away = np.abs(drawn - CLIP.frames[index].astype(int)).mean(-1)
        assert np.median(away[~TRUTH[index]]) < 20, "beside the object it is the frame"
        assert np.median(away[TRUTH[index]]) > 25, "the object is tinted"
    assert not list(here.glob(".out*"))


def test_where_the_object_is_lost_is_said_and_its_masks_are_empty(here, engine):
    """The object is cut out of a few frames: it is gone there."""
    frames = np.asarray(CLIP.frames).copy()
    frames[4:9] = np.median(frames[0], axis=(0, 1)).astype(np.uint8)
    write_video(here / "gone.avi", frames)
    video, prompts = VideoFile.open(here / "gone.avi"), Prompts(mask=TRUTH[0])
    out = here / "masks"
    followed = track_file(engine, video, 0, range(1, 9), prompts, out)
    empty = [index for index, mask in masks_in(out).items() if not mask.any()]
    assert set(empty) >= {5, 6, 7, 8}, "the test is about frames without the object"
    assert followed.sentences()[0] == f"The object was lost on frames {min(empty)} to 8."
    assert main(["track", "clip.avi", "--mask", "mask0.png", "--frames", "2", "--out", "o"]) == 0


BOX = ["--box", "10", "10", "90", "90"]
REFUSED = {
    "beyond the video": (["clip.avi", "--frame", "14", *BOX], "frames are 0 to 13"),
    "below zero": (["clip.avi", "--frame", "-1", *BOX], "no frame -1"),
    "nothing follows": (["clip.avi", "--frame", "13", *BOX], "the video's last one"),
    "nothing before": (["clip.avi", "--backward", *BOX], "the video's first one"),
    "no frames": (["clip.avi", "--frames", "0", *BOX], "at least one frame"),
    "box outside": (["clip.avi", "--box", "500", "1", "600", "9"], "outside the image"),
    "box empty": (["clip.avi", "--box", "9", "9", "3", "3"], "box is empty"),
    "box of no numbers": (["clip.avi", "--box", "nan", "nan", "nan", "nan"], "box is empty"),
    "point outside": (["clip.avi", "--point", "160", "3"], "outside the image"),
    "no prompt": (["clip.avi"], "in one way"),
    "only a negative click": (["clip.avi", "--negative", "3", "3"], "in one way"),
    "box and point": (["clip.avi", *BOX, "--point", "20", "20"], "in one way"),
    "box and mask": (["clip.avi", *BOX, "--mask", "mask0.png"], "in one way"),
    "mask of another size": (["clip.avi", "--mask", "small.png"], "9 x 9 pixels, the video"),
    "black mask": (["clip.avi", "--mask", "black.png"], "is empty"),
    "white mask": (["clip.avi", "--mask", "white.png"], "the whole frame"),
    "no mask": (["clip.avi", "--mask", "note.txt"], "cannot be read"),
    "no video": (["note.txt", *BOX], "cannot be read"),
    "no file": (["missing.avi", *BOX], "no file 'missing.avi'"),
    "a folder for a video": (["full", *BOX], "no file 'full'"),
    "no such model": (["clip.avi", *BOX, "--model", "huge"], "there are: tiny"),
    "no such device": (["clip.avi", *BOX, "--device", "cuda:77"], "no device"),
}
OUTPUTS = {
    "note.txt": "name a folder",
    "full": "not empty",
    "folder.mp4": "is a folder",
    "out.avi": "is neither",
    "clip.avi": "the video itself",
    "nowhere/out.mp4": "no folder 'nowhere'",
}


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("what", REFUSED)
def test_nonsense_is_refused_with_a_sentence(here, capsys, what):
    arguments, words = REFUSED[what]
    refuse(here, capsys, [*arguments, "--out", "out.mp4"], words)


@pytest.mark.parametrize("out", OUTPUTS)
def test_what_is_there_is_not_written_over(here, capsys, out):
    refuse(here, capsys, ["clip.avi", *BOX, "--out", out], OUTPUTS[out])


def refuse(here: Path, capsys, arguments: list[str], words: str) -> None:
    before = files_in(here)
    assert main(["track", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert files_in(here) == before


def test_a_video_that_breaks_off_leaves_nothing(here, engine, monkeypatch):
    """The file is cut after it was described."""
    video = VideoFile.open(here / "clip.avi")
    whole = video.file.read_bytes()
    video.file.write_bytes(whole[: len(whole) // 2])
    arguments = ["clip.avi", *BOX, "--out", "out.mp4", *FAST]
    monkeypatch.setattr(VideoFile, "open", lambda _: video)
    before = set(here.iterdir())
    assert main(["track", *arguments]) == 2
    assert set(here.iterdir()) == before


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "Stopped.\n"),
        pytest.param(signal.SIGTERM, 143, "", marks=pytest.mark.long),
    ],
)
def test_a_signal_leaves_nothing_half_done(here, number, code, words):
    write_video(here / "long.avi", np.concatenate([np.asarray(CLIP.frames)] * 40))
    before = set(here.iterdir())
    command = [sys.executable, "-m", "sam2_serving.cli", "track", "long.avi", "--out", "masks"]
    run = subprocess.Popen([*command, "--mask", "mask0.png", *FAST], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(here.glob(".masks-*/masks/000003.png")):
        assert run.poll() is None, run.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run.send_signal(number)
    _, said = run.communicate(timeout=30)
    assert run.returncode == code
    assert said.decode().endswith(words)
    assert "Traceback" not in said.decode()
    assert set(here.iterdir()) == before


def test_an_empty_folder_is_filled_where_it_is(here):
    """Also one that cannot be replaced: a link, or a disk of its own."""
    (here / "elsewhere").mkdir()
    (here / "masks").symlink_to("elsewhere")
    before = set(here.iterdir())
    arguments = ["clip.avi", "--mask", "mask0.png", "--frames", "2", "--out", "masks", *FAST]
    assert main(["track", *arguments]) == 0
    assert sorted(masks_in(here / "elsewhere")) == [0, 1, 2]
    assert set(here.iterdir()) == before


def test_clicks_and_boxes_reach_the_tracker_as_they_are(here, engine):
    """Two prompts that mean different things give different masks."""
    video = VideoFile.open(here / "clip.avi")
    box = tight_box(TRUTH[0])
    assert box is not None
    half = Box(box.x0, box.y0, (box.x0 + box.x1) // 2, box.y1)
    first = {}
    for name, prompts in {
        "box": Prompts(box=box),
        "half": Prompts(box=half),
        "point": Prompts(points=(Point(3, 3),)),
    }.items():
        track_file(engine, video, 0, range(1, 3), prompts, here / name)
        first[name] = masks_in(here / name)[0]
    assert iou(first["box"], TRUTH[0]) > 0.8
    assert iou(first["half"], first["box"]) < 0.9
    assert iou(first["point"], first["box"]) < 0.2
