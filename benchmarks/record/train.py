"""train.parquet to a model, logged and registered as the decision record's listing does it."""

from pathlib import Path

import bare
import mlflow
import mlflow.xgboost
import pandas as pd

if __name__ == "__main__":
    params = bare.params()
    Path("mlflow_data").mkdir(exist_ok=True)
    mlflow.set_tracking_uri("sqlite:///mlflow_data/mlflow.db")
    mlflow.set_experiment("churn-prediction")
    train = pd.read_parquet("data/prepared/train.parquet")
    with mlflow.start_run() as run:
        mlflow.xgboost.autolog()
        model = bare.fit(train, params["models"]["xgboost"], params["seed"])
        mlflow.xgboost.log_model(model, name="model", registered_model_name="churn-predictor")
    bare.save(model)
    Path("models/run_id.txt").write_text(run.info.run_id, encoding="utf-8")
