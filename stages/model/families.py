"""The models that `train.model` chooses from, each the same to the last bit of its file on every run.

XGBoost's file is the same on any number of threads and any CPU kernel. Of scikit-learn's linear solvers
only liblinear's dual one is; its forests and boosting are, once the thread counts that they remember
are set back. `make test-slow` holds all four to it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from stages.model.serving import one_hot
from stages.support.environment import threads

Settings = dict[str, Any]
Point = dict[str, dict[str, float]]  # {"train" | "validation": {metric: value}}


class Sample:
    """Customers to learn from or to measure on.

    Attributes:
        frame: their features, as stages.model.serving.features gives them, shape (n, k).
        target: 1 for those who left, else 0, shape (n,).
    """

    def __init__(self, frame: pd.DataFrame, target: np.ndarray) -> None:
        self.frame, self.target = frame, target

    def __getitem__(self, chosen: np.ndarray) -> "Sample":
        return Sample(self.frame[chosen], self.target[chosen])


class Family(Protocol):
    """What `train.model` names."""

    flavor: str  # of MLflow: whose autolog watches the fit
    file: str  # in the model folder

    def fit(self, learn: Sample, settings: Settings, seed: int) -> Any:
        """A model fitted to all of `learn`."""

    def write(self, model: Any, path: Path) -> None:
        """Its file."""

    def curve(
        self, learn: Sample, validation: Sample, settings: Settings, seed: int
    ) -> Iterator[tuple[int, Point]]:
        """(step, metrics on both samples) while a model learns from `learn`.

        A step is a round of boosting; for a model without rounds, the percentage of `learn` it has seen.
        """


class XGBoost:
    flavor, file = "xgboost", "model.ubj"

    def options(self, settings: Settings, seed: int) -> tuple[dict[str, Any], int]:
        """What xgboost.train is given, but for the customers and the threads: (params, rounds)."""
        params: dict[str, Any] = {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "eval_metric": ["logloss", "auc"],
            "seed": seed,
        } | settings
        return params, params.pop("rounds")

    def _train(self, learn: Sample, settings: Settings, seed: int, **options: Any) -> Any:
        import xgboost

        params, rounds = self.options(settings, seed)
        params["nthread"] = threads(len(learn.target))
        matrix = self._matrix(xgboost.QuantileDMatrix, learn)
        return xgboost.train(params, matrix, num_boost_round=rounds, **options)

    def _matrix(self, kind: type, sample: Sample) -> Any:
        rows = len(sample.target)
        return kind(sample.frame, sample.target, enable_categorical=True, nthread=threads(rows))

    def fit(self, learn: Sample, settings: Settings, seed: int) -> Any:
        return self._train(learn, settings, seed)

    def write(self, model: Any, path: Path) -> None:
        path.write_bytes(model.save_raw("ubj"))

    def curve(
        self, learn: Sample, validation: Sample, settings: Settings, seed: int
    ) -> Iterator[tuple[int, Point]]:
        import xgboost

        samples = {"train": learn, "validation": validation}
        evals = [(self._matrix(xgboost.DMatrix, sample), name) for name, sample in samples.items()]
        history: dict[str, dict[str, list[float]]] = {}
        self._train(learn, settings, seed, evals=evals, evals_result=history, verbose_eval=False)
        for step in range(len(history["train"]["auc"])):
            yield (
                step + 1,
                {
                    name: {"log_loss": seen["logloss"][step], "roc_auc": seen["auc"][step]}
                    for name, seen in history.items()
                },
            )


class Sklearn:
    """An estimator of scikit-learn over one-hot columns, in a canonical skops file."""

    flavor, file = "sklearn", "model.skops"

    def _build(self, settings: Settings, seed: int) -> Any:
        raise NotImplementedError

    def fit(self, learn: Sample, settings: Settings, seed: int) -> Any:
        return self._build(settings, seed).fit(one_hot(learn.frame), learn.target)

    def write(self, model: Any, path: Path) -> None:
        from stages.model import skops_file

        skops_file.write(path, model)

    def curve(
        self, learn: Sample, validation: Sample, settings: Settings, seed: int
    ) -> Iterator[tuple[int, Point]]:
        for percent in range(20, 101, 20):
            seen = learn[np.arange(len(learn.target)) < len(learn.target) * percent / 100]
            if 0 < seen.target.sum() < len(seen.target):
                model = self.fit(seen, settings, seed)
                yield percent, self._point(model.predict_proba, seen, validation)

    def _point(self, predict: Any, learn: Sample, validation: Sample) -> Point:
        return {
            name: _measures(sample.target, predict(one_hot(sample.frame))[:, 1])
            for name, sample in {"train": learn, "validation": validation}.items()
        }


class LogisticRegression(Sklearn):
    def _build(self, settings: Settings, seed: int) -> Any:
        from sklearn import impute, linear_model, pipeline, preprocessing

        # The smallest and largest value are exact on every CPU; a mean and a deviation are sums.
        return pipeline.make_pipeline(
            preprocessing.MinMaxScaler(),
            impute.SimpleImputer(strategy="median", keep_empty_features=True),
            linear_model.LogisticRegression(solver="liblinear", dual=True, random_state=seed, **settings),
        )

    def fit(self, learn: Sample, settings: Settings, seed: int) -> Any:
        model = super().fit(learn, settings, seed)
        # The exp of a CPU without FMA differs in its last bit, a coefficient then by some 1e-14.
        linear = model[-1]
        linear.coef_, linear.intercept_ = linear.coef_.round(7), linear.intercept_.round(7)
        return model


class RandomForest(Sklearn):
    def _build(self, settings: Settings, seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(random_state=seed, **settings)

    def fit(self, learn: Sample, settings: Settings, seed: int) -> Any:
        model = self._build(settings, seed).set_params(n_jobs=threads(len(learn.target)))
        model.fit(one_hot(learn.frame), learn.target)
        model.set_params(n_jobs=1)  # with more, its probabilities are summed in any order
        return model


class HistGradientBoosting(Sklearn):
    def _build(self, settings: Settings, seed: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(random_state=seed, early_stopping=False, **settings)

    def fit(self, learn: Sample, settings: Settings, seed: int) -> Any:
        model = super().fit(learn, settings, seed)
        model._bin_mapper.n_threads = 1  # it remembers how many there were
        return model

    def curve(
        self, learn: Sample, validation: Sample, settings: Settings, seed: int
    ) -> Iterator[tuple[int, Point]]:
        model = self.fit(learn, settings, seed)
        stages = [model.staged_predict_proba(one_hot(sample.frame)) for sample in (learn, validation)]
        for step, (on_learn, on_validation) in enumerate(zip(*stages, strict=True), 1):
            yield (
                step,
                {
                    "train": _measures(learn.target, on_learn[:, 1]),
                    "validation": _measures(validation.target, on_validation[:, 1]),
                },
            )


def _measures(target: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import log_loss, roc_auc_score

    return {
        "log_loss": log_loss(target, probabilities, labels=[0, 1]),
        "roc_auc": roc_auc_score(target, probabilities),
    }


FAMILIES: dict[str, Family] = {
    "xgboost": XGBoost(),
    "logistic_regression": LogisticRegression(),
    "random_forest": RandomForest(),
    "hist_gradient_boosting": HistGradientBoosting(),
}
