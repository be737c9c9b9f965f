"""test.parquet and the model to numbers and curves, and both to the run."""

from pathlib import Path

import bare
import mlflow
import pandas as pd
from xgboost import XGBClassifier

if __name__ == "__main__":
    mlflow.set_tracking_uri("sqlite:///mlflow_data/mlflow.db")
    model = XGBClassifier(enable_categorical=True)
    model.load_model(bare.MODEL)
    numbers = bare.evaluate(model, pd.read_parquet("data/prepared/test.parquet"))
    with mlflow.start_run(run_id=Path("models/run_id.txt").read_text(encoding="utf-8")):
        mlflow.log_metrics(numbers)
        mlflow.log_artifacts(str(bare.EVALUATION), "evaluate")
