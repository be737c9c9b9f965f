# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = [
#     "numpy==2.4.6",
#     "packaging",
#     "pandas==3.1.1",
#     "pyarrow==25.0.1",
#     "pydantic",
#     "pyspark==4.3.0",
#     "rich",
#     "ruamel.yaml",
#     "scikit-learn==1.9.1",
#     "scipy==1.17.1",
#     "xgboost==3.2.0",
# ]
# ///
"""XGBoost's own estimator for Spark on the prepared customers, held against the model of one process.

    PYTHONPATH=. .venv/bin/uv run --system-certs benchmarks/on_spark.py

It runs in an environment of its own, which uv makes of the lines above, and needs Java 17 or newer. A Spark
of two tasks stands for a cluster; the model at hand must be there (`dvc repro`).
"""

import argparse
import os
import sys

import xgboost

from benchmarks.scaled_out import WORKERS, Settings, compare, settings
from stages.support.paths import TRAIN


def train(asked: Settings) -> xgboost.Booster:
    """The model that Spark's workers make together."""
    from pyspark.sql import SparkSession
    from xgboost.spark import SparkXGBClassifier

    spark = SparkSession.builder.master(f"local[{WORKERS}]").appName("churn").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    classifier = SparkXGBClassifier(
        features_col=list(asked.columns),
        label_col=asked.target,
        num_workers=WORKERS,
        n_estimators=asked.rounds,
        feature_types=asked.types,
        random_state=asked.booster["seed"],
        **{key: value for key, value in asked.booster.items() if key not in ("objective", "seed")},
    )
    return classifier.fit(_numbered(spark.read.parquet(str(TRAIN)), asked)).get_booster()


def _numbered(frame, asked: Settings):
    """A Spark frame with each category as its number among the declared ones."""
    from pyspark.sql import functions

    def column(name: str, spec: dict):
        told = functions.col(name)
        if spec["type"] == "category":
            listed = functions.array(*map(functions.lit, spec["categories"]))
            told = functions.array_position(listed, told) - 1
        return told.cast("float").alias(name)

    columns = [column(name, spec) for name, spec in asked.columns.items()]
    return frame.select(*columns, functions.col(asked.target).cast("float"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="on_spark.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, metavar="N", help="trees (default: those of params.yaml)")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else the workers take the system's Python
    asked = settings(options.rounds)
    compare("Spark", asked, lambda: train(asked), options.markdown)


if __name__ == "__main__":
    main()
