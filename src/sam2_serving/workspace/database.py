"""The SQLite file: opened, tuned, and brought up to the tables of this version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text

from sam2_serving.workspace.tables import SCHEMA_VERSION, Table

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE entities ADD COLUMN facts JSON NOT NULL DEFAULT '{}'",
        "ALTER TABLE figures ADD COLUMN object_id INTEGER REFERENCES objects (id)",
        "ALTER TABLE figures ADD COLUMN place VARCHAR NOT NULL DEFAULT ''",
        "ALTER TABLE team_files ADD COLUMN put_ns INTEGER",
    ),
    2: ("ALTER TABLE figures ADD COLUMN track_id VARCHAR",),
    3: (
        "DROP INDEX IF EXISTS figures_of_entity",
        "CREATE INDEX figures_of_place ON figures (entity_id, place)",
    ),
    4: (),
    5: (
        "ALTER TABLE object_classes ADD COLUMN position INTEGER",
        "ALTER TABLE figures ADD COLUMN layer INTEGER",
        "ALTER TABLE changes ADD COLUMN fields JSON NOT NULL DEFAULT '{}'",
        "ALTER TABLE changes ADD COLUMN things JSON NOT NULL DEFAULT '{}'",
    ),
    6: (),
}
"""What brings the tables of a version up to the next; new tables are made without it."""


def open_database(path: Path) -> Engine:
    """Open or create the database.

    Raises:
        RuntimeError: the file was written by a newer version of this program.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 15})

    @event.listens_for(engine, "connect")
    def tune(connection: Any, _record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    with engine.begin() as connection:
        found = int(connection.execute(text("PRAGMA user_version")).scalar_one())
        if found > SCHEMA_VERSION:
            raise RuntimeError(
                f"{path} was written by a newer version (schema {found}, known: {SCHEMA_VERSION})."
            )
        if found < SCHEMA_VERSION:
            _bring_up(connection)
    return engine


def _bring_up(connection: Connection) -> None:
    # The driver would commit before each ALTER; begun by hand, all of it happens or nothing.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    # Asked again: another process may have done it while this one waited.
    found = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    had = set(inspect(connection).get_table_names())
    Table.metadata.create_all(connection)
    for version in range(max(found, 1), SCHEMA_VERSION) if found else ():
        for statement in MIGRATIONS[version]:
            # A table that an earlier version did not have was made with all its columns.
            if not statement.startswith("ALTER TABLE") or statement.split()[2] in had:
                connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
