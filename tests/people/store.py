"""Who fills a store of MLflow's with a bit of everything, and asks it all that it can be asked."""

import math
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from predictflow.adapters.mlflow_entities import Run, RunReader, Version
from stages.tracking.store import CONTENT_TAG, RESTORED_TAG

FIRST, SECOND, TRASH = "0123456789abcdef" * 2, "f" * 32, "e" * 32


ODD = {"md5/data/größe 1.csv": "a'b\"c\\d", "MD5/no": "x", "md5": "x", "md5_/no": "x", "a.b": "\n😀" * 9}


def fill(database: Path) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    client = MlflowClient(f"sqlite:///{database}")
    ours = client.create_experiment("churn-prediction", (database.parent / "artifacts").as_uri())
    other, trashed = client.create_experiment("another"), client.create_experiment("trashed")

    def run(experiment: str, name: str, status: str, content: str = "", **tags: str) -> str:
        marked = {CONTENT_TAG: content, "md5/data/customers.csv": content[::-1]} if content else {}
        made = client.create_run(experiment, run_name=name, tags=marked | tags)
        if status != "RUNNING":
            client.set_terminated(made.info.run_id, status)
        return made.info.run_id

    finished = run(ours, "finished", "FINISHED", FIRST, **{"git.commit": "c" * 40, "git.dirty": "false"})
    client.log_batch(
        finished,
        metrics=[Metric("loss", 1 / step, 1, step) for step in range(1, 901)]
        + [Metric("roc_auc", math.nan, 1, 0), Metric("up", math.inf, 1, 0), Metric("down", -math.inf, 1, 0)],
        params=[Param("train.model", "xgboost"), Param("empty", ""), Param("long", "x" * 3000)],
        tags=[RunTag(key, value) for key, value in ODD.items()],
    )
    again = [
        Metric("again", value, time, step) for value, time, step in ((2, 9, 3), (4, 1, 5), (math.nan, 2, 5))
    ]
    client.log_batch(finished, metrics=again)
    run(ours, "restored", "FINISHED", FIRST, **{RESTORED_TAG: "true", "dvc.exp_name": "shallow"})
    run(ours, "failed", "FAILED")
    run(ours, "killed", "KILLED", **{CONTENT_TAG: SECOND})
    run(ours, "running", "RUNNING")
    run(other, "of another experiment", "FINISHED", SECOND)
    client.delete_run(run(ours, "deleted", "FINISHED", TRASH))
    in_trash = run(trashed, "of an experiment in the trash", "FINISHED", TRASH)
    client.delete_experiment(trashed)
    client.restore_run(in_trash)

    client.create_registered_model("churn-predictor")
    for stage in ("None", "Archived", "Staging", "Production", "Production"):
        tags = {CONTENT_TAG: FIRST, "md5/models/x": "1" * 32, **ODD} if stage == "Staging" else {}
        version = client.create_model_version("churn-predictor", "file:///x", finished, tags=tags)
        with pytest.warns(FutureWarning):
            client.transition_model_version_stage("churn-predictor", version.version, stage)
    for alias, number in {"staging": "3", "champion": "3", "Äpfel": "3", "old": "2"}.items():
        client.set_registered_model_alias("churn-predictor", alias, number)
    client.create_model_version("churn-predictor", "file:///x", None)
    deleted = client.create_model_version("churn-predictor", "file:///x", finished, tags={CONTENT_TAG: TRASH})
    client.set_registered_model_alias("churn-predictor", "gone", deleted.version)
    client.delete_model_version("churn-predictor", deleted.version)
    client.create_registered_model("gone")
    client.create_model_version("gone", "file:///x", finished, tags={CONTENT_TAG: TRASH})
    client.delete_registered_model("gone")
    client.create_registered_model("a second model")
    client.create_model_version("a second model", "file:///x", finished)
    client.register_prompt("greeting", "Hello {{name}}", tags={CONTENT_TAG: TRASH})
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # as the stages have it


@dataclass(frozen=True)
class Told:
    """All that a store can be asked, asked."""

    runs: list[Run]
    params: dict[str, dict[str, str]]
    metrics: str  # as text: nan equals nan there
    md5s: dict[str, dict[str, str]]
    versions: list[Version]
    narrowly: list[object]


def ask(asked: RunReader) -> Told:
    runs = [run for page in asked.pages() for run in page]
    metrics = {
        run: dict(sorted(values.items())) for run, values in sorted(asked.metrics(runs).items()) if values
    }
    params = {run: values for run, values in asked.params(runs).items() if values}
    narrowly = [asked.runs_of(content) for content in (FIRST, SECOND, TRASH, "it's none")]
    narrowly += [asked.with_ids([run.id]) for run in runs] + [asked.with_ids([TRASH]), asked.latest()]
    ids = [run.id for run in runs]
    narrowly += [sorted(run.id for run in asked.with_ids(ids)), asked.newest(), asked.trash([*ids, TRASH])]
    narrowly += [asked.named("shallow", None), asked.named("it's none", ids[0][:8] if ids else "abcdef")]
    narrowly += [asked.md5s("1" * 5), asked.md5s(SECOND), asked.few()]
    return Told(runs, params, str(metrics), asked.md5s(""), asked.versions(), narrowly)
