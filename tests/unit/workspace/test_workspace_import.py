from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image
from workspace_http import OWNER_TOKEN, Running, serving, write_picture

from sam2_serving.scenes import draw_clip
from sam2_serving.workspace import WorkspaceSettings, create_workspace
from sam2_serving.workspace.importing.names import LONGEST, plain_path
from sam2_serving.workspace.samples import draw_volume, write_video, write_volume

IMPORTS = "/workspace/api/imports"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A workspace over a folder with one picture, `cats/a.png`, and a secret beside it."""
    root = tmp_path_factory.mktemp("import")
    write_picture(root / "media" / "cats" / "a.png", seed=1)
    (root / "secret.png").write_bytes(b"secret")
    (root / "media" / "out").symlink_to(root)
    settings = WorkspaceSettings(
        folder=root / "media", data_dir=root / "data", token=OWNER_TOKEN, max_upload_mb=1
    )
    app = create_workspace(settings)
    with serving(app) as url:
        yield Running(url, app)


def picture(seed: int, kind: str = "PNG") -> bytes:
    rng = np.random.default_rng(seed)
    content = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(content, kind)
    return content.getvalue()


def send(running: Running, path: str, content: Any, **more: Any) -> requests.Response:
    params = {
        "path": path,
        **{key: more.pop(key) for key in ("dataset_id", "folder") if key in more},
    }
    return running.page("POST", IMPORTS, params=params, data=content, **more)


def root_of(running: Running) -> Path:
    return Path(running.app.state.workspace.media.root)


def files_of(running: Running) -> set[str]:
    root = root_of(running)
    return {str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()}


def listed(running: Running, dataset: str) -> list[str]:
    datasets = running.page("GET", "/workspace/api/media").json()["datasets"]
    found = [one for one in datasets if one["name"] == dataset]
    return [
        each["name"]
        for one in found
        for kind in ("images", "videos", "volumes")
        for each in one[kind]
    ]


def test_files_and_folders_become_datasets(shelf: Running, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.avi", draw_clip(8, frames=5, size=(64, 48)).frames)
    write_volume(tmp_path / "scan.nrrd", draw_volume((32, 24, 16)))
    for path, content in (
        ("trip/day 1/ü.jpg", picture(2, "JPEG")),
        ("trip/day 1/clip.avi", (tmp_path / "clip.avi").read_bytes()),
        ("trip/day 1/scan.nrrd", (tmp_path / "scan.nrrd").read_bytes()),
    ):
        answer = send(shelf, path, content)
        assert answer.status_code == 201, answer.text
        assert answer.json() == {"path": path, "new": True}
        assert (root_of(shelf) / path).read_bytes() == content
    assert listed(shelf, "trip/day 1") == ["ü.jpg", "clip.avi", "scan.nrrd"]


def test_a_file_comes_into_the_dataset_that_is_named(shelf: Running) -> None:
    datasets = shelf.page("GET", "/workspace/api/media").json()["datasets"]
    cats = next(one["id"] for one in datasets if one["name"] == "cats")
    answer = send(shelf, "b.png", picture(3), dataset_id=cats)
    assert answer.json()["path"] == "cats/b.png"
    assert send(shelf, "b.png", picture(3), folder="new one").json()["path"] == "new one/b.png"
    assert send(shelf, "b.png", picture(3), dataset_id=999).status_code == 404


def test_nothing_is_overwritten(shelf: Running) -> None:
    before = (root_of(shelf) / "cats" / "a.png").read_bytes()
    other = send(shelf, "cats/a.png", picture(4))
    assert other.json() == {"path": "cats/a (2).png", "new": True}
    same = send(shelf, "cats/a.png", picture(4))
    assert same.json() == {"path": "cats/a (2).png", "new": False}
    assert (root_of(shelf) / "cats" / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "../../secret.png",
        "/secret.png",
        "..\\secret.png",
        "a/../../secret.png",
        "C:\\secret.png",
        "./.././secret.png",
        "\x00/../secret.png",
    ],
)
def test_a_name_never_leads_out(shelf: Running, path: str) -> None:
    answer = send(shelf, path, picture(5))
    assert answer.status_code == 201
    assert (root_of(shelf) / answer.json()["path"]).is_file()
    assert ".." not in answer.json()["path"]
    assert (root_of(shelf).parent / "secret.png").read_bytes() == b"secret"


def test_a_link_out_of_the_folder_is_not_followed(shelf: Running) -> None:
    before = set(root_of(shelf).parent.rglob("*"))
    answer = send(shelf, "out/new/secret2.png", picture(6))
    assert answer.status_code == 400
    assert "leads out" in answer.json()["message"]
    assert set(root_of(shelf).parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.png", picture(7)[:-900], "damaged"),
        ("cut.jpg", picture(7, "JPEG")[:-900], "damaged"),
        ("text.png", b"no picture", "text.png: damaged"),
        ("empty.png", b"", "empty.png"),
        ("film.mp4", b"no film", "film.mp4"),
        ("scan.nrrd", b"NRRD0004\n", "scan.nrrd"),
        ("run.exe", b"MZ", "no image, video, volume"),
        ("noname", picture(7), "no image, video, volume"),
        ("big.png", bytes(1 << 21), "at most 1 MiB"),
    ],
)
def test_a_bad_file_is_named_and_leaves_nothing(
    shelf: Running, name: str, content: bytes, said: str
) -> None:
    before = files_of(shelf)
    answer = send(shelf, f"bad ones/{name}", content)
    assert answer.status_code in (400, 413)
    assert said in answer.json()["message"]
    assert files_of(shelf) == before
    assert not list(root_of(shelf).glob("bad ones*"))
    assert send(shelf, f"good ones/{name}.png", picture(8)).status_code == 201  # the others go on


def test_a_body_without_a_length_is_counted_as_it_comes(shelf: Running) -> None:
    before = files_of(shelf)
    chunks = (bytes(1 << 16) for _ in range(40))
    with contextlib.suppress(requests.ConnectionError):  # refused while it was still being sent
        assert send(shelf, "long.png", chunks).status_code == 413
    assert files_of(shelf) == before


def test_a_limited_member_adds_to_their_datasets_only(shelf: Running) -> None:
    datasets = shelf.page("GET", "/workspace/api/media").json()["datasets"]
    cats = next(one["id"] for one in datasets if one["name"] == "cats")
    headers = {"x-api-key": shelf.member("ann", [cats])}
    assert send(shelf, "ann.png", picture(9), dataset_id=cats, headers=headers).status_code == 201
    for path, where in (("ann.png", {}), ("more/ann.png", {"dataset_id": cats})):
        assert send(shelf, path, picture(9), headers=headers, **where).status_code == 403
    other = (
        next(one["id"] for one in datasets if one["id"] != cats) if len(datasets) > 1 else cats + 99
    )
    answer = send(shelf, "ann.png", picture(9), dataset_id=other, headers=headers)
    assert answer.status_code in (403, 404)


def test_names_are_made_plain() -> None:
    assert str(plain_path(" .hidden/..a/b .png")) == "_hidden/_a/b .png"
    assert str(plain_path('a<b>:"|?*.png')) == "a_b______.png"
    long = plain_path("é" * 300 + ".jpeg").name
    assert len(long.encode()) <= LONGEST
    assert long.endswith("é.jpeg")
    with pytest.raises(ValueError, match="name"):
        plain_path("/./")
    with pytest.raises(ValueError, match="folders"):
        plain_path("a/" * 9 + "b.png")
