"""`predictflow store`: copies before what is written, what check finds, and another MLflow's store."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from predictflow.adapters.store_copies import list_copies
from predictflow.maintenance import upgrade
from tests.people.history import History
from tests.people.older import CONTENT, OLDER, RUN, make_older, rows

MODEL = "churn-predictor"


def database(made: History) -> Path:
    return made.project.folder / "mlflow_data/mlflow.db"


def change(made: History, statement: str) -> None:
    with closing(sqlite3.connect(database(made))) as connection, connection:
        connection.execute(statement)


def stages(database: Path) -> dict[int, str]:
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT version, current_stage FROM model_versions"))


# --- Copies ----------------------------------------------------------------------------------------------


def test_what_is_about_to_write_keeps_the_store_as_it_was(promoted: History):
    before = stages(database(promoted))
    answer = promoted.answer("promote", f"{MODEL}/1", "--to", "staging")
    assert answer["done"] and answer["not_copied"] is None
    assert stages(Path(answer["copy"])) == before != stages(database(promoted))
    number = len(list_copies(database(promoted)))
    after = stages(database(promoted))
    assert stages(Path(promoted.answer("rollback")["copy"])) == after
    assert len(list_copies(database(promoted))) == number + 1


@pytest.mark.parametrize("words", [("promote", f"{MODEL}/1", "--to", "staging"), ("rollback",)])
def test_what_only_decides_copies_nothing(promoted: History, words):
    before = list_copies(database(promoted))
    answer = promoted.answer(*words, "--dry-run")
    assert answer["copy"] is None and list_copies(database(promoted)) == before


def test_a_rollback_that_cannot_copy_the_store_says_so_and_goes_on(promoted: History):
    folder = database(promoted).parent / "backups"
    shutil.rmtree(folder)
    folder.write_text("somebody's file")
    told = " ".join(promoted.told("rollback", "--reason", "it cannot wait").split())
    assert "no copy of the store was made first: " in told and "backups: File exists" in told
    assert "done: " in told


def test_a_server_s_store_is_told_to_be_its_owner_s(promoted: History):
    env = {"MLFLOW_TRACKING_URI": "http://ada:secret@127.0.0.1:9"}
    promoted.project.env |= env
    for task in ("backup", "upgrade"):
        code, _, told = promoted.said("store", task)
        assert code == 1 and "the store is a server, http://…@127.0.0.1:9" in told and "`pg_dump`" in told
    code, out, _ = promoted.said("store", "check", "--json")
    (check,) = json.loads(out)["checks"]
    assert (code, check["state"]) == (2, "unknown") and "secret" not in out


# --- Check -----------------------------------------------------------------------------------------------


def cut(made: History) -> None:
    with database(made).open("r+b") as file:
        file.seek(100)
        file.write(b"\0" * 200_000)


def left_open(made: History) -> None:
    from stages.tracking.store import BEGAN_TAG, HOST_TAG, PID_TAG  # the run of a process that is gone

    (run,) = [run for run in made.made.values() if run.name == "first"]
    change(made, f"UPDATE runs SET status = 'RUNNING' WHERE run_uuid = '{run.run}'")
    for tag, value in {HOST_TAG: os.uname().nodename, PID_TAG: str(os.getpid()), BEGAN_TAG: "1.0"}.items():
        change(made, f"INSERT OR REPLACE INTO tags VALUES ('{tag}', '{value}', '{run.run}')")


def lost(made: History) -> None:
    database(made).unlink()


def moved(made: History) -> None:
    away = "file:///away/mlflow_data/artifacts"
    change(made, f"UPDATE experiments SET artifact_location = '{away}' WHERE experiment_id = 1")


def dangling(made: History) -> None:
    change(made, f"INSERT INTO tags VALUES ('a', 'b', '{'0' * 32}')")


def copied_badly(made: History) -> None:
    made.told("store", "backup")
    list_copies(database(made))[0].path.write_text("no database" * 100)


def older(made: History) -> None:
    change(made, f"UPDATE alembic_version SET version_num = '{OLDER}'")


def newer(made: History) -> None:
    change(made, "UPDATE alembic_version SET version_num = 'ffffffffffff'")


def half_made(made: History) -> None:
    change(made, "DELETE FROM alembic_version")


@pytest.mark.parametrize(
    ("fault", "name", "state", "cure"),
    [
        (lost, "store", "problem", "`predictflow restore`"),
        (cut, "integrity", "problem", "`predictflow restore`"),
        (dangling, "integrity", "warning", "`predictflow audit`"),
        (older, "tables", "problem", "`predictflow store upgrade`"),
        (newer, "tables", "problem", "`make repro`"),
        (half_made, "tables", "problem", "`predictflow restore`"),
        (left_open, "open-runs", "warning", "`predictflow doctor --fix`"),
        (moved, "addresses", "problem", "`predictflow restore`"),
        (copied_badly, "copies", "problem", "`predictflow store backup`"),
    ],
)
def test_a_fault_is_told_by_its_check_and_by_no_other(promoted: History, fault: Callable, name, state, cure):
    answer = promoted.answer("store", "check")
    assert {check["state"] for check in answer["checks"]} == {"ok"}
    fault(promoted)
    code, out, _ = promoted.said("store", "check", "--json")
    wrong = [check for check in json.loads(out)["checks"] if check["state"] in ("problem", "warning")]
    assert [(check["name"], check["state"]) for check in wrong] == [(name, state)]
    assert cure in wrong[0]["cure"] and code == (1 if state == "problem" else 0)


def test_who_locks_the_store_is_told(promoted: History):
    with closing(sqlite3.connect(database(promoted))) as writer:
        writer.execute("BEGIN IMMEDIATE")
        checks = {check["name"]: check for check in promoted.answer("store", "check")["checks"]}
    assert checks["store-users"]["state"] == "ok", "this very process is not told of itself"


# --- Another MLflow's ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def older_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_older(tmp_path_factory.mktemp("older") / "mlflow.db")


@pytest.fixture
def of_an_older(promoted: History, older_store: Path) -> History:
    """The project with the store of MLflow 2.22."""
    for path in database(promoted).parent.glob("mlflow.db*"):
        path.unlink()
    shutil.copyfile(older_store, database(promoted))
    return promoted


CORE = ("runs", "params", "tags", "latest_metrics", "registered_models", "model_versions")


def kept(path: Path) -> dict[str, int]:
    return {table: len(rows(path, table)) for table in CORE}


@pytest.mark.parametrize(
    "words",
    [
        ("promote", f"{MODEL}/1", "--to", "staging"),
        ("rollback",),
        ("restore",),
        ("prune", "--yes"),
    ],
)
def test_what_would_write_to_an_older_store_is_stopped_before_it(of_an_older: History, words):
    before = database(of_an_older).read_bytes()
    tags = of_an_older.project.run("git", "tag").stdout
    code, _, told = of_an_older.said(*words)
    assert code in (1, 2) and "is of an older MLflow" in told and "`predictflow store upgrade`" in told
    assert database(of_an_older).read_bytes() == before, "nothing was written"
    assert of_an_older.project.run("git", "tag").stdout == tags


def test_an_older_store_is_brought_to_the_installed_mlflow_and_kept_as_it_was(of_an_older: History):
    before = database(of_an_older).read_bytes()
    held = kept(database(of_an_older))
    answer = of_an_older.answer("store", "upgrade")
    assert answer["before"] == OLDER != answer["after"]
    assert rows(Path(answer["copy"]), "alembic_version") == [(OLDER,)] and kept(Path(answer["copy"])) == held
    assert kept(database(of_an_older)) == held and database(of_an_older).read_bytes() != before
    (run,) = of_an_older.project.runs()
    assert run.info.run_id == RUN and run.data.tags["predictflow.content"] == CONTENT
    assert [version.current_stage for version in of_an_older.project.versions()] == ["Production"]
    again = of_an_older.answer("store", "upgrade")
    assert again["copy"] is None and again["before"] == again["after"] == answer["after"]
    assert not [*database(of_an_older).parent.glob(".mlflow-upgrade-*")]


def test_a_store_that_somebody_uses_is_not_upgraded(of_an_older: History, monkeypatch):
    monkeypatch.setattr("predictflow.adapters.store_copies.LOCK_TIMEOUT", 0.1)
    with closing(sqlite3.connect(database(of_an_older))) as user:
        user.execute("PRAGMA journal_mode=WAL")
        user.execute("SELECT * FROM runs").fetchall()
        told = of_an_older.told("store", "upgrade", code=1)
    assert "mlflow.db is open" in told and "stop who uses it" in told
    assert rows(database(of_an_older), "alembic_version") == [(OLDER,)]


def of_less(path: Path) -> None:
    with closing(sqlite3.connect(path)) as copy, copy:
        copy.execute("DELETE FROM params")
    MIGRATE(path)


def of_nothing(path: Path) -> None:
    pass


MIGRATE = upgrade.migrate


@pytest.mark.real
@pytest.mark.parametrize(
    ("migrated", "told"),
    [
        (of_less, "of params it holds 0 rows, not 1"),
        (of_nothing, "it is not what the installed MLflow opens"),
    ],
)
def test_what_mlflow_made_of_the_copy_is_not_taken_unseen(
    of_an_older: History, monkeypatch, migrated: Callable, told: str
):
    held = kept(database(of_an_older))
    monkeypatch.setattr(upgrade, "migrate", migrated)
    assert told in of_an_older.told("store", "upgrade", code=1)
    assert kept(database(of_an_older)) == held
    assert rows(database(of_an_older), "alembic_version") == [(OLDER,)]
    monkeypatch.setattr(upgrade, "migrate", MIGRATE)
    of_an_older.told("store", "upgrade")


def test_a_newer_mlflow_s_store_is_left_alone(promoted: History):
    newer(promoted)
    before = database(promoted).read_bytes()
    for words in (("store", "upgrade"), ("promote", f"{MODEL}/1", "--to", "staging")):
        told = promoted.told(*words, code=1)
        assert "is of a newer MLflow" in told and "`make repro` at the commit" in told
    assert database(promoted).read_bytes() == before
