"""What a run and a version hold that the stages have written."""

import json
import sqlite3
from contextlib import closing

import pandas as pd
from ruamel.yaml import YAML

NOTE = "mlflow.note.content"


def row(note: str, name: str) -> str:
    """What the table of a note says of a name."""
    (found,) = [line for line in note.splitlines() if line.startswith(f"| {name} |")]
    return found.removeprefix(f"| {name} |").removesuffix("|").strip()


def locked(project) -> dict[str, str]:
    """{path: md5} of everything in dvc.lock and customers.csv.dvc."""
    lock = YAML(typ="safe").load(project.read("dvc.lock"))
    entries = [entry for stage in lock["stages"].values() for entry in stage.get("outs", []) + stage["deps"]]
    return {entry["path"]: entry["md5"] for entry in entries}


def test_a_run_says_which_params_data_and_experiment_made_the_model(warm):
    (run,) = warm.runs()
    md5s = locked(warm)
    assert run.info.status == "FINISHED"

    assert run.data.params["train.model"] == "xgboost"
    assert run.data.params["models.xgboost.max_depth"] == "2"
    assert run.data.params["max_depth"] == "2", "autolog has noted what the fit was given"

    measured = json.loads(warm.read("metrics/evaluate/metrics.json"))
    assert measured.items() <= run.data.metrics.items()
    curve = warm.store.get_metric_history(run.info.run_id, "validation.log_loss")
    last = json.loads(warm.read("metrics/train/metrics.json"))
    assert (curve[-1].step, curve[-1].value) == (30, last["validation"]["log_loss"])
    assert len(curve) == 30

    datasets = {json.loads(used.dataset.source)["uri"]: used.dataset for used in run.inputs.dataset_inputs}
    assert {path: dataset.digest for path, dataset in datasets.items()} == {
        path: md5s[path]
        for path in ("data/customers.csv", "data/prepared/train.parquet", "data/prepared/test.parquet")
    }

    sides = [f"data/prepared/{side}.parquet" for side in ("train", "test")]
    rows = {path: len(pd.read_parquet(warm.folder / path)) for path in sides}
    rows["data/customers.csv"] = 600
    assert {path: json.loads(dataset.profile) for path, dataset in datasets.items()} == {
        path: {"num_rows": number} for path, number in rows.items()
    }

    for path in ("data/prepared/train.index", "data/prepared/test.index"):
        assert run.data.tags[f"md5/{path}"] == md5s[path]
    assert run.data.tags["predictflow.content"] == md5s["models/provenance.json"]
    assert run.data.tags["md5/data/customers.csv"] == md5s["data/customers.csv"]
    assert "predictflow.restored" not in run.data.tags
    held = {item.path for item in warm.store.list_artifacts(run.info.run_id)}
    assert held == {"model", "train", "evaluate", "provenance.json"}


def test_the_model_asks_for_the_packages_of_the_lock(warm):
    asked = warm.read("models/churn-predictor/requirements.txt").splitlines()
    lock = warm.read("requirements.lock")
    assert {line.split("==")[0] for line in asked} == {"mlflow", "numpy", "pandas", "xgboost"}
    assert all(f"{line} \\\n" in lock for line in asked)


def test_a_version_says_it_all_to_who_starts_in_the_ui(warm):
    (version,) = warm.versions()
    md5s = locked(warm)
    for path in ("data/customers.csv", "data/prepared/train.parquet", "requirements.lock"):
        assert version.tags[f"md5/{path}"] == md5s[path]
        assert md5s[path] in version.description
    assert version.tags["git.commit"] in warm.run("git", "log", "--format=%H").stdout
    assert version.tags["git.dirty"] in ("true", "false")
    assert "| models.xgboost.max_depth | 2 |" in version.description
    assert f"\npredictflow lineage {md5s['models/provenance.json']}\n" in version.description
    assert f"-S {md5s['models/provenance.json']} -- dvc.lock" in version.description


def test_a_run_says_it_all_to_who_starts_in_the_ui(warm):
    (run,) = warm.runs()
    note, md5s = run.data.tags[NOTE], locked(warm)
    rows = {"data/customers.csv": 600}
    for side in ("train", "test"):
        path = f"data/prepared/{side}.parquet"
        rows[path] = len(pd.read_parquet(warm.folder / path))
    for path, number in rows.items():
        assert row(note, path).startswith(f"{number} customers, ")
        assert row(note, path).endswith(f"md5 `{md5s[path]}`")
    assert row(note, "environment") == f"requirements.lock, md5 `{md5s['requirements.lock']}`"
    assert row(note, "experiment") == "`dvc repro`"
    assert row(note, "made at commit") == f"`{run.data.tags['git.commit'][:10]}`"
    assert row(note, "content") == f"`{md5s['models/provenance.json']}`"
    assert row(note, "models.xgboost.max_depth") == "2"
    assert row(note, "train.model") == "xgboost"
    assert f"\npredictflow lineage {md5s['models/provenance.json']}\n" in note


def test_a_version_says_what_its_run_says_and_what_the_model_is_worth(warm):
    (run,), (version,) = warm.runs(), warm.versions()
    headline, rest = version.description.split("\n\n", 1)
    measured = json.loads(warm.read("metrics/evaluate/metrics.json"))
    assert f"ROC AUC **{measured['roc_auc']:.3f}**" in headline
    assert rest.replace("| registered at commit |", "| made at commit |") == run.data.tags[NOTE]


def test_the_store_keeps_a_write_ahead_log(warm):
    with closing(sqlite3.connect(warm.folder / "mlflow_data/mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
