"""The least that a stage can take: the same file read, written, fitted and scored, nothing checked or kept.

python benchmarks/floors.py fit     # in a project whose customers are prepared
"""

import sys
from pathlib import Path
from typing import Any

PREPARED = Path("data/prepared")


def convert() -> None:
    """CSV to Parquet, block by block."""
    import pyarrow.csv
    import pyarrow.parquet

    reader = pyarrow.csv.open_csv("data/customers.csv", pyarrow.csv.ReadOptions(block_size=4 << 20))
    with pyarrow.parquet.ParquetWriter("floor.parquet", reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    Path("floor.parquet").unlink()


def _matrix(name: str) -> Any:
    import pandas as pd
    import xgboost

    frame = pd.read_parquet(PREPARED / name)
    target = frame.pop("churn")
    return xgboost.QuantileDMatrix(frame.drop(columns="customer_id"), target, enable_categorical=True)


def fit() -> None:
    """A model with the settings of params.yaml, all cores."""
    import xgboost
    from ruamel.yaml import YAML

    settings = YAML(typ="safe").load(Path("params.yaml"))["models"]["xgboost"]
    rounds = settings.pop("rounds")
    settings |= {"objective": "binary:logistic", "tree_method": "hist"}
    xgboost.train(settings, _matrix("train.parquet"), num_boost_round=rounds).save_model("floor.ubj")


def score() -> None:
    """The test customers scored by the model of `fit`, and the ROC AUC."""
    import xgboost
    from sklearn.metrics import roc_auc_score

    matrix = _matrix("test.parquet")
    roc_auc_score(matrix.get_label(), xgboost.Booster(model_file="floor.ubj").predict(matrix))


def predict() -> None:
    """A CSV of customers through inplace_predict of models/churn-predictor to Parquet, block by block."""
    import json

    import pandas as pd
    import pyarrow.csv
    import pyarrow.parquet
    import xgboost

    folder = Path("models/churn-predictor")
    booster = xgboost.Booster(model_file=folder / "model.ubj")
    columns = json.loads((folder / "schema.json").read_text(encoding="utf-8"))["columns"]
    text = {name for name, spec in columns.items() if spec["type"] == "category"}
    kinds = {name: pyarrow.string() if name in text else pyarrow.float32() for name in columns}
    reader = pyarrow.csv.open_csv(
        "data/customers.csv",
        pyarrow.csv.ReadOptions(block_size=4 << 20),
        convert_options=pyarrow.csv.ConvertOptions(column_types=kinds),
    )
    schema = pyarrow.schema({"customer_id": pyarrow.string(), "probability": pyarrow.float32()})
    with pyarrow.parquet.ParquetWriter("floor.parquet", schema) as writer:
        for batch in reader:
            frame = batch.to_pandas()
            rows = frame[sorted(columns)].fillna(
                {name: spec["fill"] for name, spec in columns.items() if "fill" in spec}
            )
            for name in text:
                rows[name] = rows[name].astype(pd.CategoricalDtype(columns[name]["categories"]))
            table = {"customer_id": frame["customer_id"], "probability": booster.inplace_predict(rows)}
            writer.write_table(pyarrow.table(table, schema=schema))
    Path("floor.parquet").unlink()


FLOORS = {"convert": convert, "fit": fit, "score": score, "predict": predict}

if __name__ == "__main__":
    FLOORS[sys.argv[1]]()
