"""A new store gets MLflow's own tables, whole or not at all."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from stages.support.errors import UserError
from stages.tracking import store, tables
from tests.people.project import REPOSITORY


def held(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]


@pytest.mark.real
def test_the_script_makes_what_the_locked_mlflow_makes():
    words = [sys.executable, "-m", "stages.tracking.tables"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert tables.SCRIPT.read_text(encoding="utf-8") == done.stdout, "Cure: `make lock`."


def test_mlflow_finds_nothing_to_do_in_them(tmp_path):
    from mlflow.store.db.utils import _all_tables_exist, _verify_schema, create_sqlalchemy_engine

    tables.lay(tmp_path / "mlflow.db")
    engine = create_sqlalchemy_engine(f"sqlite:///{tmp_path}/mlflow.db")
    assert _all_tables_exist(engine)
    _verify_schema(engine)
    engine.dispose()


def test_a_database_with_a_table_is_left_as_it_is(tmp_path):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE somebodys (own)")
    tables.lay(tmp_path / "mlflow.db")
    assert held(tmp_path / "mlflow.db") == ["somebodys"]


def test_another_mlflow_makes_its_own_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(tables.metadata, "version", {"mlflow": "3.99"}.get)
    tables.lay(tmp_path / "mlflow.db")
    assert held(tmp_path / "mlflow.db") == []


def test_what_stops_halfway_leaves_no_table(tmp_path, monkeypatch):
    broken = tmp_path / "tables.sql"
    broken.write_text(tables.SCRIPT.read_text(encoding="utf-8") + "no such statement;\n", encoding="utf-8")
    monkeypatch.setattr(tables, "SCRIPT", broken)
    with pytest.raises(sqlite3.Error):
        tables.lay(tmp_path / "mlflow.db")
    assert held(tmp_path / "mlflow.db") == []


# --- Another MLflow's ------------------------------------------------------------------------------------


def rename(database: Path, revision: str) -> None:
    """Let a database say that its tables are others."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])


@pytest.mark.parametrize(
    ("revision", "told", "cure"),
    [
        ("0584bdc529eb", "is of an older MLflow", "`predictflow store upgrade`"),
        ("ffffffffffff", "is of a newer MLflow", "`make repro` at the commit"),
    ],
)
def test_the_tables_of_another_mlflow_are_told_with_their_cure(tmp_path, monkeypatch, revision, told, cure):
    database = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    store.reach()
    rename(database, revision)
    before = held(database)
    with pytest.raises(UserError) as refused:
        store.reach()
    problem, _, told_cure = str(refused.value).partition("\nCure: ")
    assert f"the tracking store {database} {told} (its tables are {revision})" in problem
    assert told_cure.startswith(cure)
    assert held(database) == before, "nothing was changed"


def test_the_installed_mlflow_knows_its_own_tables_also_where_the_script_is_of_another(monkeypatch):
    own = tables.revision()
    assert own and tables.held_against_installed(own).difference is None
    monkeypatch.setattr(tables, "revision", lambda: None)
    assert tables.held_against_installed(own) == tables.Tables(own, own, known=True)


def test_a_database_that_says_nothing_of_its_tables_is_not_judged(tmp_path):
    sqlite3.connect(tmp_path / "mlflow.db").execute("CREATE TABLE somebodys (own)")
    assert tables.compare(tmp_path / "mlflow.db") is None
    store.ensure_tables(tmp_path / "mlflow.db")
