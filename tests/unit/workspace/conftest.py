from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import supervisely as sly
from workspace_film import Film, serving_film
from workspace_gallery import Ids, ids_of, make_gallery
from workspace_http import (
    OWNER_TOKEN,
    SESSION_TOKEN,
    Running,
    Settings,
    serving,
    write_picture,
)

from sam2_serving.workspace import WorkspaceSettings, create_workspace


def _make_folder(root: Path) -> Path:
    """Three datasets: the folder itself, `cats` and `dogs/small`."""
    write_picture(root / "top.png", seed=1)
    write_picture(root / "cats" / "a.png", seed=2)
    write_picture(root / "cats" / "b.bmp", 33, 21, seed=3)
    write_picture(root / "dogs" / "small" / "c.webp", seed=4)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _make_folder(tmp_path / "media")


@pytest.fixture
def settings(tmp_path: Path, folder: Path) -> Settings:
    def make(**more: object) -> WorkspaceSettings:
        fields = {
            "folder": folder,
            "data_dir": tmp_path / "data",
            "token": OWNER_TOKEN,
            "session_token": SESSION_TOKEN,
            **more,
        }
        return WorkspaceSettings(**fields)

    return make


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Running]:
    app = create_workspace(settings())
    with serving(app) as url:
        yield Running(url, app)


@pytest.fixture
def film(settings: Settings) -> Iterator[Film]:
    with serving_film(settings()) as served:
        yield served


@pytest.fixture
def api(workspace: Running) -> sly.Api:
    return workspace.api()


@pytest.fixture
def image_ids(api: sly.Api) -> dict[str, int]:
    """Image ids by name."""
    project = api.project.get_list(1)[0]
    datasets = api.dataset.get_list(project.id)
    return {image.name: image.id for one in datasets for image in api.image.get_list(one.id)}


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One workspace for all tests that change nothing in it."""
    root = tmp_path_factory.mktemp("lasting")
    app = create_workspace(
        WorkspaceSettings(
            folder=_make_folder(root / "media"),
            data_dir=root / "data",
            token=OWNER_TOKEN,
            session_token=SESSION_TOKEN,
        )
    )
    with serving(app) as url:
        yield Running(url, app)


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A workspace with every kind of medium, for tests that change nothing in it."""
    root = tmp_path_factory.mktemp("gallery")
    app = create_workspace(
        WorkspaceSettings(
            folder=make_gallery(root / "media"),
            data_dir=root / "data",
            token=OWNER_TOKEN,
            session_token=SESSION_TOKEN,
        )
    )
    with serving(app) as url:
        yield Running(url, app)


@pytest.fixture
def gallery_api(gallery: Running) -> sly.Api:
    return gallery.api()


@pytest.fixture
def ids(gallery: Running) -> Ids:
    return ids_of(gallery)
