"""MLflow's store, read: MLflow's own answers, nothing changed, and a reason where there is no answer."""

import math
import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from predictflow.adapters import mlflow_client, mlflow_sqlite
from predictflow.adapters.mlflow_client import Client
from predictflow.adapters.mlflow_entities import Run, RunReader
from predictflow.adapters.mlflow_sqlite import Database
from predictflow.adapters.mlflow_store import find_store
from predictflow.errors import Missing, Unreachable
from stages.tracking import network_database
from stages.tracking.store import CONTENT_TAG
from tests.people.store import FIRST, ODD, SECOND, Told, ask

MANY = 1200  # runs, more than MLflow hands out at once


pytestmark = pytest.mark.usefixtures("own_environment")


def all_of(store: RunReader) -> list[Run]:
    return [run for page in store.pages() for run in page]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_database_answers_every_question_as_mlflow_does(database: Path):
    told = ask(Database(database))
    assert told == ask(Client(f"sqlite:///{database}"))

    named = {run.name: run for run in told.runs}
    assert list(named) == sorted(named, key=lambda name: (-named[name].began, named[name].id))
    assert set(named) == {"finished", "restored", "failed", "killed", "running", "of another experiment"}
    assert {run.status for run in told.runs} == {"FINISHED", "FAILED", "KILLED", "RUNNING"}
    assert (named["running"].ended, named["failed"].content) == (None, None)
    assert (named["restored"].restored, named["restored"].experiment) == (True, "shallow")
    assert named["finished"].tags == {CONTENT_TAG: FIRST, "git.commit": "c" * 40, "git.dirty": "false"}

    finished = named["finished"]
    assert told.params[finished.id] == {"train.model": "xgboost", "empty": "", "long": "x" * 3000}
    metrics = Database(database).metrics([finished])[finished.id]
    assert metrics.keys() == {"loss", "roc_auc", "up", "down", "again"}
    assert metrics["loss"] == 1 / 900
    assert math.isnan(metrics["roc_auc"]) and metrics["up"] > 1e308 and metrics["down"] < -1e308

    assert told.md5s.keys() == {FIRST, SECOND}
    assert told.md5s[FIRST].keys() == {"data/customers.csv", "data/größe 1.csv", "models/x"}

    versions = {version.name: version for version in told.versions}
    assert list(versions) == ["a second model/1", *(f"churn-predictor/{n}" for n in (6, 5, 4, 3, 2, 1))]
    assert versions["churn-predictor/3"].aliases == ("champion", "staging", "Äpfel")
    assert versions["churn-predictor/3"].tags.items() >= ODD.items()
    assert versions["churn-predictor/6"].run_id is None
    stages = [versions[f"churn-predictor/{number}"].stage for number in range(1, 6)]
    assert stages == ["None", "Archived", "Staging", "Production", "Production"]


def test_what_is_asked_for_in_small_pages_is_what_is_told_at_once(database: Path, monkeypatch):
    """Runs, experiments, models and their versions, each on as many pages as there are."""
    at_once = ask(Database(database))
    for module in (mlflow_client, mlflow_sqlite):
        monkeypatch.setattr(module, "PAGE_SIZE", 1)
    monkeypatch.setattr(mlflow_client, "KEPT", 2)
    client = Client(f"sqlite:///{database}")
    in_pages = ask(client)
    assert in_pages == ask(Database(database))
    *narrowly, few = at_once.narrowly
    assert in_pages == replace(at_once, narrowly=[*narrowly, None]) and few == at_once.runs
    assert len(client._held) <= 2, "of a run that was gone through no more is kept"


