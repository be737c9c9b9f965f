"""A store that cannot be used is told with its cause, and with what cures that."""

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.support.errors import CURES, UserError
from stages.tracking import store, tables


def full(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE filler AS SELECT zeroblob(100000)")


def read_only(database: Path) -> None:
    sqlite3.connect(f"file:{database}?mode=ro", uri=True).execute("CREATE TABLE one (two)")


def shut(database: Path) -> None:
    sqlite3.connect(database / "below").execute("CREATE TABLE one (two)")


def no_room(database: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", str(database))


def no_database(database: Path) -> None:
    database.write_bytes(b"no database" * 99)
    sqlite3.connect(database).execute("CREATE TABLE one (two)")


@pytest.mark.parametrize(
    ("broken", "said", "cure"),
    [
        (full, "database or disk is full", CURES[errno.ENOSPC]),
        (no_room, "No space left on device", CURES[errno.ENOSPC]),
        (read_only, "attempt to write a readonly database", CURES[errno.EACCES]),
        (shut, "unable to open database file", CURES[errno.EACCES]),
        (no_database, "file is not a database", "start its server, or unset MLFLOW_TRACKING_URI"),
    ],
)
def test_a_healthy_store_is_not_moved_away_for_a_fault_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[[Path], None], said: str, cure: str
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(tables, "lay", broken)
    with pytest.raises(UserError) as told:
        store.reach()
    problem, _, told_cure = str(told.value).partition("\nCure: ")
    assert said in problem and told_cure.startswith(cure)
    assert ("mlflow_data/" in told_cure) == (broken is no_database)
