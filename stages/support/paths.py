"""Where the files of the record lie, from the project's top folder; each path stands here alone."""

from pathlib import Path

PARAMS = Path("params.yaml")
REQUIREMENTS = Path("requirements.lock")
DVC_LOCK = Path("dvc.lock")

# `customers` in params.yaml chooses one of these two: a CSV, or a folder of Parquet parts.
CUSTOMERS = Path("data/customers.csv")
CUSTOMERS_FOLDER = Path("data/customers")
TRAIN = Path("data/prepared/train.parquet")
TEST = Path("data/prepared/test.parquet")
TRAIN_INDEX = Path("data/prepared/train.index")
TEST_INDEX = Path("data/prepared/test.index")
PREPARED = Path("metrics/prepare/metrics.json")

MODEL_FOLDER = Path("models/churn-predictor")
PROVENANCE = Path("models/provenance.json")
CURVES = Path("metrics/train/plots")

MEASURED = Path("metrics/evaluate/metrics.json")
PLOTS = Path("metrics/evaluate/plots")

MARKER = Path("mlflow_data/registered.json")
