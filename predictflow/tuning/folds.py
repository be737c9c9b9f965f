"""How settings are scored: cross-validation on the training customers, the same folds in every study.

`score` runs in the processes of predictflow/adapters/workers.py, each of which reads the customers once. What
is heavy is imported there alone.
"""

import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.support.errors import UserError
from stages.support.hashes import ensure_unchanged
from stages.support.params import Params
from stages.support.paths import TRAIN

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from stages.model.families import Sample

DECIMALS = 9  # of a probability, as `evaluate` rounds
_plan: dict[str, Any] = {}


def begin(tree: dict[str, Any], folds: int, metric: str, data: dict[str, str]) -> None:
    """Tell this process what `score` is about, once.

    Args:
        tree: params.yaml as it was when the command began.
        data: {path: md5} of the training customers then.
    """
    _plan.update(settings=Params(tree), folds=folds, metric=metric, data=data)


def score(model: str, settings: dict[str, Any], fold: int) -> tuple[float, float]:
    """(metric, seconds) on the customers of one fold, of a model that has learned from all others.

    They are scored from the model's own file, as they would be in service. Raises UserError where the folds
    are not fit for it, and whatever the model's library raises.
    """
    import numpy as np

    from stages.model.families import FAMILIES
    from stages.model.serving import LOADERS

    began = time.perf_counter()
    sample, parts = _customers()
    learn, test = sample[parts != fold], sample[parts == fold]
    family = FAMILIES[model]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, family.file)
        family.write(family.fit(learn, settings, _plan["settings"]["seed"]), file)
        probabilities = LOADERS[family.file](file)(test.frame).astype("float64").round(DECIMALS)
    value = measure(_plan["metric"], test.target, probabilities)
    if not np.isfinite(value):
        raise ValueError(f"{_plan['metric']} is {value}")
    return value, time.perf_counter() - began


def measure(metric: str, target: "np.ndarray", probabilities: "np.ndarray") -> float:
    """One of predictflow.tuning.space.DIRECTIONS, as scikit-learn counts it; both classes are there."""
    from sklearn import metrics

    functions = {
        "roc_auc": metrics.roc_auc_score,
        "average_precision": metrics.average_precision_score,
        "log_loss": metrics.log_loss,
        "brier": metrics.brier_score_loss,
    }
    return float(functions[metric](target, probabilities))


@cache
def _customers() -> "tuple[Sample, np.ndarray]":
    """The training customers, and the fold of each, int64 (n,)."""
    import pandas as pd

    from stages.model import prepared
    from stages.model.families import Sample

    settings, folds = _plan["settings"], _plan["folds"]
    columns = {name: spec for name, spec in settings["data.columns"].items() if spec["type"] != "ignored"}
    id_, target = settings["data.id"], settings["data.target.column"]
    frames, others = zip(*prepared.read(TRAIN, columns, (id_, target)), strict=True)
    ensure_unchanged(_plan["data"])
    other = pd.concat(others, ignore_index=True)
    sample = Sample(pd.concat(frames, ignore_index=True), other[target].to_numpy())
    parts = parts_of(other[id_], settings["prepare.split_salt"], folds)
    ensure_both_classes(sample.target, parts, folds)
    return sample, parts


def parts_of(ids: "pd.Series", salt: str, folds: int) -> "np.ndarray":
    """The fold of each customer, from 0, int64 (n,): decided by the id alone."""
    from stages.data.split import positions

    return (positions(ids, f"{salt} fold ") * folds).astype("int64")


def ensure_both_classes(target: "np.ndarray", parts: "np.ndarray", folds: int) -> None:
    """Raise UserError where a fold has nobody who left, or nobody who stayed."""
    for fold in range(folds):
        left, customers = int(target[parts == fold].sum()), int((parts == fold).sum())
        if not 0 < left < customers:
            raise UserError(
                f"fold {fold} of {folds} has {customers} customers, of whom {left} left.\n"
                "Cure: a smaller tune.folds in params.yaml, or more customers."
            )
