from __future__ import annotations

import asyncio
import logging
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import requests
import supervisely as sly
from workspace_gallery import FRAMES, Ids
from workspace_http import Running

from sam2_serving.videos import FrameReader, describe_video
from sam2_serving.workspace.media import FileStamp, MediaFolder
from sam2_serving.workspace.samples import write_video


def test_info(gallery_api: sly.Api, ids: Ids) -> None:
    info = gallery_api.video.get_info_by_id(ids.clip)
    assert (info.name, info.frames_count) == ("clip.avi", 45)
    assert (info.frame_width, info.frame_height) == (96, 64)
    assert info.duration == round(45 / 25)
    assert int(info.file_meta["size"]) > 10_000
    assert info.dataset_id == ids.films
    assert gallery_api.video.get_info_by_id(999) is None
    raw = gallery_api.video.get_json_info_by_id(ids.clip)
    assert (raw["teamId"], raw["fileMeta"]["framesCount"]) == (1, 45)


def test_an_image_is_no_video(gallery_api: sly.Api, ids: Ids) -> None:
    image = gallery_api.image.get_list(project_id=1)[0]
    assert gallery_api.video.get_info_by_id(image.id) is None
    assert gallery_api.image.get_info_by_id(ids.clip) is None


def test_lists(gallery_api: sly.Api, ids: Ids) -> None:
    listed = gallery_api.video.get_list(ids.films)
    assert [one.name for one in listed] == ["clip.avi", "lossy.mp4"]
    assert listed[0] == gallery_api.video.get_info_by_id(ids.clip)
    assert len(gallery_api.video.get_list(project_id=1)) == 2
    assert gallery_api.video.get_list(ids.scans) == []
    batch = gallery_api.video.get_info_by_id_batch(
        [ids.lossy, ids.clip], force_metadata_for_links=True
    )
    assert [one.frames_count for one in batch] == [45, 45]


def test_frames_are_what_was_drawn(gallery_api: sly.Api, ids: Ids) -> None:
    for index in (0, 44, 7, 8, 40, 3):
        got = gallery_api.video.frame.download_np(ids.clip, index)
        np.testing.assert_array_equal(got, FRAMES[index])
    indexes = [44, 2, 3, 21]
    frames = gallery_api.video.frame.download_nps(ids.clip, indexes)
    np.testing.assert_array_equal(frames, FRAMES[indexes])


def test_many_at_once_get_their_own_frames(gallery_api: sly.Api, ids: Ids) -> None:
    order = np.random.default_rng(0).permutation(45).tolist()
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda k: gallery_api.video.frame.download_np(ids.clip, k), order))
    np.testing.assert_array_equal(got, FRAMES[order])


@pytest.mark.parametrize("frame", [-1, 45, 10**9])
def test_a_frame_that_is_not_there(gallery: Running, ids: Ids, frame: int) -> None:
    answer = gallery.post("videos.download-frame", {"videoId": ids.clip, "frame": frame})
    assert answer.status_code == 404
    assert "frames 0 to 44" in answer.json()["error"]
    bulk = {"videoId": ids.clip, "frames": [0, frame]}
    assert gallery.post("videos.bulk.download-frame", bulk).status_code == 404


def test_whole_file(gallery: Running, gallery_api: sly.Api, ids: Ids, tmp_path: Path) -> None:
    source = gallery.app.state.workspace.media.root / "films" / "clip.avi"
    seen: list[int] = []
    gallery_api.video.download_path(ids.clip, str(tmp_path / "a.avi"), seen.append)
    assert (tmp_path / "a.avi").read_bytes() == source.read_bytes()
    assert sum(seen) == source.stat().st_size
    download = gallery_api.video.download_path_async(ids.clip, str(tmp_path / "b.avi"))
    # In a thread of its own: a browser test before this one may have left a loop running here.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, download).result()
    assert (tmp_path / "b.avi").read_bytes() == source.read_bytes()


def test_a_broken_download_can_go_on(gallery: Running, ids: Ids) -> None:
    url = f"{gallery.url}/public/api/v3/videos.download"
    headers = {"x-api-key": gallery.api().token, "Range": "bytes=100-199"}
    part = requests.post(url, json={"id": ids.clip}, headers=headers, timeout=10)
    whole = gallery.post("videos.download", {"id": ids.clip}).content
    assert part.status_code == 206
    assert part.content == whole[100:200]


