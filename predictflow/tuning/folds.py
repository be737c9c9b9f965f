"""How settings are scored: cross-validation on the training customers, the same folds in every study.

What is here runs in the processes of predictflow/adapters/workers.py; each reads the customers once.
"""

import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from predictflow.scoring.model import DECIMALS
from stages.data.split import positions
from stages.model import prepared
from stages.model.families import FAMILIES, Sample
from stages.model.serving import LOADERS
from stages.support.errors import UserError
from stages.support.params import Params
from stages.support.paths import TRAIN

METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "roc_auc": metrics.roc_auc_score,
    "average_precision": metrics.average_precision_score,
    "log_loss": lambda target, scores: metrics.log_loss(target, scores, labels=[0, 1]),
    "brier": metrics.brier_score_loss,
}
_plan: dict[str, Any] = {}


def begin(tree: dict[str, Any], folds: int, metric: str) -> None:
    """Tell this process what `score` is about, once.

    Args:
        tree: params.yaml as it was when the command began.
    """
    _plan.update(settings=Params(tree), folds=folds, metric=metric)


def score(model: str, settings: dict[str, Any], fold: int) -> tuple[float, float]:
    """(metric, seconds) on the customers of one fold, of a model that has learned from all others.

    They are scored from the model's own file, as they would be in service. Raises UserError where the folds
    are not fit for it, and whatever the model's library raises.
    """
    began = time.perf_counter()
    sample, parts = _customers()
    learn, test = sample[parts != fold], sample[parts == fold]
    family = FAMILIES[model]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, family.file)
        family.write(family.fit(learn, settings, _plan["settings"]["seed"]), file)
        scores = LOADERS[family.file](file)(test.frame).astype("float64").round(DECIMALS)
    value = float(METRICS[_plan["metric"]](test.target, scores))
    if not np.isfinite(value):
        raise ValueError(f"{_plan['metric']} is {value}")
    return value, time.perf_counter() - began


@cache
def _customers() -> tuple[Sample, np.ndarray]:
    """The training customers, and the fold of each, int64 (n,)."""
    settings, folds = _plan["settings"], _plan["folds"]
    columns = {name: spec for name, spec in settings["data.columns"].items() if spec["type"] != "ignored"}
    id_, target = settings["data.id"], settings["data.target.column"]
    frames, others = zip(*prepared.read(TRAIN, columns, (id_, target)), strict=True)
    other = pd.concat(others, ignore_index=True)
    sample = Sample(pd.concat(frames, ignore_index=True), other[target].to_numpy())
    parts = parts_of(other[id_], settings["prepare.split_salt"], folds)
    ensure_both_classes(sample.target, parts, folds)
    return sample, parts


def parts_of(ids: pd.Series, salt: str, folds: int) -> np.ndarray:
    """The fold of each customer, from 0, int64 (n,): decided by the id alone."""
    return (positions(ids, f"{salt} fold ") * folds).astype("int64")


def ensure_both_classes(target: np.ndarray, parts: np.ndarray, folds: int) -> None:
    """Raise UserError where a fold has nobody who left, or nobody who stayed."""
    for fold in range(folds):
        left, customers = int(target[parts == fold].sum()), int((parts == fold).sum())
        if not 0 < left < customers:
            raise UserError(
                f"fold {fold} of {folds} has {customers} customers, of whom {left} left.\n"
                "Cure: a smaller tune.folds in params.yaml, or more customers."
            )
