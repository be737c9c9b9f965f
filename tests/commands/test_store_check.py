"""What of the store is not in the database: its disk, who has it open, where it lies. Each fault is planted,
told in one line by its check alone, and gone once it is cured."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from predictflow.adapters import processes
from tests.people.history import History
from tests.people.mounts import own_mounts
from tests.people.project import REPOSITORY

HOLDING = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("SELECT count(*) FROM runs").fetchone()
database.execute(sys.argv[2])
print(flush=True)
sys.stdin.read()
"""


def wrong(answer: dict) -> list[tuple[str, str, str]]:
    """(name, message, cure) of the checks that are not ok."""
    bad = [check for check in answer["checks"] if check["state"] != "ok"]
    assert all("\n" not in f"{check['message']}{check['cure']}" for check in bad)
    return [(check["name"], check["message"], check["cure"]) for check in bad]


@contextmanager
def somebody(made: History, statement: str) -> Iterator[int]:
    """Another program that has the store open; its process id."""
    words = [sys.executable, "-c", HOLDING, str(made.project.folder / "mlflow_data/mlflow.db"), statement]
    with made.project.begun(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"\n"
        yield process.pid


def test_another_program_that_locks_the_store_is_named_until_it_ends(promoted: History, monkeypatch):
    monkeypatch.setattr("predictflow.adapters.store_copies.LOCK_TIMEOUT", 0.1)
    with somebody(promoted, "BEGIN IMMEDIATE") as pid:
        ((name, message, cure),) = wrong(promoted.answer("store", "check", code=1))
        assert (name, cure) == ("store-users", "let it end, or end it: `kill PID`; nothing is lost")
        assert message.startswith(f"somebody keeps it locked, and it is open in {pid}: {sys.executable}")
    assert wrong(promoted.answer("store", "check")) == []


def test_another_program_that_only_reads_it_is_named_and_harms_nobody(promoted: History):
    with somebody(promoted, "BEGIN") as pid:
        answer = promoted.answer("store", "check")
    (told,) = [check["message"] for check in answer["checks"] if check["name"] == "store-users"]
    assert wrong(answer) == [] and f"open in {pid}: " in told and told.endswith("others may write")


def test_a_network_disk_is_told_until_the_store_lies_elsewhere(promoted: History, monkeypatch):
    """Its kind alone is pretended."""
    own = promoted.project.folder / "mlflow_data"
    kind = processes.file_system
    monkeypatch.setattr(
        processes, "file_system", lambda folder: "nfs4" if folder.resolve() == own else kind(folder)
    )
    ((name, message, cure),) = wrong(promoted.answer("store", "check", code=1))
    assert name == "store-disk" and message.startswith("it lies on nfs4, where SQLite's log works for one")
    elsewhere = promoted.project.folder.parent / "elsewhere"
    shutil.copytree(own, elsewhere)
    assert "MLFLOW_TRACKING_URI=sqlite:///PATH" in cure
    promoted.project.env["MLFLOW_TRACKING_URI"] = f"sqlite:///{elsewhere}/mlflow.db"
    assert wrong(promoted.answer("store", "check")) == []


@pytest.mark.real
def test_a_disk_that_is_mounted_read_only_is_told_until_it_is_not(promoted: History):
    mount = "mount --bind mlflow_data mlflow_data && mount -o remount,bind,ro mlflow_data && cd $PWD"
    asking = f"exec {sys.executable} -P -m predictflow.cli store check --json"
    done = subprocess.run(
        [*own_mounts(), "sh", "-ec", f"{mount}\n{asking}"],
        cwd=promoted.project.folder,
        env=promoted.project.env | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    ((name, message, cure),) = wrong(json.loads(done.stdout))
    folder = promoted.project.folder / "mlflow_data"
    assert (done.returncode, name) == (1, "store-disk"), done.stderr
    assert message == f"{folder} cannot be written to by this user: no run, no promotion"
    assert cure == f"ask as its owner (`ls -l {folder}`)"
    assert wrong(promoted.answer("store", "check")) == []


def test_a_store_that_was_moved_is_told_until_its_addresses_have_followed(promoted: History):
    assert wrong(promoted.answer("store", "check")) == []
    promoted.project.folder = promoted.project.folder.rename(promoted.project.folder.with_name("moved"))
    ((name, message, cure),) = wrong(promoted.answer("store", "check", code=1))
    assert name == "addresses" and message.endswith("Was the project moved, or copied?")
    assert cure == "`predictflow restore` lets them follow"
    promoted.told("restore")
    assert wrong(promoted.answer("store", "check")) == []
