"""What was exported is brought into an empty workspace, and is the same, pixel by pixel."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_workspace_export import begin, label, wait
from workspace_gallery import ids_of, make_gallery
from workspace_http import OWNER_TOKEN, Running, serving

from sam2_serving.workspace import WorkspaceSettings, create_workspace
from sam2_serving.workspace.exporting.source import draw_figure
from sam2_serving.workspace.places import place_of

ANNOTATED = "/workspace/api/imports/annotated"


def _workspace(folder: Path, data: Path) -> Any:
    folder.mkdir(exist_ok=True)
    return create_workspace(WorkspaceSettings(folder=folder, data_dir=data, token=OWNER_TOKEN))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Path]]:
    """All masks of a workspace with every kind of medium, and its exports."""
    root = tmp_path_factory.mktemp("round")
    app = _workspace(make_gallery(root / "media"), root / "data")
    with serving(app) as url:
        running = Running(url, app)
        label(running, ids_of(running))
        for form in ("supervisely", "coco"):
            key = begin(running, form, media=True)
            assert wait(running, key)["state"] == "finished"
            content = running.page("GET", f"/workspace/api/exports/{key}/file").content
            (root / f"{form}.zip").write_bytes(content)
        yield _pixels(running), root


def _pixels(running: Running) -> dict[str, Any]:
    """Masks by picture: class and pixels, in order; and which of them are one object."""
    store = running.app.state.workspace.store
    titles = {one.id: one.title for one in store.classes()}
    found: dict[str, Any] = {}
    for entity in store.entities(None, kind=None):
        for key in store.places(entity.id):
            if key.startswith("photo"):
                continue
            place = place_of(entity, key, None)
            for figure in store.figures([entity.id], key):
                mask = draw_figure(figure, place.width, place.height)
                told = (titles[figure.class_id], figure.object_id, mask)
                found.setdefault(f"{entity.path}|{key}", []).append(told)
    return found


def _bring(running: Running, file: Path, key: str, **query: Any) -> Any:
    return running.page("POST", ANNOTATED, params={"key": key, **query}, data=file.read_bytes())


def _compare(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before
    assert set(after) == set(before)
    objects: dict[Any, Any] = {}
    for place, figures in before.items():
        assert len(after[place]) == len(figures)
        for (title, thing, mask), (new_title, new_thing, new_mask) in zip(
            figures, after[place], strict=True
        ):
            assert new_title == title
            np.testing.assert_array_equal(new_mask, mask)
            assert objects.setdefault(thing, new_thing) == new_thing
    assert len(set(objects.values())) == len(objects)


def test_a_project_comes_back(exported: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    before, root = exported
    app = _workspace(tmp_path / "media", tmp_path / "data")
    with serving(app) as url:
        running = Running(url, app)
        answer = _bring(running, root / "supervisely.zip", "one")
        assert answer.status_code == 201, answer.text
        told = answer.json()
        assert (told["figures"], told["known"]) == (sum(map(len, before.values())), 0)
        _compare(before, _pixels(running))

        again = _bring(running, root / "supervisely.zip", "two").json()
        assert (again["figures"], again["media"]) == (0, 0)
        assert any("has figures already" in one for one in again["warnings"])
        assert running.page("POST", "/workspace/api/changes/one/undo").status_code == 200
        assert _pixels(running) == {}
        assert running.page("POST", "/workspace/api/changes/one/redo").status_code == 200
        _compare(before, _pixels(running))


def test_coco_comes_back(exported: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    """Images with the file; figures of videos and volumes if these are there."""
    before, root = exported
    app = _workspace(make_gallery(tmp_path / "media"), tmp_path / "data")
    (tmp_path / "media" / "albums" / "one.png").unlink()
    with serving(app) as url:
        running = Running(url, app)
        told = _bring(running, root / "coco.zip", "one").json()
        assert told["media"] == 1
        _compare(before, _pixels(running))


def test_what_is_no_project_is_refused(tmp_path: Path) -> None:
    app = _workspace(tmp_path / "media", tmp_path / "data")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    (tmp_path / "no.zip").write_text("no zip")
    with serving(app) as url:
        running = Running(url, app)
        answer = _bring(running, tmp_path / "some.zip", "one")
        assert (answer.status_code, "no COCO file" in answer.text) == (400, True)
        assert _bring(running, tmp_path / "no.zip", "two").status_code == 400
    assert list((tmp_path / "media").iterdir()) == []


def _zip(entries: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, one in entries.items():
            made.writestr(name, one)
    return content.getvalue()


def _spoilt(content: bytes, damage: str) -> bytes:
    """A zip whose table is well, but not what it tells of."""
    at = content.index(b"PK\x01\x02")
    if damage == "password":
        return content[: at + 8] + b"\x01" + content[at + 9 :]
    if damage == "packing":
        return content[: at + 10] + b"\x62" + content[at + 11 :]
    return content.replace(b'"images"', b'"imagez"', 1)  # its checksum is another


@pytest.mark.parametrize("damage", ["password", "packing", "checksum"])
def test_a_damaged_zip_is_refused_in_words(tmp_path: Path, damage: str) -> None:
    app = _workspace(tmp_path / "media", tmp_path / "data")
    good = _zip({"a.json": b'{"images": [], "annotations": [], "categories": []}'})
    with serving(app) as url:
        running = Running(url, app)
        (tmp_path / "bad.zip").write_bytes(_spoilt(good, damage))
        answer = _bring(running, tmp_path / "bad.zip", damage)
        assert answer.status_code == 400, answer.text
        assert "a.json" in answer.json()["message"]


def test_what_macos_adds_to_a_zip_is_not_read(tmp_path: Path) -> None:
    app = _workspace(tmp_path / "media", tmp_path / "data")
    good = b'{"images": [], "annotations": [], "categories": []}'
    with serving(app) as url:
        running = Running(url, app)
        entries = {"a.json": good, "__MACOSX/._a.json": b"\x00\x05\x16\x07"}
        (tmp_path / "mac.zip").write_bytes(_zip(entries))
        answer = _bring(running, tmp_path / "mac.zip", "mac")
        assert answer.status_code == 201, answer.text
