from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import requests
import supervisely as sly
from workspace_http import OWNER_TOKEN, Running


@pytest.fixture
def uploaded(api: sly.Api, tmp_path: Path) -> dict[str, bytes]:
    """Three files in Team Files, by path."""
    contents = {
        "/experiments/one/info.json": b'{"a": 1}',
        "/experiments/one/checkpoints/best.pt": b"weights" * 1000,
        "/notes.txt": b"hello",
    }
    sources = []
    for index, content in enumerate(contents.values()):
        file = tmp_path / f"source-{index}"
        file.write_bytes(content)
        sources.append(str(file))
    api.file.upload_bulk(1, sources, list(contents))
    return contents


def test_list_info_exists(api: sly.Api, uploaded: dict[str, bytes]) -> None:
    listed = api.file.list(1, "/experiments", return_type="fileinfo")
    assert [one.path for one in listed] == sorted(path for path in uploaded if "exp" in path)
    assert listed[0].sizeb == 7000
    info = api.file.get_info_by_path(1, "/experiments/one/info.json")
    assert (info.name, info.ext, info.sizeb) == ("info.json", "json", 8)
    assert api.file.get_info_by_id(info.id) == info
    assert api.file.exists(1, "/notes.txt")
    assert not api.file.exists(1, "/notes")
    assert api.file.dir_exists(1, "/experiments/one/")
    assert api.file.get_directory_size(1, "/experiments/one/") == 7008


def test_one_level(api: sly.Api, uploaded: dict[str, bytes]) -> None:
    entries = api.file.list(1, "/experiments/one/", recursive=False, return_type="fileinfo")
    assert [(one.path, one.is_dir) for one in entries] == [
        ("/experiments/one/checkpoints/", True),
        ("/experiments/one/info.json", False),
    ]


def test_download(api: sly.Api, uploaded: dict[str, bytes], tmp_path: Path) -> None:
    for path, content in uploaded.items():
        target = tmp_path / "got" / path.strip("/")
        api.file.download(1, path, str(target))
        assert target.read_bytes() == content


def test_download_directory(api: sly.Api, uploaded: dict[str, bytes], tmp_path: Path) -> None:
    api.file.download_directory(1, "/experiments/one/", str(tmp_path / "one"))
    best = tmp_path / "one" / "checkpoints" / "best.pt"
    assert best.read_bytes() == uploaded["/experiments/one/checkpoints/best.pt"]


def test_folder_comes_as_tar(
    workspace: Running, uploaded: dict[str, bytes], tmp_path: Path
) -> None:
    answer = workspace.post("file-storage.download", {"teamId": 1, "path": "/experiments"})
    (tmp_path / "x.tar").write_bytes(answer.content)
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert sorted(tar.getnames()) == [
            "experiments/one/checkpoints/best.pt",
            "experiments/one/info.json",
        ]


def test_upload_again_replaces(api: sly.Api, uploaded: dict[str, bytes], tmp_path: Path) -> None:
    before = api.file.get_info_by_path(1, "/notes.txt")
    (tmp_path / "new").write_bytes(b"other")
    after = api.file.upload(1, str(tmp_path / "new"), "/notes.txt")
    assert after.id == before.id
    assert after.hash != before.hash


def test_remove(api: sly.Api, uploaded: dict[str, bytes]) -> None:
    api.file.remove(1, "/experiments/one/")
    assert api.file.list(1, "/experiments") == []
    assert api.file.exists(1, "/notes.txt")


BAD_NAMES = [("..", "/a/"), ("x", "/a/../../../etc/"), ("", "/a/"), ("a/../b", "/"), ("x", "rel")]


@pytest.mark.parametrize(("name", "place"), BAD_NAMES)
def test_names_never_become_paths(
    workspace: Running, tmp_path: Path, name: str, place: str
) -> None:
    parts = [
        ("name", (None, name)),
        ("path", (None, place)),
        ("file", ("../../../evil", b"content")),
    ]
    answer = requests.post(
        f"{workspace.url}/public/api/v3/file-storage.bulk.upload?teamId=1",
        files=parts,
        headers={"x-api-key": OWNER_TOKEN},
        timeout=10,
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].startswith(("path:", "file:"))
    assert not list(tmp_path.rglob("*evil*"))


