"""Rows, a model of one process, and how a model of several workers is held against it."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from sklearn.metrics import roc_auc_score

from benchmarks.tables import show
from stages.model import prepared
from stages.model.serving import Model
from stages.support import params
from stages.support.paths import MODEL_FOLDER, TEST, TRAIN

WORKERS = 2


@dataclass(frozen=True)
class Settings:
    """What a fit is given, as params.yaml has it.

    Attributes:
        columns: the declaration of the columns that the model learns from, in their order.
        booster: XGBoost's settings, without the rounds.
    """

    columns: dict[str, dict[str, Any]]
    target: str
    booster: dict[str, Any]
    rounds: int

    @property
    def types(self) -> list[str]:
        """Of the features, as XGBoost calls them: c is a category, by its number among the declared ones."""
        return ["c" if spec["type"] == "category" else "float" for spec in self.columns.values()]


def settings(rounds: int | None = None) -> Settings:
    """Those of params.yaml; `rounds` in place of its own."""
    told = params.load()
    declared = {name: spec for name, spec in told["data.columns"].items() if spec["type"] != "ignored"}
    booster = {"objective": "binary:logistic", "tree_method": "hist", "seed": told["seed"]}
    booster |= told["models.xgboost"]
    own = booster.pop("rounds")
    columns = {name: declared[name] for name in sorted(declared)}
    return Settings(columns, told["data.target.column"], booster, rounds or own)


def rows(path: Any, asked: Settings) -> tuple[pd.DataFrame, np.ndarray]:
    """(features with categories as their numbers, float32 (n, k); the target, (n,)) of a prepared file."""
    frame = pd.read_parquet(path)
    return numbered(frame, asked), frame[asked.target].to_numpy()


def numbered(frame: pd.DataFrame, asked: Settings) -> pd.DataFrame:
    features = prepared.features(frame, asked.columns)
    return pd.DataFrame(
        {
            name: (column.cat.codes.where(column.notna()) if kind == "c" else column).astype("float32")
            for (name, column), kind in zip(features.items(), asked.types, strict=True)
        }
    )


def fit(features: pd.DataFrame, target: np.ndarray, asked: Settings) -> xgboost.Booster:
    """A model of these rows, alone or as one of several workers, a thread each."""
    matrix = xgboost.QuantileDMatrix(
        features, target, feature_types=asked.types, enable_categorical=True, nthread=1
    )
    return xgboost.train(asked.booster | {"nthread": 1}, matrix, num_boost_round=asked.rounds)


def compare(title: str, asked: Settings, train: Callable[[], xgboost.Booster], markdown: bool) -> None:
    """Print how far models of `train`, made twice, are from that of one process on the test customers."""
    features, target = rows(TEST, asked)
    found = {}
    for name, made in {
        "one process": lambda: fit(*rows(TRAIN, asked), asked),
        f"{title}, {WORKERS} workers": train,
        f"{title}, {WORKERS} workers, again": train,
    }.items():
        begin = time.perf_counter()
        booster = made()
        seconds = time.perf_counter() - begin
        told = hashlib.md5(booster.save_raw("ubj")).hexdigest()
        matrix = xgboost.DMatrix(features, feature_types=asked.types, enable_categorical=True)
        found[name] = (seconds, told, booster.predict(matrix).astype("float64"))
    own = Model(MODEL_FOLDER).predict(pd.read_parquet(TEST))
    (_, alone_md5, alone), *_ = found.values()
    cells = [
        [
            name,
            "yes" if md5 == alone_md5 else "no",
            f"{abs(scores - alone).max():.2g}",
            f"{abs(scores - alone).mean():.2g}",
            f"{roc_auc_score(target, scores):.5f}",
            f"{seconds:.0f}",
        ]
        for name, (seconds, md5, scores) in found.items()
    ]
    header = ("", "bytes of one process", "p differs, at most", "mean", "ROC AUC", "seconds")
    show(f"{asked.rounds} rounds, {len(target):,} test customers", header, cells, markdown)
    (_, first, _), (_, second, _) = list(found.values())[1:]
    print(f"The two of {title} are {'the same' if first == second else 'not the same'} to the byte.")
    print(f"{MODEL_FOLDER} and the model of one process differ by at most {abs(own - alone).max():.2g}.")
