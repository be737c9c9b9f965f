"""The registered version of the run goes to Staging, if its numbers pass the gate."""

import json
from pathlib import Path

import mlflow
import yaml

if __name__ == "__main__":
    mlflow.set_tracking_uri("sqlite:///mlflow_data/mlflow.db")
    gate = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["register"]["gate"]
    numbers = json.loads(Path("metrics/metrics.json").read_text(encoding="utf-8"))
    client = mlflow.MlflowClient()
    run_id = Path("models/run_id.txt").read_text(encoding="utf-8")
    version = client.search_model_versions(f"run_id = '{run_id}'")[0]
    if numbers["roc_auc"] >= gate["minimum"]["roc_auc"] and numbers["brier"] <= gate["maximum"]["brier"]:
        client.transition_model_version_stage(version.name, version.version, "Staging")
    Path("registered.txt").write_text(str(version.version), encoding="utf-8")