def test_a_run_that_is_begun_while_pages_are_read_moves_none_out_of_sight(database: Path, monkeypatch):
    monkeypatch.setattr(mlflow_client, "PAGE_SIZE", 2)
    client, expected = Client(f"sqlite:///{database}"), [run.id for run in all_of(Database(database))]
    pages = client.pages()
    told = [run.id for run in next(pages)]
    with closing(sqlite3.connect(database)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        made = connection.execute("SELECT * FROM runs WHERE run_uuid = ?", (expected[0],)).fetchone()
        values = dict(zip(columns, made, strict=True)) | {"run_uuid": "f" * 32, "start_time": 2**42}
        connection.execute(f"INSERT INTO runs VALUES ({', '.join('?' for _ in columns)})", [*values.values()])
    told += [run.id for page in pages for run in page]
    assert told == expected


@pytest.mark.real
def test_more_runs_than_mlflow_hands_out_at_once_are_all_told(database: Path):
    with closing(sqlite3.connect(database)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        row = connection.execute("SELECT * FROM runs WHERE name = 'running'").fetchone()
        made = dict(zip(columns, row, strict=True))
        for number in range(MANY):
            values = made | {"run_uuid": f"{number:032x}", "start_time": made["start_time"] - number}
            marks = ", ".join("?" for _ in columns)
            connection.execute(f"INSERT INTO runs VALUES ({marks})", list(values.values()))
            connection.execute("INSERT INTO params VALUES ('n', ?, ?)", (str(number), f"{number:032x}"))
        connection.commit()
    told = ask(Database(database))
    assert len(told.runs) == MANY + 6
    assert told.params[f"{MANY - 1:032x}"] == {"n": str(MANY - 1)}
    assert told == ask(Client(f"sqlite:///{database}"))


def test_an_empty_store_answers_with_nothing(empty_store_template, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{empty_store_template}/mlflow.db")
    told = ask(find_store())
    assert told == Told([], {}, "{}", {}, [], told.narrowly)
    assert not any(told.narrowly), "whatever it is asked"


@contextmanager
def quiet(database: Path) -> Iterator[None]:
    """Nobody has it open."""
    yield


@contextmanager
def written(database: Path) -> Iterator[None]:
    """Somebody has just written to it, has it open, and writes on."""
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("UPDATE runs SET name = 'renamed' WHERE name = 'running'")
        writer.commit()
        writer.execute("UPDATE runs SET name = 'not yet' WHERE name = 'renamed'")
        assert database.with_name("mlflow.db-wal").stat().st_size
        yield


@contextmanager
def left(database: Path) -> Iterator[None]:
    """Who wrote to it was killed, and its write-ahead log is there still."""
    with written(database):
        shutil.copytree(database.parent, database.parent.with_name("copy"))
    shutil.rmtree(database.parent)
    database.parent.with_name("copy").rename(database.parent)
    assert database.with_name("mlflow.db-wal").stat().st_size
    yield


@contextmanager
def without_a_log(database: Path) -> Iterator[None]:
    """As MLflow makes it: changes are written over what was there, with a journal."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    yield


@contextmanager
def of_another_mlflow(database: Path) -> Iterator[None]:
    """MLflow itself would refuse it, or upgrade it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'another'")
        connection.commit()
    yield


@pytest.mark.parametrize("state", [quiet, written, left, without_a_log, of_another_mlflow])
def test_reading_changes_no_byte_and_makes_no_file(database: Path, state):
    with state(database):
        before = files(database.parent)
        told = ask(Database(database))
        after = files(database.parent)
        assert after.keys() == before.keys()
        logged = "mlflow.db-wal" in before
        # SQLite keeps in -shm who reads the log; the log and the database are not touched.
        assert {name for name in after if after[name] != before[name]} <= (
            {"mlflow.db-shm"} if logged else set()
        )
    assert len(told.runs) == 6 and len(told.versions) == 7
    assert ("renamed" in {run.name for run in told.runs}) is logged, "what was committed is seen, and no more"


def test_a_database_in_a_folder_that_may_only_be_read_is_read(database: Path):
    database.parent.chmod(0o555)
    try:
        with unprivileged(database.parent):
            assert len(all_of(Database(database))) == 6
    finally:
        database.parent.chmod(0o755)


@contextmanager
def unprivileged(*folders: Path) -> Iterator[None]:
    """Somebody else, if the tests are run as root, whom no permission binds; `folders` are open to them."""
    opened = {
        parent for folder in folders for parent in folder.parents if parent.stat().st_uid == os.geteuid()
    }
    modes = {folder: folder.stat().st_mode for folder in opened}
    if os.geteuid() != 0:
        yield
        return
    for folder in opened:
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for folder, mode in modes.items():
            folder.chmod(mode)


def garbage(database: Path) -> None:
    database.write_bytes(b"no database at all" * 1000)


def truncated(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:40960])


def overwritten(database: Path) -> None:
    text = bytearray(database.read_bytes())
    text[100:4096] = b"\xff" * 3996
    database.write_bytes(text)


def empty(database: Path) -> None:
    database.write_bytes(b"")


def a_folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


def a_dead_link(database: Path) -> None:
    database.unlink()
    database.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (garbage, "file is not a database"),
        (truncated, "database disk image is malformed"),
        (overwritten, "database disk image is malformed"),
        (empty, "no such table"),
        (a_folder, "unable to open database file"),
        (a_dead_link, "No such file or directory"),
    ],
)
def test_a_damaged_database_is_told_with_its_reason(database: Path, damage, reason):
    damage(database)
    found = find_store()
    for question in (lambda: all_of(found), found.versions, lambda: found.md5s("")):
        with pytest.raises(Unreachable) as told:
            question()
        assert not isinstance(told.value, Missing)
        assert str(told.value).startswith(f"{database} cannot be read: ")
        assert reason in str(told.value)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("latest_metrics", "value"),
        ("runs", "start_time"),
        ("runs", "end_time"),
        ("model_versions", "creation_time"),
        ("model_versions", "version"),
    ],
)
def test_a_text_where_a_number_belongs_is_told(database: Path, table, column):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = 'forged' WHERE rowid = 1")
    found = Database(database)
    with pytest.raises(Unreachable, match=r"cannot be read: .+ is 'forged', which is no number"):
        found.metrics(all_of(found))
        found.versions()