def test_missing_parts_are_400(workspace: Running) -> None:
    answer = requests.post(
        f"{workspace.url}/public/api/v3/file-storage.bulk.upload?teamId=1",
        files=[("file", ("x", b"content"))],
        headers={"x-api-key": OWNER_TOKEN},
        timeout=10,
    )
    assert answer.status_code == 400


BROKEN = {
    "junk": ("multipart/form-data; boundary=B", b"junk"),
    "no boundary": ("multipart/form-data", b"junk"),
    "cut off": ("multipart/form-data; boundary=B", b"--B\r\nContent-Dis"),
    "bad header": ("multipart/form-data; boundary=B", b"--B\r\n\0\0: x\r\n\r\nhi\r\n--B--\r\n"),
    "JSON": ("application/json", b"{}"),
}


@pytest.mark.parametrize(("kind", "body"), BROKEN.values(), ids=BROKEN)
def test_broken_uploads_are_400(workspace: Running, kind: str, body: bytes) -> None:
    answer = workspace.page(
        "POST",
        "/public/api/v3/file-storage.bulk.upload?teamId=1",
        data=body,
        headers={"x-api-key": OWNER_TOKEN, "content-type": kind},
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]


def test_absent_file_is_404(workspace: Running) -> None:
    for path in ("/nope", "/../../etc/passwd", ""):
        answer = workspace.post("file-storage.download", {"teamId": 1, "path": path})
        assert answer.status_code == 404
    assert (
        workspace.post(
            "file-storage.list", {"teamId": 2, "path": "/", "recursive": True}
        ).status_code
        == 404
    )


def test_what_is_put_into_the_team_folder_is_a_team_file(
    workspace: Running, api: sly.Api, tmp_path: Path
) -> None:
    """As a person puts a trained checkpoint there: no upload, no restart."""
    place = workspace.app.state.workspace.settings.team_files / "experiments" / "7_mine"
    (place / "checkpoints").mkdir(parents=True)
    (place / "checkpoints" / "best.pt").write_bytes(b"weights")
    (place / ".hidden").write_text("x")
    path = "/experiments/7_mine/checkpoints/best.pt"
    (info,) = api.file.list(1, "/experiments", return_type="fileinfo")
    assert (info.path, info.sizeb) == (path, 7)
    api.file.download(1, path, str(tmp_path / "got.pt"))
    assert (tmp_path / "got.pt").read_bytes() == b"weights"

    (place / "checkpoints" / "best.pt").write_bytes(b"better weights")
    changed = api.file.get_info_by_path(1, path)
    assert (changed.id, changed.sizeb) == (info.id, 14)
    assert changed.hash != info.hash
    with pytest.raises(requests.HTTPError) as refused:
        api.file.remove(1, path)
    assert "remove it there" in refused.value.response.json()["error"]
    (place / "checkpoints" / "best.pt").unlink()
    assert not api.file.exists(1, path)


def test_an_upload_wins_over_the_team_folder(
    workspace: Running, api: sly.Api, uploaded: dict[str, bytes], tmp_path: Path
) -> None:
    place = workspace.app.state.workspace.settings.team_files
    place.mkdir(parents=True)
    (place / "notes.txt").write_text("from the folder")
    api.file.download(1, "/notes.txt", str(tmp_path / "notes.txt"))
    assert (tmp_path / "notes.txt").read_bytes() == uploaded["/notes.txt"]


def test_links_in_the_team_folder_are_not_followed(
    workspace: Running, api: sly.Api, tmp_path: Path
) -> None:
    place = workspace.app.state.workspace.settings.team_files
    place.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (place / "link").symlink_to(tmp_path / "secret")
    (place / "folder").symlink_to(tmp_path)
    assert api.file.list(1, "/") == []
