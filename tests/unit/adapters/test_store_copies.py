"""Copies of the store are whole whoever writes meanwhile, have their name only once they are, and are kept by
number."""

import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from predictflow.adapters.store_copies import (
    BY_HAND,
    PROMOTION,
    UPGRADE,
    alone_with,
    connect,
    damage,
    keep_copy,
    list_copies,
)
from predictflow.errors import Unreachable
from stages.support.errors import UserError
from tests.people.processes import begun


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A database with a write-ahead log."""
    path = tmp_path / "data/mlflow.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE numbers (value)")
    return path


def write(database: Path, value: int) -> None:
    with closing(sqlite3.connect(database, 30)) as connection, connection:
        connection.execute("INSERT INTO numbers VALUES (?)", [value])


def held(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM numbers ORDER BY value")]


def test_the_oldest_of_each_kind_go_and_numbers_count_on(numbers: Path):
    for value, kind in enumerate([UPGRADE, BY_HAND, PROMOTION, PROMOTION, PROMOTION]):
        write(numbers, value)
        keep_copy(numbers, kind, keep=2)
    copies = list_copies(numbers)
    assert [(copy.number, copy.kind) for copy in copies] == [
        (5, PROMOTION),
        (4, PROMOTION),
        (2, BY_HAND),
        (1, UPGRADE),
    ]
    assert [held(copy.path) for copy in copies] == [[0, 1, 2, 3, 4], [0, 1, 2, 3], [0, 1], [0]]
    assert copies[0].path.name == "mlflow-0005-promotion.db"


def test_a_clock_that_was_set_back_lets_no_newer_copy_go(numbers: Path):
    write(numbers, 1)
    os.utime(keep_copy(numbers, BY_HAND).path, (4e9, 4e9))
    write(numbers, 2)
    (kept,) = [keep_copy(numbers, BY_HAND, keep=1)]
    assert list_copies(numbers) == [kept] and held(kept.path) == [1, 2]


def test_where_nothing_has_changed_no_copy_goes_for_the_same_bytes(numbers: Path):
    write(numbers, 1)
    first = keep_copy(numbers, PROMOTION)
    assert keep_copy(numbers, PROMOTION).path == first.path
    assert keep_copy(numbers, UPGRADE).path != first.path, "another kind is counted on its own"
    assert len(list_copies(numbers)) == 2


def test_a_copy_is_one_file_as_of_one_moment_while_others_write(numbers: Path):
    stop = threading.Event()

    def writer() -> None:
        with closing(sqlite3.connect(numbers, 30)) as connection:
            for value in range(100_000):
                if stop.is_set():
                    return
                with connection:  # two rows, or none
                    connection.executemany("INSERT INTO numbers VALUES (?)", [(value,), (value,)])

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        for _ in range(20):
            before = len(held(numbers))
            copy = keep_copy(numbers, BY_HAND)
            values = held(copy.path)
            assert len(values) >= before, "what was written before is in it"
            assert values == sorted([*range(len(values) // 2)] * 2)
            assert not [*copy.path.parent.glob("*-wal"), *copy.path.parent.glob("*-journal")]
    finally:
        stop.set()
        thread.join()
    with closing(connect(copy.path)) as opened:
        assert damage(opened) == []


def test_copies_at_once_each_get_a_number_of_their_own(numbers: Path):
    def copy(value: int) -> None:
        write(numbers, value)
        keep_copy(numbers, BY_HAND, 100)

    with ThreadPoolExecutor(8) as workers:
        for done in [workers.submit(copy, 1) for _ in range(8)]:
            done.result()
    copies = list_copies(numbers)
    assert [copy.number for copy in copies] == [*range(len(copies), 0, -1)]
    assert held(copies[0].path) == [1] * 8


def test_what_is_no_copy_of_this_database_is_neither_listed_nor_removed(numbers: Path):
    for name in ("other-0001-promotion.db", "mlflow-0001-mine.db", "mlflow-x-promotion.db"):
        (numbers.parent / "backups").mkdir(exist_ok=True)
        (numbers.parent / "backups" / name).touch()
    keep_copy(numbers, PROMOTION, keep=1)
    assert len(list_copies(numbers)) == 1
    assert len([*(numbers.parent / "backups").glob("*.db")]) == 4


def test_what_a_kill_has_left_is_written_over(numbers: Path):
    folder = numbers.parent / "backups"
    folder.mkdir()
    (folder / ".mlflow-0001-by-hand.db.tmp").write_text("half a copy")
    assert held(keep_copy(numbers, BY_HAND).path) == []
    assert {path.name for path in folder.iterdir()} == {".lock", "mlflow-0001-by-hand.db"}


@pytest.fixture
def small_disk(numbers: Path) -> Iterator[Path]:
    """The folder of the copies on a disk of its own, of a megabyte."""
    folder = numbers.parent / "backups"
    folder.mkdir()
    words = ("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_takes_no_copy_that_was_there(numbers: Path, small_disk: Path):
    kept = keep_copy(numbers, PROMOTION, keep=1)
    write(numbers, 1)
    with pytest.raises(OSError), (small_disk / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(Unreachable, match=r"cannot be copied to .*backups: .*(full|No space)"):
        keep_copy(numbers, PROMOTION, keep=1)
    assert list_copies(numbers) == [kept] and held(kept.path) == []
    assert not [*small_disk.glob(".*.tmp*")], "nothing half written is left"


def test_a_database_that_is_none_is_not_kept_as_a_copy(numbers: Path):
    kept = keep_copy(numbers, PROMOTION, keep=1)
    numbers.write_text("no database" * 100)
    with pytest.raises(Unreachable, match="file is not a database"):
        keep_copy(numbers, PROMOTION, keep=1)
    assert list_copies(numbers) == [kept]


def test_who_is_alone_with_a_database_keeps_all_others_out(numbers: Path):
    with alone_with(numbers) as connection:
        with closing(sqlite3.connect(numbers, 0.1)) as other, pytest.raises(sqlite3.OperationalError):
            other.execute("SELECT * FROM numbers").fetchall()
        connection.execute("INSERT INTO numbers VALUES (1)")
        assert held(keep_copy(numbers, UPGRADE, opened=connection).path) == [1]
    assert held(numbers) == [1]


def test_nobody_is_alone_with_a_database_that_another_process_has_open(numbers: Path, monkeypatch):
    monkeypatch.setattr("predictflow.adapters.store_copies.LOCK_TIMEOUT", 0.1)
    read = "d = sqlite3.connect(sys.argv[1]); d.execute('SELECT * FROM numbers')"
    program = f"import sqlite3, sys; {read}; print(flush=True); sys.stdin.read()"
    words = ["python", "-c", program, str(numbers)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with begun(words, numbers.parent, os.environ, **pipes) as other:
        assert other.stdout and other.stdout.readline()
        with (
            pytest.raises(UserError, match=rf"is open: {other.pid}: .*python") as refused,
            alone_with(numbers),
        ):
            pass
        assert "Cure: stop who uses it" in str(refused.value)
    with alone_with(numbers):
        pass
