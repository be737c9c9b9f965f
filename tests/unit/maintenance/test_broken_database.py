"""A database makes room only where SQLite calls it broken; what else may be wrong changes nothing."""

import hashlib
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from predictflow.maintenance.broken_database import AROUND, put_aside
from stages.support.errors import UserError


def files(folder: Path) -> dict[str, str]:
    """{path: md5} of all that lies in a folder, but for what a reader of a log leaves: its index, nothing."""
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_size and not path.name.endswith("-shm")
    }


def make(database: Path, rows: int = 500) -> Path:
    """A healthy store with a write-ahead log."""
    with closing(sqlite3.connect(database)) as store, store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("CREATE TABLE alembic_version (version_num TEXT)")
        store.execute("CREATE TABLE runs (run_uuid TEXT)")
        store.executemany("INSERT INTO runs VALUES (?)", [("f" * 32,)] * rows)
    return database


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mlflow_data"
    folder.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    return folder / "mlflow.db"


def no_database(database: Path) -> None:
    database.write_text("no database\n" * 100)


def cut(database: Path) -> None:
    make(database)
    with database.open("r+b") as file:
        file.truncate(database.stat().st_size // 2)


def half_made(database: Path) -> None:
    make(database, rows=0)


@pytest.mark.parametrize("damage", [no_database, cut, half_made])
def test_what_sqlite_calls_broken_is_kept_whole_and_makes_room(database: Path, damage: Callable):
    damage(database)
    database.with_name("mlflow.db-journal").write_bytes(b"a journal")
    if damage is half_made:  # a journal that is none is taken away by SQLite
        database.with_name("mlflow.db-journal").unlink()
    before = files(database.parent)
    with put_aside() as place:
        assert place == f"{database}".replace("mlflow.db", "mlflow-broken-1")
        assert not any(database.with_name(database.name + end).exists() for end in AROUND)
        database.write_text("the new one")
    assert {name: before[name] for name in files(Path(place))} == files(Path(place))
    assert "mlflow.db" in files(Path(place)) and database.read_text() == "the new one"


@pytest.mark.parametrize("damage", [None, make])
def test_what_is_healthy_or_not_there_stays(database: Path, damage: Callable | None):
    if damage:
        damage(database)
    before = files(database.parent)
    with put_aside() as place:
        assert place is None
    assert files(database.parent) == before


def test_a_filled_database_that_is_not_mlflows_is_not_thrown_away(database: Path):
    with closing(sqlite3.connect(database)) as store, store:
        store.execute("CREATE TABLE precious (value TEXT)")
        store.execute("INSERT INTO precious VALUES ('x')")
    with put_aside() as place:
        assert place is None


def test_where_nothing_new_can_be_made_the_broken_one_is_back(database: Path):
    no_database(database)
    before = files(database.parent)
    with pytest.raises(UserError, match="the store"), put_aside() as place:
        assert place and not database.exists()
        database.write_text("half of the new one")
        raise UserError("the store cannot be made")
    assert files(database.parent) == before


@pytest.mark.real
def test_who_locks_a_database_is_no_damage(database: Path):
    make(database)
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match="cannot be told: database is locked\nCure: stop who uses it"):
            put_aside().__enter__()
    assert database.exists()


def test_what_is_no_file_is_no_damage(database: Path):
    database.mkdir()
    with pytest.raises(UserError, match="unable to open database file\nCure: let its disk"):
        put_aside().__enter__()
    assert list(database.parent.iterdir()) == [database]


@pytest.fixture
def small_disk(database: Path) -> Iterator[Path]:
    """The folder of the store on a disk of its own, of a megabyte."""
    words = ("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(database.parent))
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    yield database.parent
    subprocess.run(["umount", str(database.parent)], check=True)


def fill(folder: Path) -> None:
    with pytest.raises(OSError), (folder / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_is_no_damage(small_disk: Path, database: Path):
    make(database)
    fill(small_disk)
    before = files(small_disk)
    with pytest.raises(UserError, match=f"whether {database} is broken cannot be told"):
        put_aside().__enter__()
    assert files(small_disk) == before


def test_a_disk_mounted_to_be_read_only_is_no_damage(small_disk: Path, database: Path):
    make(database)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    before = files(small_disk)
    with pytest.raises(UserError, match=f"whether {database} is broken cannot be told"):
        put_aside().__enter__()
    assert files(small_disk) == before


def test_a_broken_one_stays_where_there_is_no_room_for_a_copy(small_disk: Path, database: Path):
    no_database(database)
    fill(small_disk)
    before = files(small_disk)
    with pytest.raises(
        UserError, match=r"cannot be moved aside to .*mlflow-broken-1: No space left on device"
    ):
        put_aside().__enter__()
    assert files(small_disk) == before
