"""The models that `train.model` chooses from, each repeatable to the last bit of its file.

What makes them so was measured: XGBoost's file is the same on any number of threads and CPU kernel;
of scikit-learn's linear solvers only liblinear's dual one is. See docs/determinism.md.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages import skops_file
from stages.serving import one_hot

Curve = Iterator[tuple[int, dict[str, np.ndarray]]]


def threads() -> int:
    """How many threads to fit with: OMP_NUM_THREADS, else the cores there are. It changes no byte."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


@dataclass(frozen=True)
class Fitted:
    """A fitted model: how to write its file, and what it says of customers after each round."""

    file: str
    write: Callable[[Path], None]
    rounds: Callable[[pd.DataFrame], Iterator[tuple[int, np.ndarray]]]


def xgboost(frame: pd.DataFrame, target: np.ndarray, settings: dict[str, Any], seed: int) -> Fitted:
    """Gradient-boosted trees over native categories. `frame` as stages.serving.features gives it."""
    import xgboost

    settings = {"tree_method": "hist", "objective": "binary:logistic", "seed": seed, **settings}
    rounds = settings.pop("rounds")
    data = xgboost.QuantileDMatrix(frame, target, enable_categorical=True, nthread=threads())
    booster = xgboost.train(settings | {"nthread": threads()}, data, num_boost_round=rounds)

    def write(path: Path) -> None:
        path.write_bytes(bytes(booster.save_raw("ubj")))
