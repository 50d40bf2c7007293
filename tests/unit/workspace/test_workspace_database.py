from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from workspace_http import Settings

from sam2_serving.workspace import create_workspace
from sam2_serving.workspace.changes import set_done
from sam2_serving.workspace.database import MIGRATIONS, open_database
from sam2_serving.workspace.store import Store
from sam2_serving.workspace.tables import SCHEMA_VERSION

VERSION_1 = Path(__file__).with_name("version_1.sql")
"""What the first version wrote, as SQL; never changed."""


def _columns(file: Path) -> dict[str, set[str]]:
    with sqlite3.connect(file) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
        found = {
            name: {row[1] for row in database.execute(f"PRAGMA table_info('{name}')")}
            for name in names
        }
    database.close()
    return found


def _indexes(file: Path) -> dict[str, str]:
    with sqlite3.connect(file) as database:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        found = dict(database.execute(query).fetchall())
    database.close()
    return found


def test_every_step_has_its_migration() -> None:
    assert set(MIGRATIONS) == set(range(1, SCHEMA_VERSION))


def test_an_old_database_is_brought_up_and_keeps_what_it_holds(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "old.sqlite"
    with sqlite3.connect(file) as database:
        database.executescript(VERSION_1.read_text())
    database.close()
    store = create_workspace(settings(database=file)).state.workspace.store
    (figure,) = store.figures([1])
    assert (figure.area, figure.place, figure.object_id) == (4.0, "", None)
    assert [one.title for one in store.classes()] == ["cat"]
    # New media come after the old ones, whose file is gone and whose number stays theirs.
    assert min(one.id for one in store.entities()) == 2
    store.close()
    open_database(tmp_path / "new.sqlite").dispose()
    assert _columns(file) == _columns(tmp_path / "new.sqlite")
    assert _indexes(file) == _indexes(tmp_path / "new.sqlite")


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite"
    with sqlite3.connect(file) as database:
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(RuntimeError, match="newer version"):
        open_database(file)


def test_changes_of_the_version_before_can_still_be_undone(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite"
    open_database(file).dispose()
    with sqlite3.connect(file) as database:
        database.execute("ALTER TABLE changes DROP COLUMN fields")
        database.execute("ALTER TABLE changes DROP COLUMN things")
        database.execute("ALTER TABLE figures DROP COLUMN layer")
        database.execute("ALTER TABLE object_classes DROP COLUMN position")
        database.execute(
            "INSERT INTO changes (created_at, updated_at, key, done, entity_ids, figure_ids, added,"
            " others, classes) VALUES ('', '', 'k', 1, '[]', '[]', '[]', '[]', '{}')"
        )
        database.execute("PRAGMA user_version=5")
    database.close()
    store = Store(open_database(file), "x")
    change = set_done(store, "k", False)
    assert change is not None
    assert change.done is False
    store.close()
