"""The store of a real older MLflow, in an environment of its own, and upgrades that are killed."""

import random
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.people.environments import kept_environment
from tests.people.history import History
from tests.people.older import OLDER, make_older, rows
from tests.people.project import REPOSITORY

# MLflow without what trains and serves: the database is the same one's.
MAKING = """
uv venv ../mlflow222
uv pip install --python ../mlflow222 'mlflow-skinny==2.22.1' 'sqlalchemy<2.1' alembic 'pandas<3'
"""
LOGGING = """
import sys
from mlflow import MlflowClient
client = MlflowClient(f"sqlite:///{sys.argv[1]}")
experiment = client.create_experiment("churn-prediction")
run = client.create_run(experiment, tags={"predictflow.content": "c" * 32}).info.run_id
client.log_param(run, "seed", "7")
client.log_metric(run, "roc_auc", 0.8)
client.set_terminated(run)
client.create_registered_model("churn-predictor")
client.create_model_version("churn-predictor", "file:///nowhere", run)
print(run)
"""
TABLES = ("experiments", "runs", "params", "tags", "latest_metrics", "model_versions")


def database(made: History) -> Path:
    return made.project.folder / "mlflow_data/mlflow.db"


def without_a_store(made: History) -> None:
    for path in database(made).parent.glob("mlflow.db*"):
        path.unlink()


@pytest.mark.slow
def test_the_store_of_mlflow_2_22_is_refused_then_upgraded_and_worked_with(history: History):
    older = kept_environment("mlflow222", MAKING, REPOSITORY / "requirements.lock")
    without_a_store(history)
    words = [older / "bin/python", "-c", LOGGING, str(database(history))]
    env = {"HOME": history.project.env["HOME"], "PATH": "/usr/bin:/bin"}
    run = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.strip()
    assert rows(database(history), "alembic_version") == [(OLDER,)]
    before = {table: len(rows(database(history), table)) for table in TABLES}
    told = history.project.repro("--force", "--single-item", "register", code=255)
    assert "is of an older MLflow" in told and "`predictflow store upgrade`" in told
    assert rows(database(history), "alembic_version") == [(OLDER,)], "nothing was migrated"
    history.ask("store", "upgrade")
    assert {table: len(rows(database(history), table)) for table in TABLES} == before
    history.project.repro("--force", "--single-item", "register")
    assert run in {found.info.run_id for found in history.project.runs()}
    assert sorted(version.version for version in history.project.versions()) == [1, 2]


@pytest.mark.slow
def test_an_upgrade_that_is_killed_at_any_moment_loses_nothing_and_is_ended_by_the_same_command(
    history: History, tmp_path: Path
):
    older = make_older(tmp_path / "older.db")
    chance = random.Random(7)
    words = ("python", "-m", "predictflow.cli", "store", "upgrade")
    killed = 0
    for _ in range(12):
        without_a_store(history)
        shutil.copyfile(older, database(history))
        with history.project.begun(*words) as process:
            try:
                process.wait(chance.uniform(0, 8))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
            process.wait()
        with closing(sqlite3.connect(database(history))) as store:
            assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert store.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        history.ask("store", "upgrade")
        assert rows(database(history), "alembic_version") != [(OLDER,)]
        assert len(rows(database(history), "model_versions")) == 1
        assert not [*database(history).parent.glob(".mlflow-upgrade-*.tmp")]
    assert killed