@pytest.mark.parametrize("table", ["registered_model_aliases", "model_version_tags"])
def test_what_an_older_mlflow_did_not_keep_is_told_and_the_rest_is_read(database: Path, table):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"DROP TABLE {table}")
    with pytest.raises(Unreachable, match=f"no such table: {table}"):
        Database(database).versions()
    assert len(all_of(Database(database))) == 6


def test_a_database_that_is_locked_is_told(database: Path, monkeypatch):
    monkeypatch.setattr("stages.tracking.database.LOCK_TIMEOUT", 0.1)
    with without_a_log(database), closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA cache_size=1")
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE tags SET value = value || 'x'")
        with pytest.raises(Unreachable, match="database is locked"):
            all_of(Database(database))


def test_a_store_that_may_not_be_seen_is_not_taken_for_none(database: Path):
    database.parent.chmod(0)
    try:
        with unprivileged(database.parent), pytest.raises(Unreachable, match="Permission denied") as told:
            all_of(find_store())
        assert not isinstance(told.value, Missing)
    finally:
        database.parent.chmod(0o755)


def test_a_store_that_is_not_there_is_missing_and_is_not_made(tmp_path, monkeypatch):
    for path in ("none.db", "no/folder.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / path}")
        with pytest.raises(Missing, match=f"{path} is not there"):
            find_store()
    assert list(tmp_path.iterdir()) == []


def questions(uri: str, monkeypatch) -> set[str]:
    """Why a store does not answer, whatever it is asked."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    found, reasons = find_store(), set()
    for question in (lambda: all_of(found), found.versions, lambda: found.md5s("")):
        with pytest.raises(Unreachable) as told:
            question()
        reasons.add(str(told.value))
    assert not {text for text in reasons | {found.where} if "secret" in text}, "no password is shown"
    return reasons


def test_a_server_that_is_not_there_is_told_without_its_password(monkeypatch):
    (reason,) = questions("http://ada:secret@127.0.0.1:9", monkeypatch)
    assert "http://…@127.0.0.1:9" in reason and "Connection refused" in reason
    (reason,) = questions("http://ada:p@secret@127.0.0.1:9", monkeypatch)
    assert "http://…@127.0.0.1:9" in reason


@pytest.mark.real
def test_a_server_that_never_answers_is_waited_for_once(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        (reason,) = questions(f"http://127.0.0.1:{listening.getsockname()[1]}", monkeypatch)
        assert "timed out" in reason
        listening.setblocking(False)
        listening.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize(("code", "asked"), [(503, 2), (404, 1), (401, 1)])
def test_a_server_that_fails_is_told_within_seconds(code, asked, monkeypatch):
    seen: list[str] = []

    class Failing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200 if self.path == "/" else code)
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as failing:
        threading.Thread(target=failing.serve_forever, daemon=True).start()
        try:
            (reason,) = questions(f"http://ada:secret@127.0.0.1:{failing.server_port}", monkeypatch)
        finally:
            failing.shutdown()
    assert "cannot be read" in reason and str(code) in reason
    assert len(seen) == 1 + asked, "it is asked whether it is there, then what is wanted, and no more"


def test_a_database_server_without_its_driver_is_told_without_its_password(monkeypatch):
    (reason,) = questions("mysql+pymysql://ada:secret@127.0.0.1:9/mlflow", monkeypatch)
    assert "mysql+pymysql://…@127.0.0.1:9/mlflow needs a driver that is not installed here" in reason


def test_a_database_without_a_server_is_told_at_once_and_without_its_password(monkeypatch):
    (reason,) = questions("postgresql+psycopg://ada:secret@127.0.0.1:9/mlflow", monkeypatch)
    assert reason.startswith("the tracking store postgresql+psycopg://…@127.0.0.1:9/mlflow cannot be used: ")
    assert "Connection refused" in reason


def test_a_database_that_never_answers_is_not_waited_for_longer_than_that(monkeypatch):
    monkeypatch.setattr(network_database, "ANSWER_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        uri = f"postgresql+psycopg://ada:secret@127.0.0.1:{listening.getsockname()[1]}/mlflow"
        (reason,) = questions(uri, monkeypatch)
    assert reason.endswith("cannot be used: no answer within 0.2 seconds")