CODECS = [("clip.avi", "FFV1"), ("a.mp4", "mp4v"), ("b.avi", "MJPG"), ("c.webm", "VP80")]


@pytest.mark.parametrize(("name", "codec"), CODECS)
def test_every_order_of_reading_gives_the_same_frames(
    tmp_path: Path, name: str, codec: str
) -> None:
    file = tmp_path / name
    write_video(file, FRAMES, codec)
    capture = cv2.VideoCapture(str(file))
    straight = [capture.read()[1][..., ::-1] for _ in FRAMES]
    facts = describe_video(file)
    assert (facts.width, facts.height, facts.frames, facts.steady) == (96, 64, 45, True)
    reader = FrameReader()
    for index in [44, *np.random.default_rng(1).permutation(45).tolist(), 0, 1, 1]:
        np.testing.assert_array_equal(reader.read(file, facts, index), straight[index])
    reader.close()


def test_unsteady_frames_are_read_from_the_start(tmp_path: Path) -> None:
    """Where time does not tell the index, nothing is sought by time."""
    file = tmp_path / "clip.avi"
    write_video(file, FRAMES)
    facts = replace(describe_video(file), steady=False, fps=24.0)
    reader = FrameReader()
    for index in (40, 2, 44, 43):
        np.testing.assert_array_equal(reader.read(file, facts, index), FRAMES[index])


def _make_unsteady(file: Path, after: int) -> None:
    """Let the frames of an MP4 come four times faster after some of them: `stts` gets two runs."""
    content = bytearray(file.read_bytes())
    at = content.rindex(b"stts") - 4
    size, name, _, runs, count, step = struct.unpack_from(">I4s4I", content, at)
    assert (size, name, runs) == (24, b"stts", 1)
    two = (32, b"stts", 0, 2, after, step, count - after, step // 4)
    content[at : at + size] = struct.pack(">I4s6I", *two)
    # The boxes around it grow too; they stand at the file's end, so no offset changes.
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        place = content.rindex(parent) - 4
        (old,) = struct.unpack_from(">I", content, place)
        struct.pack_into(">I", content, place, old + 8)
    file.write_bytes(content)


def test_frames_that_do_not_come_steadily(tmp_path: Path) -> None:
    """There, a seek by number lands on another frame: it is not believed."""
    file = tmp_path / "phone.mp4"
    write_video(file, FRAMES, codec="mp4v")
    _make_unsteady(file, after=30)
    capture = cv2.VideoCapture(str(file))
    straight = [capture.read()[1][..., ::-1] for _ in FRAMES]
    facts = describe_video(file)
    assert (facts.frames, facts.steady) == (45, False)
    for steady in (False, True):  # even if the first look had been wrong
        for index in (34, 36, 44, 2):
            got = FrameReader().read(file, replace(facts, steady=steady), index)
            np.testing.assert_array_equal(got, straight[index])


def test_the_count_is_counted(tmp_path: Path) -> None:
    """A file that was cut off promises more frames than it has."""
    file = tmp_path / "cut.avi"
    write_video(file, FRAMES)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    count = describe_video(file).frames
    assert 5 < count < 40
    FrameReader().read(file, describe_video(file), count - 1)


def test_no_videos_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty.webm").write_bytes(b"")
    media = MediaFolder(tmp_path, tmp_path / "cache")
    with caplog.at_level(logging.WARNING):
        assert [media.describe(path, FileStamp(1, 1)) for path, _ in media.walk()] == [None, None]
    assert "text.mp4 left out: not a readable video" in caplog.text


def test_few_videos_stay_open(tmp_path: Path) -> None:
    reader = FrameReader()
    files = [tmp_path / f"{number}.avi" for number in range(8)]
    for file in files:
        write_video(file, FRAMES[:3])
    facts = describe_video(files[0])
    threads = [
        threading.Thread(target=lambda f=file: reader.read(f, facts, 1))  # type: ignore[misc]
        for file in files * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reader._open) <= 4
    np.testing.assert_array_equal(reader.read(files[0], facts, 2), FRAMES[2])
