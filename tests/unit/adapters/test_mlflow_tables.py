"""The contract with MLflow's tables: what is written past its client, its client reads as its own."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
import sqlalchemy
from mlflow import MlflowClient

from predictflow.adapters import mlflow_tables

BEGAN, ENDED = 1_700_000_000_000, 1_700_000_012_345


@pytest.fixture
def uri(tmp_path: Path, empty_store_template: Path) -> str:
    """An empty store."""
    shutil.copyfile(empty_store_template / "mlflow.db", tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def client(uri: str, tmp_path: Path) -> MlflowClient:
    client = MlflowClient(uri)
    client.create_experiment("one", (tmp_path / "artifacts").as_uri())
    return client


def add(client: MlflowClient, uri: str, run_id: str = "a" * 32, **told) -> None:
    experiment = client.get_experiment_by_name("one")
    tags = told.get("tags", {"mlflow.user": "ada", "colour": "red"})
    record = mlflow_tables.RunRecord(
        run_id=run_id,
        name="xgboost",
        experiment=experiment.experiment_id,
        artifacts=experiment.artifact_location,
        began=BEGAN,
        ended=ENDED,
        tags=tags,
        params={"rounds": "30"},
    )
    mlflow_tables.add_run(uri, record)


def rows(uri: str, table: str) -> list[dict]:
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        found = connection.execute(sqlalchemy.text(f"SELECT * FROM {table}")).mappings().all()
    engine.dispose()
    return [dict(row) for row in found]


def test_a_run_is_what_the_client_would_have_written(client: MlflowClient, uri: str):
    """Column by column, but for its id and times."""
    experiment = client.get_experiment_by_name("one").experiment_id
    made = client.create_run(experiment, BEGAN, {"mlflow.user": "ada", "colour": "red"}, "xgboost")
    client.log_param(made.info.run_id, "rounds", "30")
    client.set_terminated(made.info.run_id, "FINISHED", ENDED)
    add(client, uri)
    ours, theirs = client.get_run("a" * 32), client.get_run(made.info.run_id)
    assert (ours.data.params, ours.data.tags) == (theirs.data.params, theirs.data.tags)
    assert (ours.info.start_time, ours.info.end_time) == (BEGAN, ENDED)
    assert ours.info.artifact_uri == theirs.info.artifact_uri.replace(made.info.run_id, "a" * 32)
    for table in ("runs", "tags", "params"):
        written = rows(uri, table)
        one, other = (
            [
                {key: str(value).replace(run, "ID") for key, value in row.items()}
                for row in written
                if row["run_uuid"] == run
            ]
            for run in ("a" * 32, made.info.run_id)
        )
        if table == "runs":
            (mine,), (its,) = one, other
            differing = {key for key in mine if mine[key] != its[key]}
            assert differing <= {"user_id"}, "the client asks the system who the user is"
        else:
            key = str.casefold
            assert sorted(one, key=lambda row: key(row["key"])) == sorted(
                other, key=lambda row: key(row["key"])
            )


def test_what_is_logged_to_it_later_is_found(client: MlflowClient, uri: str, tmp_path):
    add(client, uri, tags={})
    client.log_metric("a" * 32, "roc_auc", 0.8, step=1)
    client.log_metric("a" * 32, "roc_auc", 0.9, step=2)
    (tmp_path / "note.txt").write_text("hello")
    client.log_artifact("a" * 32, str(tmp_path / "note.txt"))
    mlflow_tables.date_metrics(uri, "a" * 32, ENDED)
    history = client.get_metric_history("a" * 32, "roc_auc")
    assert [(point.value, point.step, point.timestamp) for point in history] == [
        (0.8, 1, ENDED),
        (0.9, 2, ENDED),
    ]
    assert client.get_run("a" * 32).data.metrics == {"roc_auc": 0.9}
    (found,) = client.search_runs([client.get_experiment_by_name("one").experiment_id])
    assert found.info.run_id == "a" * 32
    assert [item.path for item in client.list_artifacts("a" * 32)] == ["note.txt"]


def test_what_is_left_of_a_run_whose_row_is_gone_is_in_nobodys_way(client: MlflowClient, uri: str):
    add(client, uri)
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as store, store:
        assert store.execute("DELETE FROM runs").rowcount == 1
    add(client, uri, tags={"colour": "blue"})
    assert client.get_run("a" * 32).data.tags["colour"] == "blue"


def test_an_id_that_is_there_already_is_refused_and_changes_nothing(client: MlflowClient, uri: str):
    add(client, uri)
    before = rows(uri, "runs"), rows(uri, "tags")
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        add(client, uri, tags={"colour": "blue"})
    assert (rows(uri, "runs"), rows(uri, "tags")) == before


@pytest.fixture
def registry(client: MlflowClient) -> MlflowClient:
    """Versions 1, 2 and 3 of a model, 2 deleted; and one of another model."""
    for model, number in (("churn", 3), ("other", 1)):
        client.create_registered_model(model)
        for version in range(1, number + 1):
            client.create_model_version(model, f"/somewhere/{version}", tags={"was": str(version)})
    client.delete_model_version("churn", "2")
    client.set_registered_model_alias("churn", "production", "1")
    client.set_registered_model_alias("churn", "staging", "3")
    return client


def test_versions_change_their_numbers_with_tags_and_aliases(registry: MlflowClient, uri: str):
    assert mlflow_tables.numbers(uri, "churn") == [1, 2, 3], "a deleted one keeps its number"
    mlflow_tables.renumber(uri, "churn", {1: 3, 3: 1, 2: 7})
    found = {int(one.version): one.tags["was"] for one in registry.search_model_versions("name = 'churn'")}
    assert found == {1: "3", 3: "1"}
    assert {k: int(v) for k, v in registry.get_registered_model("churn").aliases.items()} == {
        "production": 3,
        "staging": 1,
    }
    assert registry.get_model_version("churn", "3").source == "/somewhere/1"
    assert registry.get_model_version("other", "1").tags == {"was": "1"}
    assert int(registry.create_model_version("churn", "/somewhere/new").version) == 8
    assert mlflow_tables.numbers(uri, "churn") == [1, 3, 7, 8]


def test_addresses_follow_a_store_that_was_moved(registry: MlflowClient, uri: str):
    experiment = registry.get_experiment_by_name("one")
    old = experiment.artifact_location
    run = registry.create_run(experiment.experiment_id)
    registry.create_model_version("other", f"{run.info.artifact_uri}/model", run.info.run_id)
    mlflow_tables.relocate(uri, old, "file:///else%20where/artifacts")
    moved = registry.get_run(run.info.run_id).info.artifact_uri
    assert moved == f"file:///else%20where/artifacts/{run.info.run_id}/artifacts"
    assert registry.get_model_version_download_uri("other", "2") == f"{moved}/model"
    assert registry.get_model_version("other", "2").source == f"{moved}/model"
    assert registry.get_model_version("other", "1").source == "/somewhere/1", "which was never in the store"
    mlflow_tables.relocate(uri, "file:///else", "file:///wrong")
    assert registry.get_run(run.info.run_id).info.artifact_uri == moved, "no beginning of a folder's name"


def test_a_version_was_registered_when_it_is_said_to_be(registry: MlflowClient, uri: str):
    now = time.time() * 1000
    mlflow_tables.date_version(uri, "churn", 1, BEGAN)
    assert registry.get_model_version("churn", "1").creation_timestamp == BEGAN
    assert registry.get_model_version("churn", "3").creation_timestamp == pytest.approx(now, abs=600_000)
    assert registry.get_model_version("other", "1").creation_timestamp != BEGAN


def test_it_is_written_for_the_tables_of_this_mlflow(uri: str, client: MlflowClient):
    """A column that a newer MLflow adds must be looked at: would a run or version that lacks it do?"""
    known = {
        "runs": 14,
        "model_versions": 14,
        "model_version_tags": 5,
        "registered_model_aliases": 4,
        "metrics": 6,
        "latest_metrics": 6,
        "params": 3,
        "tags": 3,
    }
    engine = sqlalchemy.create_engine(uri)
    inspector = sqlalchemy.inspect(engine)
    assert {table: len(inspector.get_columns(table)) for table in known} == known, mlflow.__version__
    engine.dispose()
