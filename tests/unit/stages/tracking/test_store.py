"""A store that cannot be used is told with its cause, and with what cures that."""

import errno
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stages.support.errors import CURES, UserError
from stages.tracking import store, tables
from tests.people.processes import begun
from tests.people.waiting import until


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
        (no_database, "file is not a database", "start its server, correct MLFLOW_TRACKING_URI"),
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


def test_a_process_that_nobody_has_taken_note_of_has_ended_all_the_same(tmp_path: Path):
    """A zombie, as every killed process is for ever in a container without an init."""
    ours = store._this_process()
    assert not store.is_gone(ours)
    with begun(["sleep", "600"], tmp_path, os.environ) as process:
        of_it = psutil.Process(process.pid)
        tags = ours | {store.PID_TAG: str(process.pid), store.BEGAN_TAG: store.began_since_boot(of_it)}
        assert not store.is_gone(tags)
        process.kill()
        until(lambda: of_it.status() == psutil.STATUS_ZOMBIE, "the end")
        assert store.is_gone(tags)


@pytest.mark.skipif(not psutil.LINUX, reason="only Linux tells when a process began without its clock")
def test_a_clock_that_is_set_makes_no_other_process_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ours, proc = store._this_process(), Path("/proc")
    assert not store.is_gone(ours)
    assert store.is_gone(ours | {store.BEGAN_TAG: "1.00"}), "another one with its pid"
    # What the system tells of processes does not change with its clock; when it was started does.
    for place in ("self", str(os.getpid())):
        (tmp_path / place).symlink_to(proc / place)
    said = (proc / "stat").read_text()
    before = psutil.Process().create_time()
    ahead = re.sub(r"btime (\d+)", lambda found: f"btime {int(found[1]) + 86_400}", said)
    (tmp_path / "stat").write_text(ahead)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    assert psutil.Process().create_time() == before + 86_400, "by the clock it is another one"
    assert not store.is_gone(ours)


def test_a_run_of_before_goes_by_its_pid_alone(tmp_path: Path):
    older = {key: value for key, value in store._this_process().items() if key != store.BEGAN_TAG}
    assert not store.is_gone(older | {"predictflow.began": "1.0"})
    with begun(["true"], tmp_path, os.environ) as process:
        process.wait()
        ended = older | {store.PID_TAG: str(process.pid)}
        assert store.is_gone(ended)
        assert not store.is_gone(ended | {store.HOST_TAG: "elsewhere"}), "that cannot be told from here"
