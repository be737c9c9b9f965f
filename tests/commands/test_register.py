"""`register` does without MLflow where the store holds all of it already, and only there."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from stages import register
from stages.model import bars
from stages.support import files, params
from stages.support.paths import MEASURED
from stages.tracking import provenance
from tests.people.project import Project

STAGE = "import runpy, sys; runpy.run_module('stages.register', run_name='__main__')"
WITHOUT_MLFLOW = f"{STAGE}; assert 'mlflow' not in sys.modules"


def told(project: Project, **env: str) -> str | None:
    """What register tells without MLflow; None where it asks MLflow."""
    settings = {"MLFLOW_TRACKING_URI": f"sqlite:///{database(project)}"} | env
    with mock.patch.dict(os.environ, settings), pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        chosen = params.load()
        decision = bars.decide(files.read_json(MEASURED), chosen["register.gate"])
        return register.already(chosen, provenance.read(), decision)


def database(project: Project) -> Path:
    return project.folder / "mlflow_data/mlflow.db"


def sql(statement: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        with closing(sqlite3.connect(database(project))) as connection, connection:
            assert connection.execute(statement).rowcount, f"nothing was changed by {statement}"

    return change


def lose(path: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        (found,) = project.folder.glob(f"mlflow_data/artifacts/*/artifacts/{path}")
        found.unlink()

    return change


def cut(project: Project) -> None:
    (found,) = project.folder.glob("mlflow_data/artifacts/*/artifacts/model/model.ubj")
    os.truncate(found, 100)


HEALED = {
    "a tag of the run": sql("DELETE FROM tags WHERE key = 'md5/requirements.lock'"),
    "another md5 of the run": sql("UPDATE tags SET value = 'x' WHERE key = 'md5/data/customers.csv'"),
    "the note of the run": sql("DELETE FROM tags WHERE key = 'mlflow.note.content'"),
    "a param": sql("DELETE FROM params WHERE key = 'train.model'"),
    "a number": sql("DELETE FROM latest_metrics WHERE key = 'roc_auc'"),
    "another number": sql("UPDATE latest_metrics SET value = value + 1e-9 WHERE key = 'brier'"),
    "a curve": sql("DELETE FROM latest_metrics WHERE key = 'validation.log_loss'"),
    "a dataset": sql("DELETE FROM inputs WHERE rowid = (SELECT min(rowid) FROM inputs)"),
    "a file of the model": lose("model/MLmodel"),
    "half a file of the model": cut,
    "provenance.json": lose("provenance.json"),
    "a curve's file": lose("train/metrics/validation/log_loss.tsv"),
    "a curve of the evaluation": lose("evaluate/roc.csv"),
    "the run's end": sql("UPDATE runs SET status = 'KILLED'"),
    "the version": sql("UPDATE model_versions SET current_stage = 'Deleted_Internal'"),
    "the version's content": sql("DELETE FROM model_version_tags WHERE key = 'predictflow.content'"),
    "the version's stage": sql("UPDATE model_versions SET current_stage = 'None'"),
}
LEFT_TO_MLFLOW = {
    "a run in the trash": sql("UPDATE runs SET lifecycle_stage = 'deleted'"),
    "a version whose source is another's": sql("UPDATE model_versions SET source = source || 's'"),
    "a version of a run that is not here": sql("UPDATE model_versions SET run_id = 'x' || substr(run_id, 2)"),
    "a version without a tag": sql("DELETE FROM model_version_tags WHERE key = 'md5/requirements.lock'"),
    "a version that is not ready": sql("UPDATE model_versions SET status = 'PENDING_REGISTRATION'"),
    "an experiment in the trash": sql("UPDATE experiments SET lifecycle_stage = 'deleted'"),
    "another schema": sql("UPDATE alembic_version SET version_num = '0123456789ab'"),
    "two schemas": sql("INSERT INTO alembic_version VALUES ('0123456789ab')"),
    "a text for a number": sql("UPDATE latest_metrics SET value = 'x' WHERE key = 'brier'"),
    "files that lie elsewhere": sql("UPDATE runs SET artifact_uri = 's3://bucket/' || run_uuid"),
    "a database that is none": lambda project: database(project).write_bytes(b"no database" * 99),
    "an empty database": lambda project: database(project).write_bytes(b""),
    "no store": lambda project: shutil.rmtree(project.folder / "mlflow_data"),
}


def test_nothing_is_left_to_do_once_it_is_registered_and_mlflow_is_not_imported(warm: Project):
    before = database(warm).read_bytes()
    words = [sys.executable, "-c", WITHOUT_MLFLOW]
    done = subprocess.run(words, cwd=warm.folder, env=warm.env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == told(warm)
    assert database(warm).read_bytes() == before, "the end of the run has moved"


def test_it_tells_what_mlflow_would_have_told(warm: Project):
    shortly = told(warm)
    sql("UPDATE runs SET status = 'KILLED'")(warm)
    assert warm.run("python", "-m", "stages.register").stdout.splitlines()[-1] == shortly


@pytest.mark.parametrize("lost", HEALED)
def test_what_is_missing_is_written_once_more(warm: Project, lost):
    assert told(warm)
    HEALED[lost](warm)
    assert told(warm) is None
    warm.run("python", "-m", "stages.register")
    assert told(warm)


@pytest.mark.parametrize("odd", LEFT_TO_MLFLOW)
def test_what_is_not_certain_is_left_to_mlflow(warm: Project, odd):
    assert told(warm)
    LEFT_TO_MLFLOW[odd](warm)
    assert told(warm) is None


@pytest.mark.parametrize(
    "env",
    [
        {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"},
        {"MLFLOW_REGISTRY_URI": "http://127.0.0.1:1"},
        {"MLFLOW_ENABLE_WORKSPACES": "true"},
        {"DVC_EXP_NAME": "another"},
    ],
    ids=str,
)
def test_another_store_or_experiment_is_left_to_mlflow(warm: Project, env):
    assert told(warm) and told(warm, **env) is None


def test_a_database_that_somebody_locks_is_left_to_mlflow(warm: Project, monkeypatch):
    monkeypatch.setattr("stages.tracking.database.LOCK_TIMEOUT", 0.1)
    with closing(sqlite3.connect(database(warm))) as writer:
        writer.execute("PRAGMA journal_mode=DELETE")
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE runs SET name = 'x'")
        (database(warm).parent / "mlflow.db-journal").touch()
        assert told(warm) is None


def test_a_run_that_a_kill_has_left_open_is_left_to_mlflow(warm: Project):
    with closing(sqlite3.connect(database(warm))) as connection, connection:
        (experiment,) = connection.execute("SELECT experiment_id FROM runs").fetchone()
        connection.execute(
            "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, lifecycle_stage,"
            " experiment_id) VALUES (?, 'killed', 'LOCAL', 'ada', 'RUNNING', 1, 'active', ?)",
            ("e" * 32, experiment),
        )
        connection.execute(
            "INSERT INTO tags"
            " SELECT key, CASE key WHEN 'predictflow.began_since_boot' THEN '1.0' ELSE value END, ?"
            " FROM tags WHERE key IN ('predictflow.host', 'predictflow.pid', 'predictflow.began_since_boot')",
            ("e" * 32,),
        )
    assert told(warm) is None
    warm.run("python", "-m", "stages.register")
    assert told(warm)
    assert {run.info.status for run in warm.runs()} == {"FINISHED", "KILLED"}


def test_a_bar_that_is_missed_is_told_without_mlflow(warm: Project):
    sql("UPDATE model_versions SET current_stage = 'Deleted_Internal'")(warm)
    assert told(warm) is None
    warm.edit("params.yaml", "roc_auc: 0.6", "roc_auc: 0.99")
    assert told(warm) == register.MISSED
